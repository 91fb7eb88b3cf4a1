"""Comparisons follow from how conditions are set, find what is planted, and say what they find."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from lib import comparison, comparison_plots, conclusion, pairing, profile, statistics
from lib.comparison import Measured
from lib.pairing import Pair
from lib.profile import Condition, Profile
from lib.results import Cell
from lib.statistics import Interval

CODES = ["en", "qaa", "qab", "qac", "qad"]
LANGUAGES = pd.DataFrame(
    {"distance": [0, 0.1, 0.3, 0.5, 0.7], "family": list("EABCD")}, index=CODES
)
TARGETS = ["udpos", "panx", "xnli", "tatoeba"]
NOTHING_SHARED = pd.DataFrame(
    columns=["task", "target", "part", "n", "exact", "task_n", "same_source", "same_data"]
).astype({"same_source": bool, "same_data": bool})


@pytest.fixture(scope="module")
def study() -> Profile:
    return profile.load("world_full")


def scores(planted: dict[str, float], seeds: int = 4, noise: float = 0.0) -> pd.DataFrame:
    """Return scores in which each condition adds so much per language, nothing in the source."""
    rng, rows = np.random.default_rng(1), []
    for condition, gain in ({"none": 0.0, "random": -0.3} | planted).items():
        for target in TARGETS:
            for code in CODES if target != "tatoeba" else CODES[1:]:
                for seed in range(1, seeds + 1):
                    value = 0.5 + 0.01 * seed + (gain if code != "en" else 0.0)
                    rows.append((condition, target, code, value + rng.normal(0, noise), seed))
    table = pd.DataFrame(rows, columns=["condition", "target", "language", "value", "seed"])
    return table.assign(metric="accuracy", n=1000, encoder_seed=table["seed"], split="test",
                        layer=pd.NA, reported=True)  # fmt: skip


def measured(study: Profile, planted: dict[str, float], **how: Any) -> Measured:
    gains = statistics.gains(scores(planted, **how))
    return Measured(study, gains, ["udpos", "panx"], LANGUAGES, NOTHING_SHARED)


def test_the_comparisons_of_a_profile_follow_from_its_settings(study: Profile) -> None:
    found = pairing.pairs(study)
    assert found[0] == Pair("primary", "ud_parsing", "stsb")
    assert set(found) == {
        Pair("primary", "ud_parsing", "stsb"),
        Pair("placebo", "ud_parsing", "ud_parsing_shuffled"),
        Pair("placebo", "ud_parsing", "mlm_on_ewt_text"),
        Pair("placebo", "stsb", "mlm_on_ewt_text"),
        Pair("examples", "ud_parsing-same_examples", "stsb-same_examples"),
        Pair("pair model", "stsb-bi", "stsb"),
        Pair("pair model", "ud_parsing", "stsb-bi"),
        Pair("parser", "ud_parsing-deep_biaffine", "ud_parsing"),
        Pair("parser", "ud_parsing-deep_biaffine", "stsb"),
        *(Pair("size", f"ud_parsing-n{n}", f"stsb-n{n}") for n in (125, 250, 500, 1000)),
        Pair("task", "ccg", "stsb"),
        Pair("task", "ud_parsing", "sick"),
        Pair("task", "ud_parsing", "qqp"),
    }


def test_the_text_of_similarity_has_a_placebo_of_its_own_where_it_is_another_text() -> None:
    real = profile.load("small_cpu")
    assert pairing.placebos(real, "stsb") == ["mlm_on_stsb_text"]
    assert pairing.placebos(real, "ud_parsing") == ["ud_parsing_shuffled", "mlm_on_ewt_text"]


def test_unequal_numbers_of_examples_are_not_compared_as_equal(study: Profile) -> None:
    how = study.conditions["stsb-same_examples"]
    assert how.budget
    budget = how.budget.model_copy(update={"updates": 299})
    other = study.conditions | {"stsb-same_examples": how.model_copy(update={"budget": budget})}
    changed = study.model_copy(update={"conditions": other})
    assert "examples" not in {pair.question for pair in pairing.pairs(changed)}


def test_a_variant_on_the_same_examples_does_not_stand_in_for_the_task(study: Profile) -> None:
    budget = study.intermediate.model_copy(update={"batch_examples": 8})
    plain = {f"{task}-same": Condition(task=task, budget=budget) for task in pairing.COMPARED}
    others = {"stsb-bi-same": Condition(task="stsb", pair="bi", budget=budget)}
    others["shuffled-same"] = Condition(task="ud_parsing", shuffled=True, budget=budget)
    wide = study.model_copy(update={"conditions": study.conditions | plain | others})
    (pair,) = [pair for pair in pairing.pairs(wide) if pair.question == "examples"]
    assert (pair.first, pair.second) == ("ud_parsing-same", "stsb-same")


def test_a_planted_difference_is_the_mean_of_the_row(study: Profile) -> None:
    found = measured(study, {"ud_parsing": 0.04, "stsb": 0.01}, noise=0.002)
    row = found.row(Pair("primary", "ud_parsing", "stsb"))
    assert row["mean"] == pytest.approx(0.03, abs=0.003)
    assert row["low"] > 0.02 and row["high"] < 0.04
    assert row["slope_low"] < 0 < row["slope_high"]
    assert (row["languages"], row["replicates"]) == (4, 4)


def test_no_difference_has_an_interval_across_zero(study: Profile) -> None:
    found = measured(study, {"ud_parsing": 0.02, "stsb": 0.02}, noise=0.01)
    row = found.row(Pair("primary", "ud_parsing", "stsb"))
    assert row["low"] < 0 < row["high"]


def test_a_subset_of_cells_leaves_the_others_out(study: Profile) -> None:
    found = measured(study, {"ud_parsing": 0.04, "stsb": 0.01})
    cells = pd.MultiIndex.from_tuples([("udpos", "qaa"), ("panx", "qab")])
    row = found.row(Pair("primary", "ud_parsing", "stsb"), cells=cells)
    assert row["languages"] == 2


def test_the_table_starts_with_the_primary_result_and_compares_what_was_run(study: Profile) -> None:
    found = measured(study, {"ud_parsing": 0.04, "stsb": 0.01, "ud_parsing_shuffled": 0.0})
    table = found.table()
    assert table["question"].tolist() == ["primary", *["sensitivity"] * 3, *["placebo"] * 2]
    assert table["measure"].tolist()[:2] == ["transfer_gain", "gain"]
    assert table["measure"].tolist()[-2:] == ["transfer_gain", "gain"]
    assert table["mean"].iloc[-2] == pytest.approx(0.04)


def test_a_pair_is_not_compared_on_data_that_one_of_them_has_trained_on(study: Profile) -> None:
    gains = statistics.gains(scores({"mnli": 0.02, "stsb": 0.01}))
    gains.loc[(gains["condition"] == "mnli") & (gains["target"] == "xnli"), "transfer_gain"] = 0.9
    shared = pd.DataFrame(
        [{"task": "mnli", "target": "xnli", "part": "train", "n": 9, "exact": 9, "task_n": 9,
          "same_source": True, "same_data": True}]
    )  # fmt: skip
    found = Measured(study, gains, ["udpos", "xnli"], LANGUAGES, shared)
    assert found.clean_for(Pair("", "mnli", "stsb")) == ["udpos"]
    assert found.row(Pair("", "mnli", "stsb"))["mean"] == pytest.approx(0.01)
    # Without a clean target there is no mean, and no slope of the others.
    row = replace(found, clean=["xnli"]).row(Pair("", "mnli", "stsb"))
    assert np.isnan([row["mean"], row["slope"], row["slope_low"]]).all()


def test_a_result_that_hangs_on_one_target_is_said_to(study: Profile) -> None:
    gains = statistics.gains(scores({"ud_parsing": 0.01, "stsb": 0.01}, noise=0.002))
    lifted = (gains["condition"] == "ud_parsing") & (gains["target"] == "xnli")
    gains.loc[lifted & (gains["language"] != "en"), "transfer_gain"] += 0.09
    found = Measured(study, gains, ["udpos", "panx", "xnli"], LANGUAGES, NOTHING_SHARED)
    table = found.without_each_target(pairing.pairs(study)[0])
    rows = table[table["measure"] == "transfer_gain"].set_index("without")
    assert rows.loc["xnli", "mean"] == pytest.approx(0.0, abs=0.002)
    assert rows.loc["udpos", "mean"] == pytest.approx(0.045, abs=0.002)
    said = conclusion.without_targets(table)[0]
    assert "(without xnli)" in said and "leaves out 0 in 2 of 3 cases" in said


def test_a_task_under_its_baseline_is_said_to_be(study: Profile) -> None:
    rows = [("ud_parsing", "las", 0.98, "right_arc", 0.27), ("stsb", "pearson", 0.62, "bag", 0.77),
            ("stsb-bi", "pearson", 0.81, "bag", 0.77), ("stsb-n500", "pearson", 0.5, "bag", 0.77),
            ("sick", "pearson", 0.9, "bag", 0.77)]  # fmt: skip
    names = ["condition", "metric", "mean", "baseline", "baseline_value"]
    said = conclusion.learnt(pd.DataFrame(rows, columns=names), measured(study, {"stsb": 0.0}))
    assert said[0].startswith(
        "`ud_parsing` reaches a las of 0.98 on validation data, over the 0.27"
    )
    assert said[1].startswith("`stsb` reaches a pearson of 0.62 on validation data, under the 0.77")
    assert said[2].startswith("`stsb-bi` reaches a pearson of 0.81 on validation data, over the")
    assert not any("n500" in line or "sick" in line for line in said)


def test_how_well_each_condition_learnt_each_of_its_tasks_is_the_mean_over_finished_runs(
    study: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))

    def finish(condition: str, seed: int, rows: list[tuple[str, str, str, float]]) -> None:
        cell = Cell(study.name, "intermediate", seed, condition)
        cell.folder.mkdir(parents=True)
        table = pd.DataFrame(rows, columns=["task", "moment", "metric", "value"])
        table.to_parquet(cell.folder / "scores.parquet")
        cell.run_file.write_text("{}", encoding="utf-8")

    for seed, value in ((1, 0.6), (2, 0.8)):
        rows = [("before", "pearson", 0.0), ("after", "pearson", value), ("after", "spearman", 0.9),
                ("bag_of_words", "pearson", 0.5)]  # fmt: skip
        finish("stsb", seed, [("stsb", *row) for row in rows])
    finish("mlm_on_ewt_text", 1, [("mlm", "after", "loss", 3.0)])
    finish("multitask", 1, [("ud_parsing", "after", "las", 0.7), ("stsb", "after", "pearson", 0.1)])
    Cell(study.name, "intermediate", 3, "stsb").folder.mkdir(parents=True)  # unfinished
    found = comparison.learnt(study).set_index(["condition", "task"])
    assert [*found.index] == [("stsb", "stsb"), ("multitask", "ud_parsing"), ("multitask", "stsb")]
    row = found.loc[("stsb", "stsb")]
    assert row["mean"] == pytest.approx(0.7) and row["replicates"] == 2
    assert (row["baseline"], row["baseline_value"]) == ("bag_of_words", 0.5)


def test_cells_of_the_same_data_stand_apart(study: Profile) -> None:
    gains = statistics.gains(scores({"mnli": 0.02, "ud_parsing": 0.01}))
    gains.loc[(gains["condition"] == "mnli") & (gains["target"] == "xnli"), "gain"] += 0.1
    shared = pd.DataFrame(
        [{"task": "mnli", "target": "xnli", "part": "train", "n": 9, "exact": 9, "task_n": 9,
          "same_source": True, "same_data": True}]
    )  # fmt: skip
    table = Measured(study, gains, ["udpos", "xnli"], LANGUAGES, shared).of_conditions()
    rows = table[table["measure"] == "gain"].set_index(["condition", "cells"])
    assert rows.loc[("mnli", "clean"), "mean"] == pytest.approx(0.02)
    assert rows.loc[("mnli", "clean"), "targets"] == "udpos"
    assert rows.loc[("mnli", "same data"), "mean"] == pytest.approx(0.12)
    assert rows.loc[("ud_parsing", "clean"), "targets"] == "udpos, xnli"
    assert ("ud_parsing", "same data") not in rows.index and "random" not in set(table["condition"])


def test_a_doubling_of_the_examples_adds_what_is_planted(study: Profile) -> None:
    sizes = {f"{task}-n{n}": step * np.log2(n / 125)
             for task, step in (("ud_parsing", 0.010), ("stsb", 0.004))
             for n in (125, 250, 500, 1000)}  # fmt: skip
    whole = {"ud_parsing": 0.04, "stsb": 0.016}
    by_size = measured(study, sizes | whole).by_size({"ud_parsing": 2000, "stsb": 2000})
    assert sorted(by_size["examples"].unique()) == [125, 250, 500, 1000, 2000]
    for of, step in (("ud_parsing", 0.010), ("stsb", 0.004), ("difference", 0.006)):
        assert comparison.per_doubling(by_size, of).mean == pytest.approx(step)


def test_a_curve_is_over_the_runs_that_have_every_size(study: Profile) -> None:
    gains = measured(study, {"ud_parsing": 0.1, "stsb": 0.1, "ud_parsing-n125": 0.0}).gains
    late = (gains["condition"] == "ud_parsing-n125") & (gains["seed"] > 2)
    by_size = Measured(study, gains[~late], ["udpos"], LANGUAGES, NOTHING_SHARED).by_size(
        {"ud_parsing": 2000, "stsb": 2000}
    )
    assert set(by_size["replicate"]) == {"1", "2"}


def test_families_are_compared_over_tasks_by_welchs_interval(study: Profile) -> None:
    planted = {"ud_parsing": 0.05, "ccg": 0.03, "stsb": 0.01, "sick": 0.00, "qqp": 0.005}
    ends, names, runs = comparison.between_families(measured(study, planted))
    sides = DescrStatsW([0.05, 0.03]), DescrStatsW([0.01, 0.00, 0.005])
    low, high = CompareMeans(*sides).tconfint_diff(usevar="unequal")
    assert ends == pytest.approx((0.035, low, high))
    assert set(names) == set(planted) and runs == 4
    fewer = measured(study, {"ud_parsing": 0.05, "stsb": 0.01, "sick": 0.0})
    assert np.isnan(comparison.between_families(fewer)[0].mean)


def test_families_are_compared_on_the_runs_that_all_their_tasks_have(study: Profile) -> None:
    found = measured(study, {"ud_parsing": 0.05, "ccg": 0.03, "stsb": 0.01, "sick": 0.00})
    gains = found.gains.copy()
    # What a run does to every task alike must not be taken for a difference of families.
    gains.loc[gains["seed"] > 2, "transfer_gain"] += 0.5
    gains = gains[(gains["seed"] <= 2) | gains["condition"].isin(["ud_parsing", "stsb", "ccg"])]
    found = Measured(study, gains, ["udpos", "panx"], LANGUAGES, NOTHING_SHARED)
    ends, _, runs = comparison.between_families(found)
    assert ends.mean == pytest.approx(0.035) and runs == 2


@pytest.mark.parametrize(
    ("planted", "words"),
    [((0.04, 0.01), "is higher than"), ((0.01, 0.04), "is lower than"),
     ((0.02, 0.02), "is not detectably different from")],
)  # fmt: skip
def test_the_answer_says_what_the_interval_says(
    study: Profile, planted: tuple[float, float], words: str
) -> None:
    found = measured(study, dict(zip(pairing.COMPARED, planted, strict=True)), noise=0.004)
    table = found.table()
    contrast = statistics.contrast(
        found.differences(pairing.pairs(study)[0]), found.clean, LANGUAGES["family"]
    )
    said = conclusion.primary(found, table, contrast, "4 encoders")
    assert f"`ud_parsing` {words} that of `stsb`" in said
    shown = f"{100 * table['mean'].iloc[0]:+.2f}".replace("-", "−")
    assert f"{shown} points (95 % " in said and "4 languages, 4 encoders" in said


def test_an_unfinished_study_says_what_its_answer_is_over(study: Profile) -> None:
    table = scores({"ud_parsing": 0.04, "stsb": 0.01}, noise=0.004)

    def said(lacking: pd.Series) -> tuple[str, pd.DataFrame]:
        gains = statistics.gains(table[~lacking])
        found = Measured(study, gains, ["udpos", "panx"], LANGUAGES, NOTHING_SHARED)
        differences = found.differences(pairing.pairs(study)[0])
        contrast = statistics.contrast(differences, found.clean, LANGUAGES["family"])
        answer = found.table()
        conditions = found.of_conditions().set_index(["condition", "measure"])
        runs = conditions.loc[("ud_parsing", "gain"), "replicates"]
        assert answer["replicates"].iloc[0] == runs == contrast["replicates"].iloc[-1]
        return conclusion.primary(found, answer, contrast, "4 encoders"), answer

    panx = table["target"] == "panx"
    words, _ = said(panx & False)
    assert "mean over udpos, panx. " in words
    words, partly = said(panx & (table["seed"] == 4) & (table["condition"] != "none"))
    assert "mean over udpos, panx, of the 3 runs that have them all. " in words
    _, three = said(table["seed"] == 4)
    pd.testing.assert_frame_equal(partly, three)
    words, _ = said(panx & (table["condition"] == "stsb"))
    assert "mean over udpos (not over panx, which has no finished pair of runs). " in words
    words, _ = said(panx & (table["language"] == CODES[-1]))
    assert "With distance the difference, of least-squares means over these targets," in words


def test_one_run_is_said_to_leave_the_answer_open(study: Profile) -> None:
    found = measured(study, {"ud_parsing": 0.04, "stsb": 0.01}, seeds=1)
    contrast = statistics.contrast(
        found.differences(pairing.pairs(study)[0]), found.clean, LANGUAGES["family"]
    )
    said = conclusion.primary(found, found.table(), contrast, "1 seed, given one encoder")
    assert "cannot be told from" in said and "95 %" not in said


def test_each_comparison_is_worded_by_its_interval(study: Profile) -> None:
    planted = {"ud_parsing": 0.06, "stsb": 0.00, "ud_parsing_shuffled": 0.01, "stsb-bi": 0.06,
               "ccg": 0.00, "mlm_on_ewt_text": 0.03}  # fmt: skip
    found = measured(study, planted, noise=0.003)
    table, conditions = found.table(), found.of_conditions()
    said = " ".join([*conclusion.beside(table, conditions), *conclusion.variants(table)])
    assert "`ud_parsing`: its gain over `none` rises" in said
    assert "`stsb`: its gain over `none` shows no detectable change" in said
    assert "`ud_parsing` transfers more than its placebo: shuffled trees" in said
    assert "`stsb` transfers less than its placebo: MLM on parsing text" in said
    assert "`stsb-bi` transfers more than `stsb`" in said
    assert "`ud_parsing` cannot be told from `stsb-bi`" in said
    assert "`ccg` cannot be told from `stsb`" in said


def test_comparisons_beside_the_primary_one_are_adjusted_for_their_number(study: Profile) -> None:
    # Two of three p-values under 0.05: 0.01 and 0.03 by Student's t of 8 runs; by Holm 0.03, 0.06.
    rows = [("primary", 0.001), ("placebo", 0.01), ("examples", 0.03), ("parser", 0.5)]
    half = 2.364624  # the 97.5 % quantile with 7 degrees of freedom, as in any table
    table = pd.DataFrame(
        {"question": question, "first": "ud_parsing", "second": "x", "measure": "transfer_gain",
         "cells": "all", "mean": scipy.stats.t.isf(p / 2, 7) / 100, "replicates": 8}
        for question, p in rows
    )  # fmt: skip
    table = table.assign(low=table["mean"] - half / 100, high=table["mean"] + half / 100)
    conditions = measured(study, {"ud_parsing": 0.0, "stsb": 0.0}).of_conditions()
    placebo = conclusion.beside(table, conditions)[1]
    examples, parser = conclusion.variants(table)
    assert "transfers more than" in placebo and "adjusting" not in placebo
    assert examples.endswith(
        "8 runs, but not after adjusting for the number of such lines (Holm p 0.06)."
    )
    assert "cannot be told from" in parser and "adjusting" not in parser


def test_what_the_source_does_to_the_transfer_gain_is_said(study: Profile) -> None:
    found = measured(study, {"ud_parsing": 0.01, "stsb": 0.02}, noise=0.002)
    worse = (found.gains["condition"] == "stsb") & (found.gains["language"] == "en")
    found.gains.loc[worse, "gain"] -= 0.05
    ends = found.in_source(pairing.pairs(study)[0])
    assert ends.mean == pytest.approx(0.05, abs=0.003) and ends.low > 0
    said = conclusion.measures(found.table(), ends)
    assert said[0].startswith("By plain gain `ud_parsing` is under `stsb`: −0.9")
    assert said[1].startswith("By transfer gain in log-odds `ud_parsing` is under `stsb`: −0.0")
    assert "points" in said[0] and "points" not in said[1]
    assert "source: `ud_parsing` does better there than `stsb`, +5." in said[-1]


def test_nothing_is_said_of_a_family_of_one_task() -> None:
    said = conclusion.families(Interval(np.nan, np.nan, np.nan), ["ud_parsing", "stsb"], 4)
    assert said.startswith("Of the families nothing is said")
    assert "more than" in conclusion.families(Interval(0.02, 0.01, 0.03), ["a", "b", "c", "d"], 4)


def test_an_encoder_at_the_floor_is_said_to_answer_nothing() -> None:
    floor = pd.DataFrame({"replicates": [3]})
    assert "cannot answer the question" in conclusion.lifts(floor, 40, 9)
    assert "cannot answer" not in conclusion.lifts(floor, 40, 10)
    assert "unknown" in conclusion.lifts(pd.DataFrame({"replicates": [1]}), 40, 40)


def test_figures_of_comparisons_draw_every_row_in_points(study: Profile) -> None:
    planted = {"ud_parsing": 0.04, "stsb": 0.01, "ud_parsing-n125": 0.01, "stsb-n125": 0.01,
               "ud_parsing_shuffled": 0.0, "sick": 0.0}  # fmt: skip
    found = measured(study, planted, noise=0.004)
    table, conditions = found.table(), found.of_conditions()
    by_size = found.by_size({"ud_parsing": 2000, "stsb": 2000})
    figure, drawn = comparison_plots.comparisons(table)
    assert len(drawn) == len(table) - 4
    assert drawn["mean"].iloc[0] == pytest.approx(100 * table["mean"].iloc[0])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0] == "ud_parsing − stsb (4)"
    figure, drawn = comparison_plots.gains_by_condition(conditions)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert {label.split(" ")[0] for label in labels} == set(planted)
    assert labels.index("ud_parsing (4)") < labels.index("stsb (4)")
    figure, drawn = comparison_plots.learning_curve(by_size)
    assert sorted(drawn["of"].unique()) == ["difference", "stsb", "ud_parsing"]
    assert figure.axes[0].get_xscale() == "log" and "4 runs" in figure.get_suptitle()
