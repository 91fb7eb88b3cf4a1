"""Relate what languages gain to how far they are from the source, and to what else they are.

Values are shares; a replicate is as in `statistics.replicates`. The primary relation is that of
`analysis_syntax_vs_semantics`; all here is secondary.
"""

from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from lib import covariates, factorial, mixed_model, statistics
from lib.errors import InputError
from lib.statistics import CELL, Interval

PERMUTATIONS = 9_999


def outcomes(
    gains: pd.DataFrame,
    pair: tuple[str, str],
    targets: list[str],
    source_language: str = "en",
    log_odds: bool = False,
) -> pd.DataFrame:
    """Return gain and transfer gain of two conditions, and their difference, by language.

    `gains` is what `statistics.gains` returns. Columns: outcome (`gain`, `transfer gain`,
    `difference`), condition (for the difference `first - second`), language, replicate, value: the
    mean over `targets`. The difference is that of transfer gains. Raises InputError where a
    condition is missing.
    """
    prefix = "log_odds_" if log_odds else ""
    parts = []
    for outcome in ("gain", "transfer gain"):
        measure = prefix + outcome.replace(" ", "_")
        for condition in pair:
            rows = gains[(gains["condition"] == condition) & (gains["language"] != source_language)]
            cells = rows[[*CELL, "replicate", measure]].rename(columns={measure: "difference"})
            parts.append(_means(cells, targets, outcome, condition))
    paired = statistics.difference(gains, *pair, source_language, f"{prefix}transfer_gain")
    parts.append(_means(paired, targets, "difference", " - ".join(pair)))
    return pd.concat(parts, ignore_index=True)


def _means(cells: pd.DataFrame, targets: list[str], outcome: str, condition: str) -> pd.DataFrame:
    """Average over seeds of a replicate, then over targets."""
    single = cells.groupby(["target", "language", "replicate"], sort=False)["difference"].mean()
    means = statistics.language_means(single.reset_index(), targets)
    means.insert(0, "outcome", outcome)
    means.insert(1, "condition", condition)
    return means.rename(columns={"difference": "value"})


def wide(values: pd.DataFrame) -> pd.DataFrame:
    """Return the values of one outcome in shape (replicates, languages)."""
    return values.pivot(index="replicate", columns="language", values="value")


def against(values: pd.DataFrame, distances: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit every outcome on every distance, one at a time; return the slopes and the bands.

    `values` is what `outcomes` returns; `distances` has shape (languages, measures). Slopes: one
    row per outcome, condition and measure; `mean`, `low`, `high` per unit of distance, and per
    standard deviation of it over the languages (`mean_sd`, ...), from `statistics.slope`;
    `spearman` of the means over replicates, and its `p` by permuting languages, given these
    replicates. Bands: the line and its band on a grid of distances.
    """
    rows, bands = [], []
    for key, group in values.groupby(["outcome", "condition"], sort=False):
        table = wide(group)
        means = table.dropna(axis=1).mean()
        for measure in map(str, distances):
            x = distances.loc[means.index, measure]
            grid = np.linspace(x.min(), x.max(), 40)
            line = statistics.slope(table, distances[measure], grid)
            of = {"outcome": str(key[0]), "condition": str(key[1]), "measure": measure}
            spread = float(x.std())
            scaled = {f"{end}_sd": value * spread for end, value in line.slope._asdict().items()}
            rank, p = spearman(x.to_numpy(), means.to_numpy())
            counts = {"languages": len(means), "replicates": len(table)}
            rows.append(of | line.slope._asdict() | scaled | {"spearman": rank, "p": p} | counts)
            bands.append(line.band.assign(**of))
    return pd.DataFrame(rows), pd.concat(bands, ignore_index=True)


def spearman(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return Spearman's rank correlation and its two-sided p-value by permutation of `y`.

    Exact where there are few permutations, else over 9,999 random ones with a fixed seed. Covers
    the languages, taken as exchangeable; kinship is not modelled. NaN under three values or where
    one side does not vary.
    """
    if len(x) < 3 or len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return np.nan, np.nan
    first, second = (stats.rankdata(side) for side in (x, y))
    second = (second - second.mean()) / second.std()
    test = stats.permutation_test(
        ((first - first.mean()) / first.std(),),
        lambda ranks, axis: (ranks * second).mean(axis=axis),
        permutation_type="pairings", n_resamples=PERMUTATIONS, vectorized=True,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(test.statistic), float(test.pvalue)


def without_each_family(
    values: pd.DataFrame, distance: pd.Series, family: pd.Series
) -> pd.DataFrame:
    """Fit one outcome on distance without each family of languages in turn.

    Columns: left_out (`none` first), mean, low, high (per unit of distance), languages. `distance`
    and `family` are indexed by language.
    """
    table = wide(values).dropna(axis=1)
    families = family.loc[table.columns]
    rows = []
    for left_out in ["none", *sorted(families.unique())]:
        kept = table.loc[:, (families != left_out).to_numpy()]
        slope = statistics.slope(kept, distance).slope
        rows.append({"left_out": left_out} | slope._asdict() | {"languages": kept.shape[1]})
    return pd.DataFrame(rows)


def adjusted(
    difference: pd.DataFrame, distance: pd.Series, controls: pd.DataFrame
) -> tuple[pd.DataFrame, Interval]:
    """Fit difference ~ distance + controls + target, with a random intercept per language.

    `difference` is what `statistics.difference` returns, of the targets to use; it is averaged over
    replicates first, so that intervals cover languages, given these replicates. `distance` and
    `controls` are indexed by language; languages for which a control is unknown are left out.
    Returns the effects of distance (term `distance`) and controls, per standard deviation over
    languages (`lib.mixed_model`), with the numbers of languages and rows; and the effect of
    distance per unit.

    Raises:
        InputError: too few languages or rows.
    """
    cells = difference.groupby(["target", "language"], sort=False)["difference"].mean()
    rows = cells.reset_index()
    known = controls.dropna().index
    rows = rows[rows["language"].isin(known)]
    if rows.empty:
        raise InputError("mixed model: no language is left whose covariates are known")
    terms = pd.concat([distance.rename("distance"), controls], axis=1)
    terms = terms.loc[rows["language"].unique()].astype(float)
    spread = terms.std()
    rows = rows.join((terms - terms.mean()) / spread, on="language")
    fixed = [*terms, *(["target"] if rows["target"].nunique() > 1 else [])]
    fitted = mixed_model.fit(rows, "difference", fixed)
    effects = fitted.effects[fitted.effects["term"].isin(list(terms))].reset_index(drop=True)
    ends = effects.loc[0, ["estimate", "low", "high"]] / spread["distance"]
    counted = effects.assign(languages=fitted.groups, rows=fitted.rows, singular=fitted.singular)
    return counted, Interval(*(float(end) for end in ends))


def subsets(
    gains: pd.DataFrame, languages: pd.DataFrame, source_language: str = "en"
) -> dict[str, pd.MultiIndex]:
    """Return named sets of cells (target, language) to look at apart; `all cells` first.

    `above the floor`, where a random encoder was run: `statistics.above_floor`. `syntax attested by
    40 %`, where the table of languages says so: of the others most features are imputed. A
    subset that is all cells is left out.
    """
    cells = gains.loc[gains["language"] != source_language, ["target", "language"]]
    every = cells.drop_duplicates().reset_index(drop=True)
    chosen = {"all cells": every}
    if (gains["condition"] == "random").any():
        floor = statistics.above_floor(gains)
        above = floor.loc[floor["above"], ["target", "language"]]
        chosen["above the floor"] = every.merge(above)
    if "attested_share" in languages:
        attested = every["language"].map(languages["attested_share"]).astype(float) >= 0.4
        chosen["syntax attested by 40 %"] = every[attested]
    return {
        name: pd.MultiIndex.from_frame(frame)
        for name, frame in chosen.items()
        if name == "all cells" or len(frame) < len(every)
    }


def within(rows: pd.DataFrame, cells: pd.MultiIndex) -> pd.DataFrame:
    """Return the rows whose target and language are among the cells."""
    return rows[pd.MultiIndex.from_frame(rows[["target", "language"]]).isin(cells)]


def sensitivity(
    gains: pd.DataFrame,
    pair: tuple[str, str],
    targets: list[str],
    distances: pd.DataFrame,
    cells: dict[str, pd.MultiIndex],
    source_language: str = "en",
) -> pd.DataFrame:
    """Return the slopes of the difference, in points and in log-odds, for every subset of cells.

    Columns: scale (`share` or `log-odds`), cells, and those of the slopes of `against`.
    """
    tables = []
    for scale in ("share", "log-odds"):
        for name, chosen in cells.items():
            rows = within(gains, chosen)
            if rows.empty:
                print(f"{scale}, {name}: no cells")
                continue
            try:
                found = outcomes(rows, pair, targets, source_language, scale == "log-odds")
            except InputError as error:
                print(f"{scale}, {name}: {error}")
                continue
            difference = found[found["outcome"] == "difference"]
            if difference["language"].nunique():
                slopes, _ = against(difference, distances)
                slopes.insert(0, "scale", scale)
                slopes.insert(1, "cells", name)
                tables.append(slopes.drop(columns=["outcome", "condition"]))
    return pd.concat(tables, ignore_index=True)


def models(
    difference: pd.DataFrame,
    distances: pd.DataFrame,
    controls: pd.DataFrame,
    cells: dict[str, pd.MultiIndex],
) -> tuple[pd.DataFrame, list[str]]:
    """Fit `adjusted` for every measure of distance and subset of cells, alone and with controls.

    Which controls a model holds is asked anew of `covariates.chosen`. Returns the effects, with
    columns cells, measure, adjusted (whether with controls), those of `adjusted` and, for distance,
    `slope`, `slope_low`, `slope_high` per unit; and lines on what was left out.
    """
    tables, lines = [], []
    for name, measure in product(cells, map(str, distances)):
        rows = within(difference, cells[name])
        if rows.empty:
            lines.append(f"{name}, {measure}: no cells")
            continue
        codes = list(dict.fromkeys(rows["language"]))
        distance = distances.loc[codes, measure]
        kept, why = covariates.chosen(controls.loc[codes], distance)
        lines += [f"{name}, {measure}: {line}" for line in why]
        for names in [[], kept] if kept else [[]]:
            try:
                effects, slope = adjusted(rows, distance, controls.loc[codes, names])
            except InputError as error:
                lines.append(f"{name}, {measure}: {error}")
                continue
            first = effects["term"] == "distance"
            for column, end in zip(("slope", "slope_low", "slope_high"), slope, strict=True):
                effects[column] = np.where(first, end, np.nan)
            tables.append(effects.assign(cells=name, measure=measure, adjusted=bool(names)))
    return (pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()), lines


def by_parameter(
    table: pd.DataFrame,
    values: pd.DataFrame,
    targets: list[str],
    design: pd.DataFrame,
    baseline: str = "none",
) -> pd.DataFrame:
    """Return the effect of each grammatical parameter on scores, gains and the difference.

    `table` is the tidy table of scores, `values` what `outcomes` returns, `design` what
    `typology.parameters` does. Columns: outcome, and those of `factorial.effects`. Raises
    InputError where the languages are too few to tell the parameters apart.
    """
    scores = table[(table["condition"] == baseline) & table["reported"].astype(bool)]
    scores = scores[scores["language"].isin(values["language"].unique())]
    scores = scores.assign(replicate=statistics.replicates(table), difference=scores["value"])
    means = _means(scores, targets, f"score under {baseline}", baseline)
    gained = values[values["outcome"] != "transfer gain"]
    parts = []
    for (outcome, condition), group in pd.concat([means, gained]).groupby(
        ["outcome", "condition"], sort=False
    ):
        name = f"gain, {condition}" if outcome == "gain" else str(outcome)
        found = factorial.effects(wide(group), design)
        found.insert(0, "outcome", str(condition) if outcome == "difference" else name)
        parts.append(found)
    return pd.concat(parts, ignore_index=True)
