"""The mixed model agrees with lme4's values, and says what it cannot fit.

`lme4/values.csv` was written by `lme4/fit.R` from `lme4/tables.csv`; no R is needed to read it.
"""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api
from scipy import stats

from lib import mixed_model
from lib.errors import InputError

FOLDER = Path(__file__).parent / "lme4"
TABLES = pd.read_csv(FOLDER / "tables.csv")
VALUES = pd.read_csv(FOLDER / "values.csv")
MODELS = list(VALUES.groupby(["table", "fixed"]).groups)
# Where R puts a factor's name before its value, we put an equals sign between.
TERMS = {"(Intercept)": "intercept", "scriptother": "script=other"}
TERMS |= {f"target{name}": f"target={name}" for name in ("udpos", "xnli", "xquad")}


def both(table: str, fixed: str) -> tuple[mixed_model.Fit, pd.DataFrame]:
    chosen = TABLES[TABLES["table"] == table]
    found = mixed_model.fit(chosen, "difference", fixed.split("+"))
    expected = VALUES[(VALUES["table"] == table) & (VALUES["fixed"] == fixed)]
    return found, expected.assign(term=expected["term"].replace(TERMS)).set_index("term")


@pytest.mark.parametrize(("table", "fixed"), MODELS)
def test_estimates_errors_and_variances_are_those_of_lme4(table: str, fixed: str) -> None:
    found, expected = both(table, fixed)
    effects = found.effects.set_index("term").loc[expected.index]
    for column in ("estimate", "standard_error"):
        ours, theirs = effects[column].to_numpy(), expected[column].to_numpy()
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-3 * effects["standard_error"].min())
    first = expected.iloc[0]
    assert found.singular == first["singular"]
    whole = first["random"] + first["residual"]
    assert found.variances["random"] == pytest.approx(first["random"], rel=1e-3, abs=1e-4 * whole)
    assert found.variances["residual"] == pytest.approx(first["residual"], rel=1e-3)


@pytest.mark.parametrize(("table", "fixed"), MODELS)
def test_degrees_of_freedom_are_nlmes_by_containment_but_for_the_intercept(
    table: str, fixed: str
) -> None:
    found, expected = both(table, fixed)
    ours = found.effects.set_index("term")["df"]
    others = expected.index[1:]
    assert ours[others].tolist() == expected.loc[others, "df"].tolist()
    between = sum(name in ("distance", "script=other") for name in others)
    assert ours["intercept"] == found.groups - 1 - between


def test_the_committed_tables_hold_both_singular_and_regular_fits() -> None:
    assert VALUES["singular"].any() and not VALUES["singular"].all()
    assert set(TABLES.groupby("table")["language"].nunique()) == {8, 34, 36}


def test_the_tables_are_those_that_the_committed_seed_simulates() -> None:
    spec = importlib.util.spec_from_file_location("simulate", FOLDER / "simulate.py")
    assert spec is not None and spec.loader is not None
    simulate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(simulate)
    pd.testing.assert_frame_equal(simulate.tables(), TABLES)


def test_lme4_still_gives_the_committed_values(tmp_path: Path) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("no Rscript here: apt-get install r-cran-lme4")
    has = subprocess.run(["Rscript", "-e", "library(lme4)"], capture_output=True, check=False)
    if has.returncode:
        pytest.skip("R has no lme4 here: apt-get install r-cran-lme4")
    command = ["Rscript", FOLDER / "fit.R", FOLDER / "tables.csv", tmp_path / "values.csv"]
    subprocess.run(command, check=True, capture_output=True)
    again = pd.read_csv(tmp_path / "values.csv")
    pd.testing.assert_frame_equal(again, VALUES, rtol=1e-4, atol=1e-8)


def table_of(languages: int, targets: int, tau: float, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(languages), targets)
    distance = rng.uniform(0.1, 0.6, languages)[number]
    value = 0.2 * distance + rng.normal(0, tau, languages)[number]
    return pd.DataFrame(
        {
            "language": [f"q{i:02}" for i in number],
            "target": np.tile([f"t{i}" for i in range(targets)], languages),
            "distance": distance,
            "difference": value + rng.normal(0, 0.02, len(number)),
        }
    )


def test_one_row_per_language_is_ordinary_least_squares_and_says_so() -> None:
    table = table_of(9, 1, 0.02)
    found = mixed_model.fit(table, "difference", ["distance"])
    design = statsmodels.api.add_constant(table["distance"].to_numpy())
    expected = statsmodels.api.OLS(table["difference"].to_numpy(), design).fit()
    assert found.singular and np.isnan(found.variances["random"])
    assert found.variances["residual"] == pytest.approx(expected.scale)
    for column, values in (("estimate", expected.params), ("p", expected.pvalues)):
        assert found.effects[column].to_numpy() == pytest.approx(values)
    assert found.effects[["low", "high"]].to_numpy() == pytest.approx(expected.conf_int())
    assert found.effects["df"].tolist() == [7, 7]


def test_a_balanced_table_gives_the_t_test_on_language_means() -> None:
    table = table_of(8, 4, 0.05, seed=3)
    found = mixed_model.fit(table, "difference", ["distance"])
    assert not found.singular
    means = table.groupby("language")[["distance", "difference"]].mean()
    expected = stats.linregress(means["distance"], means["difference"])
    row = found.effects.set_index("term").loc["distance"]
    assert row[["estimate", "standard_error", "p"]].tolist() == pytest.approx(
        [expected.slope, expected.stderr, expected.pvalue], rel=1e-6
    )


def test_the_confidence_is_the_one_asked_for() -> None:
    table = table_of(8, 4, 0.05)
    row = mixed_model.fit(table, "difference", ["distance"], confidence=0.8).effects.iloc[1]
    half = stats.t.ppf(0.9, 6) * row["standard_error"]
    assert [row["low"], row["high"]] == pytest.approx(
        [row["estimate"] - half, row["estimate"] + half]
    )


def test_intervals_cover_a_language_level_slope_with_8_languages() -> None:
    """A z interval, as lme4's Wald interval, is held to cover less than 93 % here."""
    covered = by_z = singular = 0
    for run in range(runs := 1000):
        fit = mixed_model.fit(table_of(8, 4, 0.015, seed=run), "difference", ["distance"])
        row = fit.effects.iloc[1]
        covered += row["low"] <= 0.2 <= row["high"]
        by_z += abs(row["estimate"] - 0.2) <= 1.96 * row["standard_error"]
        singular += fit.singular
    assert stats.binomtest(covered, runs, 0.95, alternative="less").pvalue > 0.005
    assert covered / runs < 0.98 and by_z / runs < 0.93 and singular > 0


def test_a_term_mostly_between_languages_has_the_degrees_of_freedom_of_languages() -> None:
    table = table_of(8, 4, 0.05)
    rng = np.random.default_rng(1)
    nearly = table["distance"] + rng.normal(0, 0.01, len(table))
    within = rng.normal(0, 1, len(table))
    found = mixed_model.fit(
        table.assign(nearly=nearly, within=within), "difference", ["nearly", "within"]
    )
    assert found.effects["df"].tolist() == [6, 6, 23]


def test_the_random_column_may_be_another() -> None:
    table = table_of(8, 4, 0.05)
    renamed = table.rename(columns={"language": "family"})
    found = mixed_model.fit(renamed, "difference", ["distance"], random="family")
    expected = mixed_model.fit(table, "difference", ["distance"])
    pd.testing.assert_frame_equal(found.effects, expected.effects)


def test_what_cannot_be_fitted_is_refused_by_name() -> None:
    table = table_of(8, 4, 0.05)
    with pytest.raises(InputError, match="'script'"):
        mixed_model.fit(table, "difference", ["script"])
    with pytest.raises(InputError, match="'one' is constant"):
        mixed_model.fit(table.assign(one=1.0), "difference", ["distance", "one"])
    double = table.assign(double=3 * table["distance"] + 1)
    with pytest.raises(InputError, match="'double' is a combination"):
        mixed_model.fit(double, "difference", ["distance", "double"])
    near = table.assign(text=np.where(table["distance"] > 0.3, "far", "near"))
    number = near.assign(number=(near["text"] == "near").astype(float))
    with pytest.raises(InputError, match="'text=near' is a combination"):
        mixed_model.fit(number, "difference", ["number", "text"])
    few = table[table["language"].isin(["q00", "q01"])]
    with pytest.raises(InputError, match=r"2 values of 'language' for 2 coefficients"):
        mixed_model.fit(few, "difference", ["distance"])
    gap = table.assign(distance=table["distance"].where(table["language"] != "q03"))
    with pytest.raises(InputError, match="'distance' is missing in 4 rows"):
        mixed_model.fit(gap, "difference", ["distance"])
    with pytest.raises(InputError, match="no rows"):
        mixed_model.fit(table[:0], "difference", ["distance"])
