"""Rates are chosen from one grid, by development data of the source language alone."""

from pathlib import Path

import pandas as pd
import pytest

from lib import intermediate, paths, pretraining, rates, results, tasks
from lib.errors import InputError
from lib.profile import Profile


def test_every_task_and_target_is_tried_with_every_rate_in_english_alone(
    micro: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    monkeypatch.setenv("FIGURES_ROOT", str(tmp_path / "figures"))
    targets = {name: target for name, target in micro.targets.items() if name != "xnli"}
    settings = micro.model_copy(update={"targets": targets})
    monkeypatch.setattr(rates.profile, "load", lambda *_, **__: settings)
    rates.main(["micro", "1e-4", "2e-2"])
    table = pd.read_csv(paths.figures(micro.name) / "rates.csv")
    assert set(table["name"]) == {"ud_parsing", "stsb", "udpos", "xquad"}
    assert set(table["split"]) == {"validation", "development"}
    assert sorted(table["rate"].unique()) == [1e-4, 2e-2]
    # The one encoder that the profile makes is taken; none is trained on English alone.
    assert [path.name for path in (tmp_path / "results").rglob("encoder") if "pretrain" in
            path.parts] == ["encoder"]  # fmt: skip
    folder = str(pretraining.cell(settings, 1).folder / "encoder")
    changed = rates._with_rate(settings, folder, "", 2e-2)
    assert rates._with_rate(settings, folder, "abc", 2e-2).encoder.revision == "abc"
    done = results.read(
        results.Cell(changed.name, "intermediate", 1, "stsb"),
        intermediate.parameters(changed, "stsb", 1),
    )
    assert done is not None
    scores = done.scores[done.scores["moment"] == "after"].set_index("metric")["value"]
    of_stsb = table[(table["name"] == "stsb") & (table["rate"] == 2e-2)]["value"].item()
    assert of_stsb == pytest.approx(scores[tasks.get("stsb").reported], rel=1e-4)
    said = capsys.readouterr().out
    of_udpos = table[table["name"] == "udpos"].set_index("rate")["value"]
    assert f"udpos: {of_udpos.idxmax():g}, f1 {100 * of_udpos.max():.1f} of " in said
    assert not table["reported"].any() and "reports this split" not in said


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_that_cannot_be_is_refused_before_any_training(
    micro: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    with pytest.raises(InputError, match=f"rates: found {rate:g}, expected a number more than 0"):
        rates.measure(micro, [1e-3, rate], 1)
    assert not list(tmp_path.rglob("run.json"))


def test_a_score_that_the_study_itself_reports_is_marked(
    micro: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    monkeypatch.setenv("FIGURES_ROOT", str(tmp_path / "figures"))
    few = {name: how for name, how in micro.conditions.items() if name in ("none", "random")}
    on_validation = micro.targets["udpos"].model_copy(update={"split": "validation"})
    settings = micro.model_copy(update={"conditions": few, "targets": {"udpos": on_validation}})
    monkeypatch.setattr(rates.profile, "load", lambda *_, **__: settings)
    rates.main(["micro", "1e-3"])
    table = pd.read_csv(paths.figures(micro.name) / "rates.csv")
    assert table["reported"].all() and len(table)
    assert "udpos: the profile reports this split: its score is the best of 1" in (
        capsys.readouterr().out
    )


def test_the_validation_set_that_is_xtremes_test_set_is_not_looked_at() -> None:
    scores = pd.DataFrame({"split": ["validation", "development", "test"], "value": [1, 2, 3]})
    assert list(rates._development(scores, tasks.get("xquad"))["value"]) == [2]
    assert list(rates._development(scores, tasks.get("panx"))["value"]) == [1, 2]


def test_a_profile_without_the_compared_tasks_has_its_targets_tried(
    micro: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    few = {name: how for name, how in micro.conditions.items() if name in ("none", "random")}
    one = micro.model_copy(update={"conditions": few, "targets": {"udpos": micro.targets["udpos"]}})
    assert set(rates.measure(one, [1e-3], 1)["name"]) == {"udpos"}
