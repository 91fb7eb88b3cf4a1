"""Power agrees with known formulas, with the analysis itself, and is told in the right words."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api
from scipy import stats
from statsmodels.stats.power import TTestPower

from lib import power, power_answer, power_plots, statistics, style
from lib.errors import InputError

PARTS = power.Components(
    replicate=0.01**2,
    tilt=0.02**2,
    language=0.01**2,
    family=0.005**2,
    noise=0.01**2,
    target=0.01**2,
    spread=0.04,
    replicates=5,
    languages=12,
    families=6,
    factors=(0.36, 8.26),
)


def drawn(parts: power.Components, runs: int, count: int, seed: int) -> pd.DataFrame:
    """Draw differences (target, language, replicate) with these variances, truth 0."""
    rng = np.random.default_rng(seed)
    codes, families = [f"q{i:02}" for i in range(count)], count * parts.families // parts.languages
    of_language = rng.normal(0, np.sqrt(parts.family), families)[np.arange(count) % families]
    of_language = of_language + rng.normal(0, np.sqrt(parts.language - parts.family), count)
    x = distances(parts, count).to_numpy()
    shift, tilt = (rng.normal(0, np.sqrt(v), (runs, 1)) for v in (parts.replicate, parts.tilt))
    values = of_language + shift + tilt * (x - x.mean())
    values = values + rng.normal(0, np.sqrt(parts.noise), (runs, count))
    rows = [("t", codes[j], str(i), values[i, j]) for i, j in np.ndindex(runs, count)]
    return pd.DataFrame(rows, columns=["target", "language", "replicate", "difference"])


def distances(parts: power.Components, count: int) -> pd.Series:
    x = np.linspace(-1, 1, count)
    x = 0.5 + x / x.std() * np.sqrt(parts.spread)
    return pd.Series(x, index=[f"q{i:02}" for i in range(count)])


def families(parts: power.Components, count: int) -> pd.Series:
    number = count * parts.families // parts.languages
    return pd.Series([f"F{i % number}" for i in range(count)], [f"q{i:02}" for i in range(count)])


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
def test_components_are_the_mean_squares_of_an_analysis_of_variance() -> None:
    table = drawn(PARTS, 4, 9, 0)
    x, family = distances(PARTS, 9), families(PARTS, 9)
    found = power.components(table, ["t"], x, family)
    table["x"] = table["language"].map(x)
    formula = "difference ~ C(language) + C(replicate) + C(replicate):x"
    residual = statsmodels.api.OLS.from_formula(formula, table).fit()
    assert residual.df_resid == 3 * 7
    assert found.noise == pytest.approx(residual.scale)
    means = table.groupby("language")[["difference", "x"]].mean()
    line = statsmodels.api.OLS.from_formula("difference ~ x", means).fit()
    assert found.language == pytest.approx(max(line.scale - residual.scale / 4, 0))
    of_replicate = table.groupby("replicate")["difference"].mean().var()
    assert found.of_mean(9) == pytest.approx(max(of_replicate, residual.scale / 9))
    slopes = [
        stats.linregress(b["x"], b["difference"]).slope for _, b in table.groupby("replicate")
    ]
    assert found.of_slope(9) == pytest.approx(np.var(slopes, ddof=1))
    # Tables of chi-square with 3 degrees of freedom: 0.2158 and 9.3484.
    assert found.factors == pytest.approx((3 / 9.3484, 3 / 0.2158), rel=1e-3)
    assert (found.replicates, found.languages, found.families) == (4, 9, 4)


def test_components_are_near_the_truth_when_much_is_measured() -> None:
    table = drawn(PARTS, 200, 240, 1)
    found = power.components(table, ["t"], distances(PARTS, 240), families(PARTS, 240))
    for name in ("replicate", "tilt", "language", "noise"):
        assert getattr(found, name) == pytest.approx(getattr(PARTS, name), rel=0.3), name
    assert found.family == pytest.approx(PARTS.family, rel=0.6)
    assert found.spread == pytest.approx(PARTS.spread)


def test_targets_are_averaged_and_those_not_clean_are_left_out() -> None:
    table = drawn(PARTS, 4, 9, 0)
    above = table.assign(target="u", difference=table["difference"] + 0.02)
    other = table.assign(target="v", difference=5.0)
    x, family = distances(PARTS, 9), families(PARTS, 9)
    both = power.components(pd.concat([table, above, other]), ["t", "u"], x, family)
    assert both.target == pytest.approx(0.02**2 / 2)
    alone = power.components(table, ["t"], x, family)
    assert both.noise == pytest.approx(alone.noise) and np.isnan(alone.target)


def test_families_of_one_language_have_no_variance_of_their_own() -> None:
    table = drawn(PARTS, 4, 9, 0)
    single = pd.Series([f"F{i}" for i in range(9)], index=[f"q{i:02}" for i in range(9)])
    assert np.isnan(power.components(table, ["t"], distances(PARTS, 9), single).family)


def test_too_little_to_measure_is_refused_in_one_line() -> None:
    table = drawn(PARTS, 3, 9, 0)
    x, family = distances(PARTS, 9), families(PARTS, 9)
    one, few = table[table["replicate"] == "0"], table[table["language"] < "q03"]
    for short, match in ((one, "1 replicates of 9"), (few, "3 replicates of 3 languages")):
        with pytest.raises(InputError, match=match):
            power.components(short, ["t"], x, family)
    with pytest.raises(InputError, match="at 1 distances"):
        power.components(table, ["t"], x * 0, family)


@pytest.mark.parametrize("difference", [0.005, 0.01, 0.02])
def test_power_of_the_mean_is_that_of_the_t_test(difference: float) -> None:
    found = power.table(PARTS, differences=[difference])
    found = found[found["question"] == "mean"]
    for row in found.itertuples():
        size = difference / np.sqrt(PARTS.of_mean(row.languages))
        expected = TTestPower().power(size, row.replicates, 0.05, alternative="two-sided")
        assert row.power == pytest.approx(expected, abs=0.025)


def test_power_of_trend_and_sign_flips_is_that_of_the_analysis_itself() -> None:
    runs, count, truth, studies = 5, 12, 0.015, 300
    x, family = distances(PARTS, count), families(PARTS, count)
    seen = {"trend": 0, "families": 0}
    for seed in range(studies):
        table = drawn(PARTS, runs, count, seed + 1000)
        wide = table.pivot(index="replicate", columns="language", values="difference")
        seen["trend"] += statistics.slope(wide + 10 * truth * x, x).slope.low > 0
        means = wide.mean() + truth
        p = statistics.sign_flip_test(means.to_numpy(), family[means.index].tolist())
        seen["families"] += p <= 0.05 and means.mean() > 0
    found = power.table(PARTS, [runs], [count], [truth]).set_index("question")["power"]
    for question, number in seen.items():
        assert stats.binomtest(number, studies, found[question]).pvalue > 0.005, question
    assert 0.1 < found["families"] < 0.95


def test_false_alarms_are_five_per_cent_but_for_sign_flips_where_replicates_shift() -> None:
    found = power.table(PARTS, differences=[0.0]).groupby("question")["power"].agg(["min", "max"])
    for question in ("mean", "trend"):
        assert found.loc[question, "min"] > 0.03 and found.loc[question, "max"] < 0.07
    assert found.loc["families", "max"] > 0.2
    still = PARTS._replace(replicate=0.0, tilt=0.0, factors=(1.0, 1.0))
    flips = power.table(still, differences=[0.0]).groupby("question")["power"].max()["families"]
    assert flips < 0.07


def test_power_grows_with_replicates_and_falls_with_their_variance() -> None:
    found = power.table(PARTS)
    seen = found[(found["difference"] > 0) & (found["question"] != "families")]
    for _, rows in seen.groupby(["question", "languages", "difference"]):
        assert rows.sort_values("replicates")["power"].is_monotonic_increasing
    assert (seen["low"] <= seen["power"]).all() and (seen["power"] <= seen["high"]).all()
    pd.testing.assert_frame_equal(found, power.table(PARTS))


def test_smallest_difference_and_needed_replicates_fit_the_power() -> None:
    least = power.smallest(PARTS, [8], [12])
    for row in least.itertuples():
        again = power.table(PARTS, [8], [12], [row.difference]).set_index("question")["power"]
        assert again[row.question] == pytest.approx(0.8, abs=0.01)
        assert row.low <= row.difference <= row.high
    needed = power.needed(PARTS, [12])
    for row in needed.dropna().itertuples():
        number = int(row.replicates)
        before = number - 1 if number <= 20 else number
        found = power.table(PARTS, [number, before], [12], [row.difference])
        found = found[found["question"] == row.question]["power"].tolist()
        assert found[0] >= 0.8 - 1e-3
        assert number in (2, before) or found[1] < 0.8 + 1e-3


def test_no_number_of_replicates_sees_a_trend_that_few_scattered_languages_hide() -> None:
    scattered = PARTS._replace(language=0.1**2)
    needed = power.needed(scattered, [8], [0.005]).set_index("question")["replicates"]
    assert np.isnan(needed["trend"]) and needed["mean"] > 2


def test_the_answer_is_worded_from_the_numbers() -> None:
    words = power_answer.sentences(PARTS, "p", ("ud_parsing", "stsb"), ["udpos", "xnli"])
    # sqrt(0.01**2 + 0.01**2 / 12) = 0.0104; times sqrt(0.36) and sqrt(8.26).
    assert "standard deviation of 1.0 points (95 % 0.6 to 3.0" in words
    assert "the noise of single values alone makes 0.3)" in words  # 0.01 / sqrt(12)
    assert "udpos, xnli; 5 replicates, 12 languages, 6 families" in words
    row = power.table(PARTS, [5], [12], [0.02]).iloc[0]
    found, low, high = (round(100 * row[end]) for end in ("power", "low", "high"))
    assert f"is seen in {found} % ({low} to {high}) of studies" in words
    needed = power.needed(PARTS, [12]).set_index(["question", "difference"])["replicates"]
    assert f"takes {needed['mean', 0.02]:.0f} replicates" in words
    assert "for 2 points," in words and "for 1 point," in words and "for 0.5 points." in words
    assert "for 0.5 points per 0.1 of distance." in words
    assert "**Sign flips** over 6 families see a true difference of 2 points" in words
    assert "with 40 instead of 12" in words


def test_the_answer_says_what_cannot_be_seen() -> None:
    few = PARTS._replace(families=4, language=0.2**2, noise=0.05**2, languages=40)
    words = power_answer.sentences(few, "p", ("a", "b"), ["t"])
    assert "over 4 families cannot give p below 0.125: at 5 % they see no difference" in words
    assert "more than 200 replicates" in words
    assert "More languages" not in words


def test_replicates_are_not_said_to_vary_by_less_than_single_values_do() -> None:
    words = power_answer.sentences(PARTS._replace(replicate=0.0), "p", ("a", "b"), ["t"])
    # 0.01 / sqrt(12) = 0.0029, the lower end too; times sqrt(8.26) at the upper.
    assert "standard deviation of 0.3 points (95 % 0.3 to 0.8, for" in words
    assert "alone makes 0.3; no variance between replicates was seen beyond it)" in words


def test_seconds_of_a_replicate_add_the_mean_of_every_kind_of_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    assert np.isnan(power.seconds_per_replicate("p", ["none"]))
    cells = {"pretrain": [100, 200], "intermediate/stsb": [10, 30], "transfer/stsb/xnli": [1, 3]}
    cells |= {"transfer/none/xnli": [5], "transfer/other/xnli": [1000]}
    for cell, seconds in cells.items():
        for seed, number in enumerate(seconds, 1):
            folder = tmp_path / "p" / cell / f"seed={seed}"
            folder.mkdir(parents=True)
            (folder / "run.json").write_text(json.dumps({"seconds": number}))
    assert power.seconds_per_replicate("p", ["none", "stsb"]) == 150 + 20 + 2 + 5


def test_the_figures_draw_every_number_and_are_the_same_bytes_again(tmp_path: Path) -> None:
    curves, least = power.table(PARTS), power.smallest(PARTS)
    for name, draw, table in (
        ("power_curves", power_plots.power_curves, curves),
        ("smallest_difference", power_plots.smallest_difference, least),
    ):
        for folder in ("a", "b"):
            figure, drawn_table = draw(table, PARTS)
            style.save(figure, drawn_table, name, tmp_path / folder)
        assert len(drawn_table) == len(table)
        assert "5 replicates, 12 languages, 6 families" in figure.get_suptitle()
        for ending in ("png", "svg", "csv"):
            first, second = (tmp_path / f / f"{name}.{ending}" for f in ("a", "b"))
            assert first.read_bytes() == second.read_bytes()
    figure, _ = power_plots.power_curves(curves, PARTS)
    titles = {panel.get_ylabel() for panel in figure.axes}
    assert {f"{count} languages" for count in (8, 15, 40)} <= titles
    assert len(figure.axes) == 9
