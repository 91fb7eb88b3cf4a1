"""Gains, contrasts, intervals and tests agree with hand-worked cases and independent references."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import statsmodels.api
from scipy import stats
from statsmodels.stats.multitest import multipletests

from lib import statistics
from lib.errors import InputError

COLUMNS = ["condition", "target", "language", "value", "seed", "encoder_seed"]


def tidy(rows: list[tuple]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(metric="accuracy", n=99, split="test", layer=pd.NA, reported=True)


SMALL = tidy(
    [
        ("none", "xnli", "en", 0.70, 1, 1),
        ("none", "xnli", "de", 0.50, 1, 1),
        ("ud_parsing", "xnli", "en", 0.72, 1, 1),
        ("ud_parsing", "xnli", "de", 0.57, 1, 1),
        ("stsb", "xnli", "en", 0.75, 1, 1),
        ("stsb", "xnli", "de", 0.51, 1, 1),
    ]
)


def test_gains_and_transfer_gains_are_those_worked_by_hand():
    gains = statistics.gains(SMALL).set_index(["condition", "language"])
    assert gains.loc[("ud_parsing", "de"), "gain"] == pytest.approx(0.07)
    assert gains.loc[("ud_parsing", "de"), "transfer_gain"] == pytest.approx(0.05)
    assert gains.loc[("stsb", "de"), "transfer_gain"] == pytest.approx(-0.04)
    assert gains.loc[("stsb", "en"), "transfer_gain"] == 0
    # (0.57 * 99 + 0.5) / 100 = 0.5693 and (0.5 * 99 + 0.5) / 100 = 0.5, whose log-odds is 0.
    expected = np.log(0.5693 / 0.4307)
    assert gains.loc[("ud_parsing", "de"), "log_odds_gain"] == pytest.approx(expected)


def test_log_odds_of_perfect_and_zero_scores_are_finite_and_opposite():
    ends = statistics.log_odds(pd.Series([0.0, 1.0]), pd.Series([10, 10]))
    assert ends.tolist() == pytest.approx([np.log(0.5 / 10.5), np.log(10.5 / 0.5)])


def test_retrieval_without_a_source_score_has_a_gain_but_no_transfer_gain():
    gains = statistics.gains(SMALL[SMALL["language"] != "en"])
    assert gains["gain"].notna().all() and gains["transfer_gain"].isna().all()


def test_scores_that_are_not_reported_do_not_enter():
    other = SMALL.assign(value=0.0, metric="f1", reported=False)
    mixed = pd.concat([SMALL, other], ignore_index=True)
    pd.testing.assert_frame_equal(statistics.gains(mixed), statistics.gains(SMALL))


def test_a_language_that_only_some_seeds_evaluated_is_left_out_of_the_gains():
    again = SMALL.assign(seed=2)
    extra = SMALL[SMALL["language"] == "de"].assign(language="tr")
    gains = statistics.gains(pd.concat([SMALL, again, extra], ignore_index=True))
    assert set(gains["language"]) == {"en", "de"}


def test_missing_baseline_and_doubly_reported_cells_are_refused():
    with pytest.raises(InputError, match="'none'"):
        statistics.gains(SMALL[SMALL["condition"] != "none"])
    with pytest.raises(InputError, match="none/xnli/en/1/1"):
        statistics.gains(pd.concat([SMALL, SMALL]))


def test_the_replicate_is_the_encoder_once_there_are_three():
    rows = [("none", "xnli", "de", 0.5, seed, encoder) for seed in (1, 2) for encoder in (1, 2, 3)]
    table = tidy(rows)
    assert statistics.replicates(table).nunique() == 3
    assert statistics.scope(table) == "3 encoders"
    two = table[table["encoder_seed"] < 3]
    assert statistics.replicates(two).nunique() == 4
    assert statistics.scope(two) == "4 seeds, given these 2 encoders"


def test_t_interval_agrees_with_scipy_and_one_value_has_none():
    values = [0.1, 0.4, 0.2]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    interval = statistics.t_interval(values)
    assert interval[1:] == pytest.approx((expected.low, expected.high))
    assert np.isnan(statistics.t_interval([0.3])[1:]).all()


def difference_of(values: dict) -> pd.DataFrame:
    rows = [(*key, value) for key, value in values.items()]
    return pd.DataFrame(rows, columns=["target", "language", "replicate", "difference"])


def test_difference_of_transfer_gains_is_worked_by_hand_and_leaves_the_source_out():
    difference = statistics.difference(statistics.gains(SMALL), "ud_parsing", "stsb")
    assert difference["language"].tolist() == ["de"]
    assert difference["difference"].tolist() == pytest.approx([0.09])
    with pytest.raises(InputError, match="mlm"):
        statistics.difference(statistics.gains(SMALL), "ud_parsing", "mlm")


def test_language_means_are_plain_means_when_complete_and_additive_fits_when_not():
    language, target = {"a": 0.1, "b": 0.3, "c": -0.2}, {"x": 0.0, "y": 0.6}
    full = {(t, lang, "1"): language[lang] + target[t] for lang in language for t in target}
    expected = [0.4, 0.6, 0.1]
    plain = statistics.language_means(difference_of(full), ["x", "y"])
    assert plain["difference"].tolist() == pytest.approx(expected)
    del full["y", "b", "1"]
    unknown = full | {("y", "b", "1"): float("nan"), ("x", "d", "1"): float("nan")}
    for values in (full, unknown):  # a difference that is not a number is one that is not there
        holed = statistics.language_means(difference_of(values), ["x", "y"])
        assert holed["language"].tolist() == ["a", "b", "c"]
        assert holed["difference"].tolist() == pytest.approx(expected)


def test_language_means_agree_with_statsmodels_on_noisy_incomplete_data():
    rng = np.random.default_rng(3)
    cells = [(t, lang, "1") for t in "xyz" for lang in "abcdef"]
    values = difference_of({cell: rng.normal() for cell in cells if rng.random() < 0.8})
    fit = statsmodels.api.OLS.from_formula("difference ~ C(language) + C(target)", values).fit()
    grid = pd.DataFrame(list(product("abcdef", "xyz")), columns=["language", "target"])
    expected = fit.predict(grid).groupby(grid["language"]).mean()
    found = statistics.language_means(values, list("xyz")).set_index("language")["difference"]
    assert found.to_numpy() == pytest.approx(expected[found.index].to_numpy())


def test_language_means_of_many_languages_agree_with_one_least_squares_fit():
    rng = np.random.default_rng(4)
    codes = [f"q{i:02}" for i in range(60)]
    cells = [(t, code, "1") for t in "vwxyz" for code in codes if t == "v" or rng.random() < 0.5]
    values = difference_of({cell: rng.normal() for cell in cells})
    design = pd.concat([pd.get_dummies(values[key]) for key in ("language", "target")], axis=1)
    fitted = np.linalg.lstsq(design.to_numpy(float), values["difference"], rcond=None)[0]
    found = statistics.language_means(values, list("vwxyz"))
    assert found["language"].tolist() == codes
    assert found["difference"].to_numpy() == pytest.approx(fitted[:60] + fitted[60:].mean())


def test_sign_flips_agree_with_scipy_when_every_language_is_its_own_family():
    values = np.random.default_rng(0).normal(0.4, 1, 8)
    expected = stats.permutation_test((values,), np.mean, permutation_type="samples")
    assert statistics.sign_flip_test(values, list("abcdefgh")) == pytest.approx(expected.pvalue)


def test_sign_flips_move_whole_families_by_brute_force():
    values, clusters = np.array([0.3, 0.1, -0.2, 0.5, 0.4]), ["a", "a", "b", "c", "c"]
    means = []
    for a, b, c in product([1, -1], repeat=3):
        means.append(abs(np.mean(values * np.array([a, a, b, c, c]))))
    expected = np.mean(np.array(means) >= abs(values.mean()) - 1e-12)
    assert statistics.sign_flip_test(values, clusters) == pytest.approx(expected)
    # Three families cannot give less than 2 / 2**3.
    assert statistics.sign_flip_test([1.0, 1.0, 1.0], list("abc")) == 0.25


def test_many_families_are_sampled_close_to_the_exact_p():
    values = np.random.default_rng(2).normal(0.35, 1, 18)
    signs = np.array(list(product([1, -1], repeat=18)))
    exact = np.mean(np.abs(signs @ values) >= abs(values.sum()) - 1e-12)
    assert statistics.sign_flip_test(values, range(18)) == pytest.approx(exact, abs=0.01)


def test_holm_agrees_with_statsmodels():
    for p in ([0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.9], [0.2]):
        assert statistics.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_contrast_averages_clean_targets_within_replicates():
    values = {
        ("x", "a", "1"): 0.1, ("x", "b", "1"): 0.3, ("x", "a", "2"): 0.2, ("x", "b", "2"): 0.2,
        ("y", "a", "1"): 0.5, ("y", "b", "1"): 0.7, ("y", "a", "2"): 0.1, ("y", "b", "2"): 0.1,
        ("z", "a", "1"): 9.0, ("z", "b", "1"): 9.0, ("z", "a", "2"): 9.0, ("z", "b", "2"): 9.0,
    }  # fmt: skip
    family = pd.Series({"a": "F", "b": "G"})
    found = statistics.contrast(difference_of(values), ["x", "y"], family).set_index("target")
    # Replicate 1: (0.2 + 0.6) / 2 = 0.4; replicate 2: (0.2 + 0.1) / 2 = 0.15.
    expected = stats.ttest_1samp([0.4, 0.15], 0).confidence_interval()
    assert found.loc["clean mean", ["low", "high"]].tolist() == pytest.approx(list(expected))
    assert found.loc["clean mean", "mean"] == pytest.approx(0.275)
    assert found["clean"].to_dict() == {"x": True, "y": True, "z": False, "clean mean": True}
    assert found.loc["clean mean", ["families", "smallest_p", "p"]].tolist() == [2, 0.5, 0.5]


def test_p_of_the_clean_mean_is_that_of_the_mean_that_is_shown_where_languages_lack_targets():
    sign = {"a": 0.03, "b": 0.03, "c": -0.03, "d": -0.03}
    values = {("x", language, "1"): size for language, size in sign.items()}
    values |= {("y", language, "1"): 0.03 for language in "ab"}
    family = pd.Series({language: language for language in "abcd"})
    row = statistics.contrast(difference_of(values), ["x", "y"], family).iloc[-1]
    assert row["mean"] == pytest.approx(0.015)
    # a and b add 0.01125 each, c and d -0.00375: of 16 flips the 8 that leave a and b alike.
    assert row["p"] == 0.5


def test_a_replicate_that_lacks_a_target_enters_neither_mean_nor_p_nor_language_means():
    rng = np.random.default_rng(0)
    values = {(t, lang, r): rng.normal() for t in "xy" for lang in "abc" for r in "1234"}
    family = pd.Series({"a": "F", "b": "G", "c": "H"})
    partly = {key: value for key, value in values.items() if key[0] == "x" or key[2] != "4"}
    whole = {key: value for key, value in values.items() if key[2] != "4"}
    found, expected = (
        statistics.contrast(difference_of(each), ["x", "y"], family).iloc[-1]
        for each in (partly, whole)
    )
    pd.testing.assert_series_equal(found, expected)
    assert found["replicates"] == 3
    means = statistics.language_means(difference_of(partly), ["x", "y"])
    assert set(means["replicate"]) == {"1", "2", "3"}


def test_what_no_seed_changes_has_no_interval_and_counts_encoders():
    rows = [("none", "tatoeba", "de", 0.3 + encoder / 10, seed, encoder)
            for encoder in (1, 2) for seed in (encoder, encoder + 2, encoder + 4)]  # fmt: skip
    varied = [(*row[:3], row[3] + row[4] / 100, *row[4:]) for row in rows]
    found = {}
    for name, cells in (("copies", rows), ("varied", varied), ("three", [
        *rows, ("none", "tatoeba", "de", 0.6, 3, 3)])):  # fmt: skip
        table = tidy(cells)
        table = table.assign(replicate=statistics.replicates(table))
        found[name] = statistics.over_replicates(table, ["condition"], "value").iloc[0]
    assert found["copies"]["mean"] == pytest.approx(0.45)
    assert found["copies"]["replicates"] == 2 and np.isnan(found["copies"]["low"])
    assert found["varied"]["replicates"] == 6 and found["varied"]["low"] > 0
    # Three encoders are replicates themselves.
    assert found["three"]["replicates"] == 3 and found["three"]["low"] > 0


def test_trained_runs_that_tie_by_chance_are_runs_still():
    # Two runs of the first encoder tie in German, not in French; parsing ties in both, trained.
    rows = [("none", "xnli", "de", 0.5, 1, 1), ("none", "xnli", "de", 0.4, 2, 2),
            ("none", "xnli", "de", 0.5, 3, 1), ("none", "xnli", "fr", 0.3, 1, 1),
            ("none", "xnli", "fr", 0.3, 2, 2), ("none", "xnli", "fr", 0.2, 3, 1)]  # fmt: skip
    rows += [("ud_parsing", "bucc", "de", 0.1 * encoder, seed, encoder)
             for seed, encoder in ((1, 1), (2, 2), (3, 1))]  # fmt: skip
    table = tidy(rows)
    table = table.assign(replicate=statistics.replicates(table))
    found = statistics.over_replicates(table, ["condition", "target", "language"], "value")
    assert (found["replicates"] == 3).all() and found["low"].notna().all()


@pytest.mark.parametrize("families", [2, 16, 20])
def test_the_smallest_p_is_that_of_values_that_all_agree(families: int):
    smallest = statistics.sign_flip_test(np.ones(families), list(range(families)))
    values = {("x", f"l{i}", "1"): 1.0 for i in range(families)}
    family = pd.Series({f"l{i}": i for i in range(families)})
    row = statistics.contrast(difference_of(values), ["x"], family).iloc[-1]
    assert row["p"] == row["smallest_p"] == smallest


def test_a_mean_over_targets_that_languages_lack_is_called_what_it_is():
    full = {(t, lang, "1"): 0.1 for t in "xy" for lang in "ab"}
    assert statistics.average(difference_of(full), ["x", "y"]) == "mean"
    del full["y", "b", "1"]
    assert statistics.average(difference_of(full), ["x", "y"]) == "least-squares mean"
    assert statistics.average(difference_of(full), ["x"]) == "mean"


def matrix(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"l{i}" for i in range(values.shape[1])])


def test_slope_with_equal_replicates_is_the_ols_slope_interval_and_band_of_statsmodels():
    rng = np.random.default_rng(1)
    x, y = np.linspace(0.1, 0.6, 9), rng.normal(0, 1, 9)
    fit = statsmodels.api.OLS(y, statsmodels.api.add_constant(x)).fit()
    values = matrix(np.vstack([y, y, y]))
    slope, band = statistics.slope(values, pd.Series(x, index=values.columns))
    assert slope.mean == pytest.approx(fit.params[1])
    assert slope[1:] == pytest.approx(tuple(fit.conf_int()[1]))
    expected = fit.get_prediction().conf_int()
    assert band[["low", "high"]].to_numpy() == pytest.approx(expected)


def test_slope_of_exact_lines_is_the_t_interval_over_the_slopes_of_replicates():
    x, slopes = np.linspace(0.1, 0.6, 6), np.array([0.1, 0.5, 0.3])
    values = matrix(slopes[:, None] * x + 0.2)
    found = statistics.slope(values, pd.Series(x, index=values.columns)).slope
    expected = stats.ttest_1samp(slopes, 0).confidence_interval()
    assert found == pytest.approx((0.3, expected.low, expected.high))


def test_slope_has_no_interval_for_one_replicate_and_none_at_all_for_one_distance():
    values = matrix(np.array([[0.1, 0.3, 0.2]]))
    distance = pd.Series([0.1, 0.2, 0.3], index=values.columns)
    one = statistics.slope(values, distance).slope
    assert one.mean == pytest.approx(0.5) and np.isnan(one[1:]).all()
    assert np.isnan(statistics.slope(values, distance * 0).slope).all()


# Standard deviations of: languages, replicates' shifts, replicates' slopes, noise of single cells.
SOURCES_OF_VARIANCE = {
    "languages": (0.05, 0.0, 0.0, 0.01),
    "replicates": (0.005, 0.05, 0.15, 0.01),
    "all three": (0.03, 0.03, 0.08, 0.03),
}


@pytest.mark.parametrize("languages", [8, 36])
@pytest.mark.parametrize("case", SOURCES_OF_VARIANCE)
def test_the_slope_interval_covers_the_truth_as_often_as_it_says_at_three_replicates(
    case, languages
):
    of_language, shift, tilt, noise = SOURCES_OF_VARIANCE[case]
    rng = np.random.default_rng(0)
    truth, runs = 0.5, 600
    x = np.linspace(0.1, 0.6, languages)
    distance = pd.Series(x, index=[f"l{i}" for i in range(languages)])
    covered = 0
    for _ in range(runs):
        values = truth * x + rng.normal(0, of_language, languages)
        values = values + rng.normal(0, shift, (3, 1)) + rng.normal(0, tilt, (3, 1)) * x
        values = values + rng.normal(0, noise, (3, languages))
        _, low, high = statistics.slope(matrix(values), distance).slope
        covered += low <= truth <= high
    # Not under 95 % beyond binomial error; over it by no more than an interval of 99.5 % would be.
    assert stats.binomtest(covered, runs, 0.95, alternative="less").pvalue > 0.005
    assert covered / runs < 0.995


def test_the_t_interval_over_three_runs_covers_where_a_percentile_bootstrap_does_not():
    rng = np.random.default_rng(0)
    samples = rng.normal(0.2, 1, (1500, 3))
    intervals = [statistics.t_interval(sample) for sample in samples]
    covered = sum(low <= 0.2 <= high for _, low, high in intervals)
    # With three values, all 27 resamples are the bootstrap.
    resampled = samples[:, list(product(range(3), repeat=3))].mean(axis=2)
    low, high = np.quantile(resampled, [0.025, 0.975], axis=1)
    assert np.mean((low <= 0.2) & (high >= 0.2)) < 0.9
    assert stats.binomtest(covered, len(samples), 0.95).pvalue > 0.005


def test_above_floor_asks_for_a_lead_beyond_the_noise_of_replicates():
    rows = []
    for seed, noise in enumerate((-0.01, 0.0, 0.01), 1):
        for language, lead in (("de", 0.2), ("tr", 0.001)):
            rows.append(("none", "xnli", language, 0.4 + lead + noise, seed, 1))
            rows.append(("random", "xnli", language, 0.4 - noise, seed, 1))
    found = statistics.above_floor(statistics.gains(tidy(rows))).set_index("language")["above"]
    assert found.to_dict() == {"de": True, "tr": False}


def test_the_verdict_follows_the_interval():
    words = ("over", "under", "across", "unknown")
    cases = {(0.1, 0.2): "over", (-2, -1): "under", (-1, 1): "across", (np.nan,) * 2: "unknown"}
    for ends, word in cases.items():
        assert statistics.verdict(statistics.Interval(0, *ends), *words) == word
