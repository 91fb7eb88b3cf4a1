"""The benchmark compares like with like, and says how many times as fast ours is."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers.trainer_pt_utils import get_length_grouped_indices

from lib import heads, tasks
from lib.batches import Feature
from lib.benchmark import evaluation, figure, fine_tuning, material, measuring, pretraining, stock
from lib.benchmark import synthetic as made_up
from lib.errors import InputError
from lib.heads import Head

VOCABULARY = 200
LENGTHS = [9, 30, 12, 21, 5, 17, 26, 8]


def row(case: str, recipe: str, repeat: int, seconds: float, amount: float) -> dict[str, Any]:
    """Return a row as `side_by_side` does."""
    values = ["fine_tuning", case, recipe, repeat, seconds, amount, "tokens"]
    return dict(zip(measuring.COLUMNS, values, strict=True))


def head_of(task: str) -> Head:
    """Return a small head that drops nothing out."""
    model = material.model(VOCABULARY, quick=True).base_model
    return heads.make(tasks.get(task), model).eval()


def features_of(task: str) -> list[Feature]:
    """Return features of several lengths; a parser's words have two subwords, and one head."""
    if task != "ud_parsing":
        return made_up.features_of(task, LENGTHS, VOCABULARY)
    made = made_up.features_of("udpos", LENGTHS, VOCABULARY)
    for feature in made:
        size = len(feature["input_ids"][0]) - 2
        feature["sizes"] = [2] * (size // 2) + [1] * (size % 2)
        number = len(feature["sizes"])
        feature["heads"] = [number] * (number - 1) + [0]
        feature["labels"] = [0] * number
    return made


def test_a_ratio_is_that_of_the_speeds_in_one_repeat() -> None:
    # Ours: 100, 200 and 400 tokens a second; the other: 50, 50 and 400; a third, once, 1,000.
    measured = pd.DataFrame(
        [
            row("a", "ours", 1, 1.0, 100), row("a", "ours", 2, 0.5, 100),
            row("a", "ours", 3, 0.25, 100), row("a", "other", 1, 1.0, 50),
            row("a", "other", 2, 2.0, 100), row("a", "other", 3, 0.5, 200),
            row("b", "ours", 1, 1.0, 10), row("b", "third", 1, 0.01, 10),
        ]
    )  # fmt: skip
    found = measuring.ratios(measured).set_index(["case", "recipe"])
    columns = ["ratio", "lowest", "highest", "n"]
    assert found.loc[("a", "other"), columns].tolist() == [2, 1, 4, 3]
    assert found.loc[("b", "third"), columns].tolist() == pytest.approx([0.01, 0.01, 0.01, 1])
    assert len(found) == 2


def test_a_recipe_that_ours_was_not_run_beside_has_no_ratio() -> None:
    measured = pd.DataFrame([row("a", "ours", 1, 1, 5), row("a", "other", 1, 1, 5),
                             row("compilation", "other", 1, 30, 1)])  # fmt: skip
    assert measuring.ratios(measured)["case"].tolist() == ["a"]


def test_recipes_take_turns_after_a_round_that_does_not_count() -> None:
    called = []

    def recipe(name: str) -> tuple[float, float]:
        called.append(name)
        return 10.0, 2.0

    recipes = {name: partial(recipe, name) for name in ("ours", "other")}
    short = {name: partial(recipe, f"short {name}") for name in ("ours", "other")}
    table = measuring.side_by_side("p", "c", recipes, "tokens", repeats=2, warm_up=short)
    assert called == ["short other", "short ours", "ours", "other", "other", "ours"]
    assert table[["recipe", "repeat"]].values.tolist() == [
        ["ours", 1], ["other", 1], ["other", 2], ["ours", 2],
    ]  # fmt: skip
    assert set(table["seconds"]) == {2.0}


@pytest.mark.parametrize("task", ["udpos", "xnli", "xquad", "ud_parsing"])
def test_stock_code_reads_the_same_through_a_head_however_it_is_padded(task: str) -> None:
    head, collate = head_of(task), partial(head_of(task).collate, pad_id=1)
    features = features_of(task)
    padded = stock.to_length(features, collate, length=40, pad_id=1)
    assert padded["input_ids"].shape[1] == padded["attention_mask"].shape[1] == 40
    with torch.no_grad():
        ours = head(**collate(features))["loss"]
        stock.as_users_read(head)
        for batch in (collate(features), padded):
            assert head(**batch)["loss"].item() == pytest.approx(ours.item(), rel=1e-5)


@pytest.mark.parametrize("task", ["udpos", "xnli", "xquad"])
def test_the_loop_over_languages_predicts_what_one_pass_does(task: str) -> None:
    head, features = head_of(task), features_of(task)
    sets = [features[:3], features[3:4], features[4:]]
    tokenizer = type("Tokenizer", (), {"pad_token_id": 1})
    expected = evaluation.ours(head, sets, tokenizer)
    for options in ({"batch": 2, "length": 40}, {"batch": 4}):
        found = evaluation.loop(head, sets, tokenizer, **options)
        assert [len(of_set) for of_set in found] == [3, 1, 4]
        for of_set, wanted, made in zip(found, expected, sets, strict=True):
            for predicted, other, feature in zip(of_set, wanted, made, strict=True):
                size = len(feature.get("starts", feature["input_ids"][0]))
                shown = [np.atleast_1d(each)[:size] for each in (predicted, other)]
                assert np.allclose(*shown, atol=1e-4)


def test_a_stock_plan_is_the_epoch_that_transformers_would_make() -> None:
    lengths = np.random.default_rng(0).integers(5, 120, size=645).tolist()
    generator = torch.Generator().manual_seed(1)
    epoch = get_length_grouped_indices(lengths, 8, generator=generator)
    grouped, random = (stock.plan(lengths, 8, updates=80, grouped=how) for how in (True, False))
    assert [i for batch in grouped for i in batch] == epoch[:640]
    assert len({i for batch in random for i in batch}) == 640

    def spread(plan: list[list[int]]) -> float:
        return float(np.mean([np.ptp([lengths[i] for i in batch]) for batch in plan]))

    assert spread(grouped) < 0.2 * spread(random)


def test_the_batches_that_are_timed_stand_for_the_epoch() -> None:
    # Batches of 1 to 20 tokens in some order: in quarters, the third, eighth, 13th and 18th.
    lengths = [1 + (7 * i) % 20 for i in range(20)]
    plan = [[i] for i in range(20)]
    chosen = material.sampled(plan, lengths, 4)
    assert sorted(lengths[i] for batch in chosen for i in batch) == [3, 8, 13, 18]
    assert chosen == sorted(chosen)
    assert material.sampled(plan, lengths, 20) == plan


@pytest.mark.parametrize("grouped", [False, True])
def test_the_stock_trainer_reads_each_example_once(grouped: bool) -> None:
    head = head_of("udpos")
    before = {name: value.clone() for name, value in head.state_dict().items()}
    counted = material.Counted(head.collate)
    collate = partial(stock.collate_flat, collate=partial(counted, pad_id=1))
    stock.train(head, stock.flat(features_of("udpos")), collate, 2, half=grouped, grouped=grouped)
    assert (counted.examples, counted.tokens) == (8, sum(LENGTHS))
    assert any((value != before[name]).any() for name, value in head.state_dict().items())


@pytest.mark.parametrize("part", [pretraining, fine_tuning, evaluation])
def test_without_a_mirror_a_part_says_in_a_line_what_it_needs(
    part: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATA_ROOT", raising=False)
    with pytest.raises(InputError, match=r"^DATA_ROOT is not set: .*expected a mirror.*$"):
        part.measure(quick=True)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[material.Counted]:
    """Return what every recipe that runs from now on has counted."""
    kept: list[material.Counted] = []

    class Kept(material.Counted):
        def __init__(self, collate: Callable[..., Any]) -> None:
            super().__init__(collate)
            kept.append(self)

    for module in (fine_tuning, evaluation):
        monkeypatch.setattr(module, "Counted", Kept)
    return kept


def test_every_recipe_of_fine_tuning_reads_as_many_examples(
    mirror: Path, counts: list[material.Counted]
) -> None:
    found = fine_tuning.measure(quick=True)
    recipes = ["ours", "examples, padded", "best flags, float32", "best flags, bfloat16"]
    assert found["case"].unique().tolist() == [case.name for case in fine_tuning.CASES]
    assert found.groupby("case")["recipe"].apply(list).tolist() == [recipes] * 5
    # The round that does not count has 2 updates of 2 examples, the other one 4.
    assert [each.examples for each in counts] == 5 * ([4] * 4 + [8] * 4)
    assert set(found["amount"]) <= {each.tokens for each in counts}


def test_every_recipe_of_evaluation_reads_the_same_tokens(
    mirror: Path, counts: list[material.Counted]
) -> None:
    found = evaluation.measure(quick=True)
    assert len(found) == len(evaluation.CASES) * 4
    assert (found.groupby("case")["amount"].nunique() == 1).all()
    of_cases = [each.examples for each in counts]
    assert all(len(set(of_cases[i : i + 4])) == 1 for i in range(0, len(of_cases), 4))


def test_every_recipe_of_pretraining_reads_about_the_same_text(mirror: Path) -> None:
    found = pretraining.measure(quick=True)
    amounts = found.set_index("recipe")["amount"]
    assert amounts["examples, lines"] == amounts["examples, lines padded"]
    assert amounts.max() / amounts.min() < 1.25
    assert (found["seconds"] > 0).all()


@pytest.fixture
def measured() -> pd.DataFrame:
    """Return three repeats of two recipes beside ours: 4, 5 and 6 times as slow, and as fast."""
    speeds = {"ours": (60, 60, 60), "examples, padded": (15, 12, 10), "best flags": (60, 60, 60)}
    return pd.DataFrame(
        [
            row(case, recipe, repeat, 1.0, speed)
            for case in ("UDPOS", "EWT parsing")
            for recipe, of_recipe in speeds.items()
            for repeat, speed in enumerate(of_recipe, start=1)
        ]
    ).assign(hardware="a processor")


def test_the_figure_draws_the_parts_there_are_in_the_order_of_measuring(
    measured: pd.DataFrame, tmp_path: Path
) -> None:
    measured.to_csv(tmp_path / "fine_tuning.csv", index=False)
    assert figure.write(tmp_path)
    table = pd.read_csv(tmp_path / "speed.csv")
    assert table[["case", "recipe"]].values.tolist() == [
        ["UDPOS", "examples, padded"], ["UDPOS", "best flags"],
        ["EWT parsing", "examples, padded"], ["EWT parsing", "best flags"],
    ]  # fmt: skip
    assert table.loc[0, ["ratio", "lowest", "highest", "n"]].tolist() == [5, 4, 6, 3]
    assert (tmp_path / "speed.png").stat().st_size and (tmp_path / "speed.svg").stat().st_size
    drawn, _ = figure.draw(measured, pd.DataFrame())
    (panel,) = drawn.axes
    dots = {line.get_label(): list(line.get_xdata()) for line in panel.lines}
    assert dots["examples, padded"] == [5, 5] and dots["best flags"] == [1, 1]
    assert dots["aim: 3 times"] == [3, 3] and dots["aim: 1.2 times"] == [1.2, 1.2]


def test_the_figure_sets_scores_beside_those_of_the_first_recipe(measured: pd.DataFrame) -> None:
    values = {"padded": (0.60, 0.64), "packed": (0.61, 0.65)}
    accuracy = pd.DataFrame(
        [
            ["udpos", recipe, seed, value]
            for recipe, of_seeds in values.items()
            for seed, value in enumerate(of_seeds, start=1)
        ],
        columns=["target", "recipe", "seed", "value"],
    )
    drawn, table = figure.draw(measured, accuracy)
    assert len(drawn.axes) == 2
    scores = table[table["part"] == "accuracy"].set_index("recipe")
    assert scores["case"].unique() == ["udpos (62.0)"]
    found = scores.loc["packed", ["mean", "lowest", "highest", "n"]].astype(float)
    assert found.tolist() == pytest.approx([1, -1, 3, 2])
    alone, _ = figure.draw(pd.DataFrame(), accuracy)
    assert len(alone.axes) == 1


def test_where_nothing_was_measured_nothing_is_drawn(tmp_path: Path) -> None:
    assert not figure.write(tmp_path)
    assert not list(tmp_path.iterdir())
