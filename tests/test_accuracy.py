"""The guard trains as a study does, and says what differs and by how much."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from lib.benchmark import accuracy


def table(**values: list[float]) -> pd.DataFrame:
    rows = [["udpos", recipe, seed, value, 3] for recipe, of_recipe in values.items()
            for seed, value in enumerate(of_recipe, 1)]  # fmt: skip
    return pd.DataFrame(rows, columns=["target", "recipe", "seed", "value", "languages"])


def test_the_difference_is_that_of_a_seed_with_itself() -> None:
    found = accuracy.summary(table(padded=[0.2, 0.4, 0.6], packed=[0.21, 0.43, 0.62]))
    padded, packed = found.to_dict("records")
    assert (padded["mean"], padded["deviation"]) == pytest.approx((40.0, 20.0))
    # Differences of 1, 3 and 2 points: mean 2, deviation 1; t of 2 degrees of freedom is 4.302653.
    assert packed["difference"] == pytest.approx(2.0)
    assert packed["highest"] - 2 == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert 2 - packed["lowest"] == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert packed["n"] == 3


def test_every_recipe_is_trained_and_scored_on_the_same_languages(
    micro_content: Callable[[], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "guarded.yaml"
    file.write_text(yaml.safe_dump(micro_content()), encoding="utf-8")
    monkeypatch.setattr(accuracy, "TARGETS", ("udpos", "xquad"))
    found = accuracy.measure(quick=True, name=str(file))
    assert len(found) == 2 * 2 * len(accuracy.RECIPES)
    assert (found["languages"] == 2).all() and found["value"].between(0, 1).all()
    assert not found.duplicated(["target", "recipe", "seed"]).any()


def test_a_recipe_has_the_dropout_it_names(tmp_path: Path, small_encoder: Any) -> None:
    from transformers import AutoConfig

    small_encoder().save_pretrained(tmp_path / "encoder")
    for recipe, how in accuracy.RECIPES.items():
        folder = accuracy._with_dropout(tmp_path / "encoder", tmp_path / recipe, how.dropout)
        config = AutoConfig.from_pretrained(folder)
        dropped = config.hidden_dropout_prob, config.attention_probs_dropout_prob
        assert dropped == (accuracy.DROPOUT, how.dropout)
