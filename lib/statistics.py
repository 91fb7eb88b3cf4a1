"""Turn the tidy table of scores into gains, contrasts, intervals and tests.

The unit of replication is the *replicate*: one independent run of everything that a seed drives.
Every function says which uncertainty its interval covers. Scores and gains are shares (0 to 1).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from lib.errors import InputError
from lib.replicates import copies, encoders_of
from lib.replicates import replicates as replicates
from lib.replicates import scope as scope
from lib.significance import holm as holm
from lib.significance import sign_flip_test as sign_flip_test
from lib.significance import smallest_p

CELL = ["target", "language", "seed", "encoder_seed"]
MEASURES = ["gain", "transfer_gain", "log_odds_gain", "log_odds_transfer_gain"]


class Interval(NamedTuple):
    """An estimate with the ends of its interval; the ends are NaN where none can be given."""

    mean: float
    low: float
    high: float


class Line(NamedTuple):
    """A fitted line: its slope, and a table `distance, mean, low, high` of it and its band."""

    slope: Interval
    band: pd.DataFrame


def log_odds(value: pd.Series, n: pd.Series) -> pd.Series:
    """Return log(p / (1 - p)) of scores over n examples, finite at 0 and 1.

    Half an example is added on either side (Haldane 1956; Anscombe 1956). Exact for accuracies; an
    F1 is treated as if it were a share of its n examples.
    """
    share = (value * n + 0.5) / (n + 1)
    return pd.Series(special.logit(share), index=value.index)


def gains(table: pd.DataFrame, source_language: str = "en", baseline: str = "none") -> pd.DataFrame:
    """Return one row per reported score of every condition but the baseline, with its gains.

    `gain` is the score minus the baseline's, same target, language and seeds. `transfer_gain` is
    the gain minus the gain in the source language, NaN where the target has no score there (as in
    retrieval). Both also in log-odds. A score whose baseline was not run has no row, nor has a
    language that only some of its condition's seeds evaluated: its mean would be over other runs.

    Raises:
        InputError: the baseline is missing, or a cell reports two scores.
    """
    reported = table[table["reported"].astype(bool)].copy()
    if not (reported["condition"] == baseline).any():
        raise InputError(f"the score table has no condition {baseline!r}, which gains start from")
    twice = reported[reported.duplicated(["condition", *CELL])]
    if len(twice):
        cell = "/".join(str(twice.iloc[0][key]) for key in ["condition", *CELL])
        raise InputError(f"{cell}: two reported scores, expected one metric and one layer")
    reported["log_odds"] = log_odds(reported["value"], reported["n"])
    reported["replicate"] = replicates(reported)

    start = reported.loc[reported["condition"] == baseline, [*CELL, "value", "log_odds"]]
    paired = reported[reported["condition"] != baseline].merge(
        start, on=CELL, suffixes=("", "_baseline")
    )
    paired["gain"] = paired["value"] - paired["value_baseline"]
    paired["log_odds_gain"] = paired["log_odds"] - paired["log_odds_baseline"]
    run = ["condition", "target", "seed", "encoder_seed"]
    source = paired.loc[paired["language"] == source_language, [*run, "gain", "log_odds_gain"]]
    paired = paired.merge(source, on=run, how="left", suffixes=("", "_source"))
    paired["transfer_gain"] = paired["gain"] - paired["gain_source"]
    paired["log_odds_transfer_gain"] = paired["log_odds_gain"] - paired["log_odds_gain_source"]
    runs = paired.groupby(["condition", "target", "language"])["seed"].transform("size")
    paired = paired[runs == runs.groupby([paired["condition"], paired["target"]]).transform("max")]
    keep = ["condition", *CELL, "replicate", "n", "value", "value_baseline", *MEASURES]
    return paired[keep]


def verdict(interval: Interval, above: str, below: str, neither: str, unknown: str) -> str:
    """Return the words for an interval over, under or across zero, or for none at all."""
    if np.isnan(interval.low) or np.isnan(interval.high):
        return unknown
    return above if interval.low > 0 else below if interval.high < 0 else neither


def t_interval(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> Interval:
    """Return the mean of values of shape (replicates,) and Student's t interval.

    Covers: the replicates, as a sample of all that could have been run; nothing else. One value
    has no interval. Student (1908); a percentile bootstrap is too narrow at so few values.
    """
    sample = np.asarray(values, dtype=float)
    mean = float(sample.mean()) if len(sample) else np.nan
    if len(sample) < 2:
        return Interval(mean, np.nan, np.nan)
    half = stats.t.ppf((1 + confidence) / 2, len(sample) - 1) * stats.sem(sample)
    return Interval(mean, mean - float(half), mean + float(half))


def over_replicates(frame: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """Average `value` within each replicate, then give the t interval over replicates, per `by`.

    Columns: `by`, mean, low, high, and the numbers of replicates and languages. Covers the
    replicates; languages and examples are taken as they are. Of rows that no seed changes
    (`lib.replicates.copies`) encoders are counted, without an interval.
    """
    rows = []
    frame = frame.dropna(subset=[value]).reset_index(drop=True)
    same = copies(frame, value)
    for key, group in frame.groupby(by, sort=False):
        row = dict(zip(by, key, strict=True))
        by_replicate = group.groupby("replicate")[value].mean()
        found, number = t_interval(by_replicate.to_numpy()), len(by_replicate)
        if same[group.index].all():
            number = encoders_of(by_replicate.index).nunique()
            found = Interval(found.mean, np.nan, np.nan)
        row |= found._asdict() | {"replicates": number, "languages": group.language.nunique()}
        rows.append(row)
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "replicates", "languages"])


def complete(frame: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Keep the replicates that have every target that any has, per `by`: means are of the same."""
    have = frame.groupby([*by, "replicate"])["target"].transform("nunique")
    every = frame.groupby(list(by))["target"].transform("nunique") if by else frame.target.nunique()
    return frame[have == every]


def difference(
    table: pd.DataFrame,
    first: str,
    second: str,
    source_language: str = "en",
    measure: str = "transfer_gain",
) -> pd.DataFrame:
    """Return gains under `first` minus gains under `second`, paired by cell.

    `table` is what `gains` returns. Columns: target, language, replicate, difference. The source
    language is left out: its transfer gain is 0 by definition. The baseline cancels, so its noise
    does not enter.

    Raises:
        InputError: a condition has no gains, or the two share no cell.
    """
    sides = []
    for condition in (first, second):
        side = table[(table["condition"] == condition) & (table["language"] != source_language)]
        if side.empty:
            raise InputError(f"condition {condition!r} has no gains to compare")
        sides.append(side[[*CELL, "replicate", measure]].dropna())
    paired = sides[0].merge(sides[1], on=[*CELL, "replicate"], suffixes=("", "_second"))
    if paired.empty:
        raise InputError(f"{first!r} and {second!r} share no target, language and seed to compare")
    paired["difference"] = paired[measure] - paired[f"{measure}_second"]
    keys = ["target", "language", "replicate"]
    return paired.groupby(keys, sort=False)["difference"].mean().reset_index()


def language_means(differences: pd.DataFrame, targets: list[str]) -> pd.DataFrame:
    """Average differences over targets: one row per language and replicate.

    Where every language has every target this is the plain mean. Where some are missing, languages
    would differ by the targets they happen to have, so an additive model (language + target) is
    fitted and its prediction averaged over all targets: least-squares means (Searle, Speed &
    Milliken 1980). Languages without a common chain of targets cannot be told apart from targets.
    A replicate that lacks a target that others have is left out.
    """
    rows = []
    chosen = differences[differences["target"].isin(targets)].dropna(subset=["difference"])
    chosen = complete(chosen)
    for replicate, block in chosen.groupby("replicate", sort=False):
        wide = block.pivot(index="language", columns="target", values="difference")
        present, sums = wide.notna().to_numpy(dtype=float), wide.fillna(0.0).to_numpy()
        # Least squares with the languages' effects eliminated: as many unknowns as targets.
        shares = present / present.sum(axis=1, keepdims=True)
        normal = np.diag(present.sum(axis=0)) - present.T @ shares
        right = sums.sum(axis=0) - shares.T @ sums.sum(axis=1)
        effects = np.linalg.pinv(normal, rcond=1e-10, hermitian=True) @ right
        means = (sums.sum(axis=1) - present @ effects) / present.sum(axis=1) + effects.mean()
        rows.append(
            pd.DataFrame({"language": wide.index, "replicate": replicate, "difference": means})
        )
    return pd.concat(rows, ignore_index=True) if rows else chosen.drop(columns="target")


def average(differences: pd.DataFrame, targets: list[str]) -> str:
    """Name the mean over targets that `language_means` gives: plain, or by least squares."""
    chosen = differences.loc[differences["target"].isin(targets), ["language", "target"]]
    alike = chosen.drop_duplicates().groupby("language").size().nunique() <= 1
    return "mean" if alike else "least-squares mean"


def contrast(
    differences: pd.DataFrame, clean_targets: list[str], family: pd.Series
) -> pd.DataFrame:
    """Return the difference per target, and its mean over the clean targets (`clean mean`).

    Columns: target, clean, mean, low, high, replicates, languages, families, p, p_holm, smallest_p.
    A target's score is the mean over its languages, the clean mean the mean over targets, formed
    within each replicate that has them all, so that replicates are joint over targets. The interval
    covers replicates, given these languages; `p` flips the signs of what each `family` (indexed by
    language) adds to that mean, given these replicates. It says nothing of others: where the mean
    of new ones is 0, but single replicates shift all languages by half as much as languages differ
    among themselves, p <= 0.05 in 31 % of simulations of 3 replicates, 39 languages, 12 families.
    In a transfer gain the noise of the source's own score is such a shift.
    Holm over the targets; the clean mean is the one primary comparison and is not adjusted.
    """
    table = over_replicates(differences, ["target"], "difference")
    table["clean"] = table["target"].isin(clean_targets)
    by_target = differences.groupby("target", sort=False)
    parts = [group.groupby("language")["difference"].mean() for _, group in by_target]
    clean = complete(differences[differences["target"].isin(clean_targets)])
    if len(clean):
        means = clean.groupby(["replicate", "target"])["difference"].mean().unstack("target")
        mean = t_interval(means.mean(axis=1).to_numpy())._asdict()
        counts = {"replicates": len(means), "languages": clean.language.nunique()}
        row = {"target": "clean mean", "clean": True} | mean | counts
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
        # What a language adds to the mean: of each of its targets one part in so many languages.
        values = clean.groupby(["target", "language"])["difference"].mean()
        values /= values.groupby("target").transform("size")
        parts.append(values.groupby("language").sum())
    tests = []
    for part in parts:
        families = family.loc[part.index]
        p = sign_flip_test(part.to_numpy(), families.tolist())
        tests.append((p, families.nunique(), smallest_p(families.nunique())))
    names = ["p", "families", "smallest_p"]
    table[names] = pd.DataFrame(tests, columns=names, index=table.index)
    single = table["target"] != "clean mean"
    table["p_holm"] = table["p"].where(~single, np.nan)
    table.loc[single, "p_holm"] = holm(table.loc[single, "p"].to_numpy())
    return table


def slope(
    values: pd.DataFrame,
    distance: pd.Series,
    grid: np.ndarray | None = None,
    confidence: float = 0.95,
) -> Line:
    """Fit a least-squares line of language values on distance, with a band.

    `values` has shape (replicates, languages), `distance` (languages,), matched by label; only
    languages that every replicate has are used. The line is fitted to the means over replicates.

    The interval and the pointwise band cover both replicates and languages: new seeds, and other
    languages at these distances (one random draw each; relatedness within families is not
    modelled). Three variances are estimated: of the coefficients between replicates (S - 1 degrees
    of freedom), of the language means around the line (L - 2), and of single values around both,
    (S - 1)(L - 2), which the first two hold each and which is therefore taken off their sum once
    (as the quasi-F of Satterthwaite 1946 and the two-way clusters of Cameron, Gelbach & Miller 2011
    do). `half_width` says how its t quantile is found and how often the interval covers. Where
    families, not single languages, lie off the line, and family goes with distance, it is too
    narrow: with 60 % of the languages' variance between families it covered 79 to 92 % at the
    distances of the 39 XTREME languages, and 98 % in `world`, whose families hold near and far.
    With one replicate, or fewer than three languages, there is no interval.
    """
    complete = values.dropna(axis=1)
    x = distance.loc[complete.columns].to_numpy(dtype=float)
    y = complete.to_numpy(dtype=float)
    at = np.asarray(x if grid is None else grid, dtype=float)
    empty = pd.DataFrame({"distance": at, "mean": np.nan, "low": np.nan, "high": np.nan})
    if len(np.unique(x)) < 2 or len(y) == 0:
        return Line(Interval(np.nan, np.nan, np.nan), empty)
    design = np.column_stack([np.ones_like(x), x])
    solve = np.linalg.pinv(design)
    coefficients = y @ solve.T
    centre = coefficients.mean(axis=0)
    wanted = np.vstack([[0.0, 1.0], np.column_stack([np.ones_like(at), at])])
    estimate = wanted @ centre
    half = np.full(len(wanted), np.nan)
    if len(y) > 1 and len(x) > 2:
        of_languages = y.mean(axis=0) - design @ centre
        of_values = y - coefficients @ design.T - of_languages
        freedom = np.array([len(y) - 1, len(x) - 2, (len(y) - 1) * (len(x) - 2)])
        unit = solve @ solve.T
        parts = [
            np.cov(coefficients.T) / len(y),
            (of_languages**2).sum() / freedom[1] * unit,
            (of_values**2).sum() / freedom[2] / len(y) * unit,
        ]
        variances = np.array([np.einsum("gi,ij,gj->g", wanted, part, wanted) for part in parts])
        half = half_width(variances, freedom, confidence)
    ends = np.column_stack([estimate, estimate - half, estimate + half])
    band = pd.DataFrame(ends[1:], columns=["mean", "low", "high"])
    band.insert(0, "distance", at)
    return Line(Interval(*(float(end) for end in ends[0])), band)


def half_width(variances: np.ndarray, freedom: np.ndarray, confidence: float) -> np.ndarray:
    """Return half the interval of an estimate whose variance is first + second - third.

    `variances` has shape (3, estimates), `freedom` (3,): independent mean squares, the third held
    in both others. The difference is cut off below at the smaller of the two. The quantile is 0.6
    times that of Satterthwaite's degrees of freedom, which alone covers too seldom, and 0.4 times
    the mean of both t quantiles weighted by variance (Cochran & Cox 1957, Experimental Designs,
    section 4.14), which alone covers too often. Simulated at 3 to 20 replicates and 8 to 36
    languages, for ratios of 1 to 10,000 between the variances, it covers 93.5 to 97.0 % where 95
    is said (`tests/test_coverage.py` repeats it). Two replicates keep the sum of both and the
    weighted quantile, and 94 to 99.5 %.
    """
    first, second, third = np.maximum(variances, np.finfo(float).tiny)
    t = stats.t.ppf((1 + confidence) / 2, freedom)
    weighted = (t[0] * first + t[1] * second) / (first + second)
    if freedom[0] < 2:
        return weighted * np.sqrt(first + second)
    total = np.maximum(first + second - third, np.minimum(first, second))
    found = total**2 / (first**2 / freedom[0] + second**2 / freedom[1])
    within = np.clip(found, min(freedom[:2]), freedom[:2].sum())
    return (0.6 * stats.t.ppf((1 + confidence) / 2, within) + 0.4 * weighted) * np.sqrt(total)


def above_floor(table: pd.DataFrame, floor: str = "random") -> pd.DataFrame:
    """Say per target and language whether the baseline is above the floor beyond noise.

    `table` is what `gains` returns. Above means that the t interval of baseline minus floor, over
    replicates, lies over zero. Columns: target, language, mean, low, high, replicates, above.
    """
    floors = table[table["condition"] == floor].assign(lead=lambda frame: -frame["gain"])
    leads = over_replicates(floors, ["target", "language"], "lead")
    return leads.drop(columns="languages").assign(above=leads["low"] > 0)
