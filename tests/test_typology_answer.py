"""The words of the analysis of typology follow its numbers."""

import numpy as np
import pandas as pd
import pytest

from lib import typology_answer

LABELS = {"distance": "distance", "same_script": "script", "articles": "articles", "negation": "no"}
DIFFERENCE = {"outcome": "difference", "condition": "ud_parsing - stsb", "measure": "distance"}


def slopes(mean: float, half: float) -> pd.DataFrame:
    ends = {"mean": mean, "low": mean - half, "high": mean + half, "spearman": mean, "p": 0.02}
    gain = {"outcome": "gain", "condition": "stsb", "measure": "distance"}
    return pd.DataFrame([DIFFERENCE | ends, gain | ends])


@pytest.mark.parametrize(
    ("mean", "half", "words"),
    [
        (0.2, 0.1, "grows: +2.00 points (95 % +1.00 to +3.00) per 0.1, Spearman +0.20 (p 0.02)"),
        (-0.2, 0.1, "falls: −2.00 points (95 % −3.00 to −1.00)"),
        (0.1, 0.2, "shows no detectable trend: +1.00 points (95 % −1.00 to +3.00)"),
        (0.1, np.nan, "has no interval for its trend: +1.00 points per 0.1"),
    ],
)
def test_a_trend_is_named_by_its_interval(mean, half, words):
    (line,) = typology_answer.by_distance(slopes(mean, half), {"distance": "distance"})
    assert f"`ud_parsing` − `stsb` {words}" in line and "that of `stsb`" in line


def test_controls_are_named_with_what_is_left_of_the_slope():
    row = {"cells": "all cells", "measure": "distance", "languages": 24}
    ends = {"slope": 0.1, "slope_low": 0.05, "slope_high": 0.15}
    held = {"slope": 0.01, "slope_low": -0.05, "slope_high": 0.07}
    effects = pd.DataFrame(
        [
            row | {"term": "distance", "adjusted": False} | ends,
            row | {"term": "distance", "adjusted": True} | held,
            row | {"term": "same_script", "adjusted": True},
        ]
    )
    (line,) = typology_answer.with_controls(effects, LABELS)
    assert "(24 languages): +1.00 points (95 % +0.50 to +1.50) per 0.1" in line
    assert line.endswith("+0.10 (95 % −0.50 to +0.70) with script.")
    fewer = effects.assign(languages=[24, 19, 19])
    (line,) = typology_answer.with_controls(fewer, LABELS)
    assert "(24 languages): +1.00" in line and line.endswith("with script (19 languages).")
    (alone,) = typology_answer.with_controls(effects[:1], LABELS)
    assert alone.endswith("no control could be held.")
    (none,) = typology_answer.with_controls(effects[:0], LABELS)
    assert "too few languages" in none


@pytest.mark.parametrize(
    ("means", "words"),
    [
        ((0.2, 0.1, 0.3), "lies between +1.00 and +3.00 points per 0.1 and keeps its sign; its "
         "interval leaves out 0 in 2 of 2 cases"),
        ((0.02, -0.01, 0.3), "between −0.10 and +3.00 points per 0.1 and changes its sign; its "
         "interval leaves out 0 in 1 of 2 cases"),
    ],
)  # fmt: skip
def test_the_families_range_sign_and_count_are_said(means, words):
    table = pd.DataFrame({"left_out": ["none", "A", "B"], "mean": means})
    table = table.assign(low=table["mean"] - 0.05, high=table["mean"] + 0.05)
    assert words in typology_answer.without_families(table)


def test_a_family_without_which_there_is_no_slope_is_not_counted():
    table = pd.DataFrame({"left_out": ["none", "A", "B"], "mean": [0.2, np.nan, 0.1]})
    table = table.assign(low=table["mean"] - 0.05, high=table["mean"] + 0.05)
    words = typology_answer.without_families(table)
    assert "keeps its sign" in words and "1 of 1 cases" in words
    assert "too few languages" in typology_answer.without_families(table[:2])
    single = typology_answer.without_families(table.assign(low=np.nan, high=np.nan))
    assert single.endswith("keeps its sign; it has no interval.")


def test_log_odds_are_not_called_points():
    table = slopes(0.5, 0.1).assign(scale="log-odds", cells="all cells")
    words = "In log-odds it grows: +0.050 (95 % +0.040 to +0.060) per 0.1 of distance."
    assert typology_answer.in_log_odds(table) == words


def test_a_parameter_counts_only_where_the_interval_for_all_leaves_out_zero():
    table = pd.DataFrame({"term": ["articles", "negation"], "mean": [-0.03, 0.04]})
    table = table.assign(outcome="gain, stsb", low=table["mean"] - 0.01, high=table["mean"] + 0.01)
    table["low_all"] = table["mean"] - [0.02, 0.05]
    table["high_all"] = table["mean"] + [0.02, 0.05]
    (line,) = typology_answer.by_parameter(table, LABELS)
    assert "gain, stsb: the largest effect is no, +4.00 points (95 % +3.00 to +5.00)" in line
    assert line.endswith("for all 2 at once: articles −3.00 (95 % −4.00 to −2.00).")
    table[["low", "high", "low_all", "high_all"]] = np.nan
    assert "one run has no interval" in typology_answer.by_parameter(table, LABELS)[0]
    assert "world_factorial" in typology_answer.by_parameter(None, LABELS)[0]
