"""Effects of a factorial design agree with statsmodels, and their intervals cover the truth."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api
from scipy import stats
from statsmodels.formula.api import ols

from lib import factorial
from lib.errors import InputError
from lib.world.language import PARAMETERS, factorial_design

CODES = [f"q{i:02}" for i in range(24)]
DESIGN = pd.DataFrame(factorial_design(), columns=list(PARAMETERS), index=CODES).astype(int)


def values(y: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(np.atleast_2d(y), columns=CODES[: np.shape(y)[-1]])


def test_the_design_of_the_world_is_orthogonal_and_a_random_one_is_not():
    assert factorial.is_orthogonal(DESIGN)
    assert not factorial.is_orthogonal(DESIGN.iloc[:12].assign(negation=DESIGN["articles"]))
    assert not factorial.is_orthogonal(DESIGN.iloc[1:])


def test_no_interaction_of_two_parameters_enters_the_effect_of_a_third():
    signs = 2 * DESIGN.to_numpy() - 1
    pairs = [signs[:, i] * signs[:, j] for i in range(12) for j in range(i)]
    found = [factorial.effects(values(pair), DESIGN)["mean"].abs().max() for pair in pairs[::11]]
    assert np.allclose(found, 0)


def test_effects_and_intervals_of_equal_replicates_are_those_of_statsmodels():
    y = np.random.default_rng(0).normal(size=24)
    fit = statsmodels.api.OLS(y, statsmodels.api.add_constant(DESIGN)).fit()
    found = factorial.effects(values(np.vstack([y, y, y])), DESIGN).set_index("term")
    assert found["mean"].to_numpy() == pytest.approx(fit.params[list(PARAMETERS)].to_numpy())
    expected = fit.conf_int().loc[list(PARAMETERS)].to_numpy()
    assert found[["low", "high"]].to_numpy() == pytest.approx(expected)
    together = fit.conf_int(0.05 / 12).loc[list(PARAMETERS)].to_numpy()
    assert found[["low_all", "high_all"]].to_numpy() == pytest.approx(together)
    assert (found["left"] == fit.df_resid).all()


def test_without_noise_in_languages_one_effect_has_the_t_interval_over_replicates():
    single = DESIGN[["articles"]]
    slopes = np.array([0.1, 0.5, 0.3])
    found = factorial.effects(values(slopes[:, None] * single["articles"].to_numpy()), single)
    expected = stats.ttest_1samp(slopes, 0).confidence_interval()
    row = found.iloc[0]
    assert (row["mean"], row["low"], row["high"]) == pytest.approx(
        (0.3, expected.low, expected.high)
    )


def test_replicates_are_pooled_as_the_interaction_of_replicates_and_terms_in_an_anova():
    rng = np.random.default_rng(3)
    each = rng.normal(0.2, 0.1, (4, 12))
    y = each @ DESIGN.to_numpy().T
    found = factorial.effects(values(y), DESIGN)
    long = pd.concat([DESIGN.assign(y=row, r=str(i)) for i, row in enumerate(y)])
    noisy = long.assign(y=long["y"] + rng.normal(0, 1e-9, len(long)))
    terms = " + ".join(PARAMETERS)
    table = statsmodels.api.stats.anova_lm(ols(f"y ~ C(r) * ({terms})", noisy).fit())
    crossed = table.loc[[f"C(r):{name}" for name in PARAMETERS]]
    square = crossed["sum_sq"].sum() / crossed["df"].sum()
    # An effect of 24 languages, half of them each way, has a variance of 4 / 24 of one value's.
    half = stats.t.isf(0.025, crossed["df"].sum()) * np.sqrt(square / 4 * 4 / 24)
    assert (found["high"] - found["mean"]).to_numpy() == pytest.approx(np.full(12, half), rel=1e-4)


def test_a_parameter_in_which_replicates_differ_most_has_an_interval_of_its_own():
    rng = np.random.default_rng(4)
    each = rng.normal(0, 0.01, (4, 12))
    each[:, 3] = [0.0, 1.0, 2.0, 3.0]
    found = factorial.effects(values(each @ DESIGN.to_numpy().T), DESIGN)
    expected = stats.ttest_1samp(each[:, 3], 0).confidence_interval()
    assert found.loc[3, ["low", "high"]].tolist() == pytest.approx([expected.low, expected.high])
    assert (found["high"] - found["low"]).drop(3).max() < 0.05


def test_too_few_languages_are_refused_and_one_replicate_has_no_interval():
    with pytest.raises(InputError, match=r"8 languages cannot tell 12 .* world_factorial"):
        factorial.effects(values(np.zeros(8)), DESIGN)
    one = factorial.effects(values(np.arange(24.0)), DESIGN)
    assert one["mean"].notna().all() and one[["low", "high_all"]].isna().all().all()


# Standard deviations of: languages, replicates' effects, noise of single cells.
SOURCES = {
    "languages": (0.05, 0.0, 0.01),
    "replicates": (0.005, 0.05, 0.01),
    "cells": (0.0, 0.0, 0.03),
    "all three": (0.02, 0.02, 0.02),
}


@pytest.mark.parametrize("case", SOURCES)
def test_intervals_cover_planted_effects_as_often_as_they_say_at_three_replicates(case):
    language, effect, noise = SOURCES[case]
    rng, truth, runs = np.random.default_rng(0), np.linspace(-0.1, 0.1, 12), 250
    single = together = 0
    for _ in range(runs):
        each = truth + rng.normal(0, effect, (3, 12))
        y = each @ DESIGN.to_numpy().T + rng.normal(0, language, 24) + rng.normal(0, 0.05, (3, 1))
        found = factorial.effects(values(y + rng.normal(0, noise, (3, 24))), DESIGN)
        single += ((found["low"] <= truth) & (truth <= found["high"])).sum()
        together += ((found["low_all"] <= truth) & (truth <= found["high_all"])).all()
    assert 0.935 < single / runs / 12 < 0.985
    assert together / runs > 0.9
