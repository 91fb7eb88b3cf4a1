"""Planted slopes, confounds and parameters are found in synthetic tables of scores."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api
from scipy import stats

from lib import statistics, trends
from lib.errors import InputError
from lib.world.language import PARAMETERS, factorial_design

PAIR = ("ud_parsing", "stsb")
TARGETS = ["panx", "xnli"]
CODES = [f"l{i:02}" for i in range(24)]
RNG = np.random.default_rng(7)
DISTANCE = pd.Series(np.linspace(0.1, 0.7, 24), index=CODES)
SCRIPT = pd.Series((DISTANCE + RNG.normal(0, 0.12, 24) < 0.4).astype(float), index=CODES)
FAMILY = pd.Series(list("AABBCCDDEEFF") * 2, index=CODES)


def scores(effect: pd.Series, noise: float = 0.004, seeds: int = 3, floor: float = 0.3):
    """Return a tidy table in which `ud_parsing` adds `effect` to each language's score."""
    rng = np.random.default_rng(1)
    start = pd.Series(0.7 - 0.3 * DISTANCE.to_numpy(), index=CODES)
    rows = []
    for seed in range(1, seeds + 1):
        for target, shift in zip(TARGETS, (0.0, 0.1), strict=True):
            for condition in ("none", "random", *PAIR):
                for code in ["en", *CODES]:
                    value = 0.75 if code == "en" else start[code] + shift
                    if condition == "ud_parsing" and code != "en":
                        value += effect[code]
                    if condition == "stsb":
                        value += 0.02
                    if condition == "random":
                        value = floor
                    rows.append((condition, target, code, value + rng.normal(0, noise), seed))
    table = pd.DataFrame(rows, columns=["condition", "target", "language", "value", "seed"])
    return table.assign(encoder_seed=1, n=500, metric="accuracy", reported=True, layer=pd.NA)


def fitted(effect: pd.Series, **options) -> tuple[pd.DataFrame, pd.DataFrame]:
    gains = statistics.gains(scores(effect, **options))
    return gains, trends.outcomes(gains, PAIR, TARGETS)


def test_outcomes_are_means_over_targets_of_what_statistics_gives():
    gains, values = fitted(0.2 * DISTANCE)
    kinds = values.groupby(["outcome", "condition"], sort=False).size()
    assert kinds.index.tolist() == [
        *(("gain", name) for name in PAIR),
        *(("transfer gain", name) for name in PAIR),
        ("difference", "ud_parsing - stsb"),
    ]
    assert (kinds == 24 * 3).all() and "en" not in set(values["language"])
    cells = gains[(gains["condition"] == "stsb") & (gains["language"] == "l05")]
    expected = cells.groupby("replicate")["transfer_gain"].mean()
    found = values[(values["outcome"] == "transfer gain") & (values["condition"] == "stsb")]
    found = found[found["language"] == "l05"].set_index("replicate")["value"]
    assert found[expected.index].to_numpy() == pytest.approx(expected.to_numpy())


def test_a_planted_slope_is_found_in_gain_and_difference_and_nowhere_else():
    _, values = fitted(0.05 + 0.2 * DISTANCE)
    slopes, bands = trends.against(values, DISTANCE.to_frame("distance"))
    found = slopes.set_index(["outcome", "condition"])
    for key in (("gain", "ud_parsing"), ("difference", "ud_parsing - stsb")):
        assert found.loc[key, "low"] < 0.2 < found.loc[key, "high"]
        assert found.loc[key, "low"] > 0.1 and found.loc[key, "spearman"] > 0.9
    assert found.loc[("gain", "stsb"), "low"] < 0 < found.loc[("gain", "stsb"), "high"]
    # Per standard deviation: of 24 equal steps of 0.6 / 23.
    assert found["mean_sd"].to_numpy() == pytest.approx((found["mean"] * DISTANCE.std()).to_numpy())
    assert len(bands) == 5 * 40 and set(bands["measure"]) == {"distance"}


def test_a_planted_null_is_not_found():
    _, values = fitted(0.0 * DISTANCE + 0.05)
    slopes, _ = trends.against(values, DISTANCE.to_frame("distance"))
    assert ((slopes["low"] < 0) & (slopes["high"] > 0)).all()


def test_spearman_and_its_exact_p_value_are_those_of_scipy():
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 3, 5, 4])
    rank, p = trends.spearman(x, y)
    assert rank == pytest.approx(stats.spearmanr(x, y).statistic)
    # Of 120 permutations, 16 reach 0.8 either way (tables of Spearman's rho at n = 5: p 0.133).
    assert p == pytest.approx(16 / 120)
    assert np.isnan(trends.spearman(x, np.ones(5))).all()


def test_without_a_family_the_slope_is_that_of_the_other_languages():
    _, values = fitted((0.2 * DISTANCE).mask(FAMILY == "C", 0.5))
    difference = values[values["outcome"] == "difference"]
    found = trends.without_each_family(difference, DISTANCE, FAMILY).set_index("left_out")
    assert found.index.tolist() == ["none", *"ABCDEF"]
    means = difference.groupby("language")["value"].mean()
    kept = means[FAMILY[means.index] != "C"]
    expected = stats.linregress(DISTANCE[kept.index], kept).slope
    assert found.loc["C", "mean"] == pytest.approx(expected) and found.loc["C", "languages"] == 20
    assert found.loc["C", "low"] < 0.2 < found.loc["C", "high"]


def difference_of(effect: pd.Series, **options) -> pd.DataFrame:
    return statistics.difference(fitted(effect, **options)[0], *PAIR)


def test_a_slope_that_is_the_scripts_vanishes_once_script_is_held():
    difference = difference_of(-0.1 * SCRIPT)
    alone, slope = trends.adjusted(difference, DISTANCE, pd.DataFrame(index=SCRIPT.index))
    assert slope.low > 0  # script goes with distance
    both, controlled = trends.adjusted(difference, DISTANCE, SCRIPT.to_frame("same_script"))
    assert controlled.low < 0 < controlled.high
    script = both.set_index("term").loc["same_script"] / SCRIPT.std()
    assert script["low"] < -0.1 < script["high"] < 0
    assert alone["term"].tolist() == ["distance"] and (both["languages"] == 24).all()


def test_a_slope_that_is_the_distances_stands_with_script_held():
    effect = 0.2 * DISTANCE - 0.1 * SCRIPT
    _, slope = trends.adjusted(difference_of(effect), DISTANCE, SCRIPT.to_frame("same_script"))
    assert 0.1 < slope.low < 0.2 < slope.high


def test_adjusted_effects_of_complete_tables_are_least_squares_over_language_means():
    difference = difference_of(0.2 * DISTANCE + pd.Series(RNG.normal(0, 0.05, 24), index=CODES))
    found, slope = trends.adjusted(difference, DISTANCE, SCRIPT.to_frame("same_script"))
    means = difference.groupby("language")["difference"].mean()
    terms = pd.DataFrame({"distance": DISTANCE, "same_script": SCRIPT}).loc[means.index]
    fit = statsmodels.api.OLS(means, statsmodels.api.add_constant(terms)).fit()
    assert slope.mean == pytest.approx(fit.params["distance"], rel=1e-6)
    assert slope[1:] == pytest.approx(tuple(fit.conf_int().loc["distance"]), rel=1e-4)
    expected = fit.params[["distance", "same_script"]] * terms.std()
    assert found["estimate"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-6)


def test_languages_whose_control_is_unknown_are_left_out_of_that_model_only():
    controls = SCRIPT.to_frame("same_script").assign(text_doublings=RNG.normal(size=24))
    controls.loc["l03", "text_doublings"] = np.nan
    difference, cells = difference_of(0.2 * DISTANCE), {"all cells": every()}
    found, lines = trends.models(difference, DISTANCE.to_frame("distance"), controls, cells)
    assert found.groupby("adjusted")["languages"].max().to_dict() == {False: 24, True: 23}
    assert lines == []
    with pytest.raises(InputError, match="no language is left"):
        trends.adjusted(difference, DISTANCE, controls * np.nan)


def every() -> pd.MultiIndex:
    return pd.MultiIndex.from_product([TARGETS, CODES], names=["target", "language"])


def test_models_say_why_a_subset_has_none_and_go_on():
    few = every()[:2]
    found, lines = trends.models(
        difference_of(0.2 * DISTANCE),
        DISTANCE.to_frame("distance"),
        SCRIPT.to_frame("same_script"),
        {"few": few, "none": every()[:0], "all cells": every()},
    )
    assert set(found["cells"]) == {"all cells"}
    why = [line.removeprefix("few, distance: ").split(":")[0] for line in lines]
    assert why == ["same script as the source is left out", "mixed model", "none, distance"]


def test_subsets_are_named_only_where_they_leave_something_out():
    gains = statistics.gains(scores(0.0 * DISTANCE))
    assert list(trends.subsets(gains, pd.DataFrame(index=CODES))) == ["all cells"]
    half = statistics.gains(scores(0.0 * DISTANCE, floor=0.6))
    attested = pd.DataFrame({"attested_share": [0.2, 0.5] + [0.9] * 22}, index=CODES)
    found = trends.subsets(half, attested)
    assert list(found) == ["all cells", "above the floor", "syntax attested by 40 %"]
    assert len(found["all cells"]) == 48 and len(found["syntax attested by 40 %"]) == 46
    # `none` is 0.7 - 0.3 distance, and 0.1 more in xnli: clearly over 0.6 below these distances.
    above = found["above the floor"].get_level_values("target")
    assert 0 < (above == "panx").sum() < (above == "xnli").sum() <= 24


def test_sensitivity_repeats_the_slope_per_scale_and_subset():
    gains, values = fitted(0.2 * DISTANCE)
    cells = {"all cells": every(), "near": every()[DISTANCE[every().get_level_values(1)] < 0.4]}
    measures = DISTANCE.to_frame("distance")
    found = trends.sensitivity(gains, PAIR, TARGETS, measures, cells)
    assert found[["scale", "cells"]].to_numpy().tolist() == [
        [scale, name] for scale in ("share", "log-odds") for name in cells
    ]
    whole = trends.against(values[values["outcome"] == "difference"], measures)[0]
    assert found.loc[0, "mean"] == pytest.approx(whole.loc[0, "mean"])
    assert found["languages"].tolist() == [24, 12, 24, 12]


def test_the_two_scales_are_two():
    gains = statistics.gains(scores(0.2 * DISTANCE))
    points, odds = (trends.outcomes(gains, PAIR, TARGETS, "en", scale) for scale in (False, True))
    for outcome, measure in (("gain", "gain"), ("transfer gain", "transfer_gain")):
        for values, name in ((points, measure), (odds, f"log_odds_{measure}")):
            kept = gains[(gains["condition"] == "stsb") & (gains["language"] != "en")]
            found = values[(values["outcome"] == outcome) & (values["condition"] == "stsb")]
            assert found["value"].mean() == pytest.approx(kept[name].mean())
    difference = [v.loc[v["outcome"] == "difference", "value"].mean() for v in (points, odds)]
    assert abs(difference[0] - difference[1]) > 0.01


def test_each_measure_of_distance_has_its_own_slope():
    difference = difference_of(0.2 * DISTANCE)
    both = pd.DataFrame({"up": DISTANCE, "down": 1 - DISTANCE})
    effects, _ = trends.models(
        difference, both, pd.DataFrame(index=DISTANCE.index), {"all": every()}
    )
    slopes = effects[effects["term"] == "distance"].set_index("measure")["slope"]
    assert slopes["up"] == pytest.approx(0.2, abs=0.03)
    assert slopes["down"] == pytest.approx(-slopes["up"])


def test_ranks_are_those_of_the_means_over_replicates():
    codes = CODES[:4]
    rows = [("difference", "a - b", code, str(replicate), value)
            for replicate, values in ((1, (1, 2, 3, 4)), (2, (40, 30, 20, 10)))
            for code, value in zip(codes, values, strict=True)]  # fmt: skip
    values = pd.DataFrame(rows, columns=["outcome", "condition", "language", "replicate", "value"])
    slopes, _ = trends.against(values, DISTANCE[codes].to_frame("distance"))
    assert slopes["spearman"].tolist() == pytest.approx([-1])


def test_a_planted_parameter_is_found_by_the_factorial_design_and_no_other():
    design = pd.DataFrame(factorial_design(), columns=list(PARAMETERS), index=CODES).astype(int)
    table = scores(0.06 * design["case_marking"], noise=0.01)
    values = trends.outcomes(statistics.gains(table), PAIR, TARGETS)
    found = trends.by_parameter(table, values, TARGETS, design)
    assert found["outcome"].unique().tolist() == [
        "score under none", "gain, ud_parsing", "gain, stsb", "ud_parsing - stsb",
    ]  # fmt: skip
    sure = found[(found["low_all"] > 0) | (found["high_all"] < 0)]
    hits = sure[sure["outcome"] != "score under none"].set_index("outcome")
    assert hits["term"].to_dict() == {
        "gain, ud_parsing": "case_marking", "ud_parsing - stsb": "case_marking",
    }  # fmt: skip
    assert ((hits["low"] < 0.06) & (hits["high"] > 0.06)).all()
