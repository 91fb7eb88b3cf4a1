"""Say before a study how likely it is to see a difference, from variances measured in another.

The analysis is simulated as `statistics` makes it: the t interval of the mean over languages, sign
flips over families, and the interval of the slope with distance. Differences are shares (0 to 1).
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from lib import mixed_model, paths, statistics
from lib.errors import InputError

REPLICATES, LANGUAGES, DIFFERENCES = (3, 5, 8, 12, 20), (8, 15, 40), (0.0, 0.005, 0.01, 0.02)
QUESTIONS = ("mean", "families", "trend")
WANTED, DRAWS, FLIPS = 0.8, 4000, 1000
MOST = 200  # replicates


class Components(NamedTuple):
    """Variances of a difference, averaged over the clean targets, and what they were measured from.

    `replicate`: of what a replicate adds to all languages. `tilt`: of what it adds to the slope per
    unit of distance. `language`: of languages around the line on distance, of which `family` lies
    between families (NaN where every family has one language). `noise`: of single values. `target`:
    of targets' means, for information: the targets of a study are fixed. `spread`: the variance of
    the languages' distances. `factors`: by how much the two variances between replicates may be too
    low and too high, a chi-square interval of 95 %.
    """

    replicate: float
    tilt: float
    language: float
    family: float
    noise: float
    target: float
    spread: float
    replicates: int
    languages: int
    families: int
    factors: tuple[float, float]

    def of_mean(self, languages: int) -> float:
        """Return the variance of one replicate's mean over so many languages."""
        return self.replicate + self.noise / languages

    def of_slope(self, languages: int) -> float:
        """Return the variance of one replicate's slope on so many languages."""
        return self.tilt + self.noise / (languages * self.spread)

    def scaled(self, factor: float) -> "Components":
        """Return the components if replicates varied by `factor` of the measured variances.

        They cannot vary by less than the noise of single values, which many more have measured.
        """
        replicate = factor * self.of_mean(self.languages) - self.noise / self.languages
        within = self.noise / (self.languages * self.spread)
        tilt = factor * self.of_slope(self.languages) - within
        return self._replace(replicate=max(replicate, 0.0), tilt=max(tilt, 0.0))


def components(
    differences: pd.DataFrame, clean_targets: list[str], distance: pd.Series, family: pd.Series
) -> Components:
    """Estimate the variances from differences: what `statistics.difference` returns.

    `distance` and `family` are indexed by language; languages without a distance, or that a
    replicate lacks, are left out. Components are differences of mean squares, cut off at 0.

    Raises:
        InputError: fewer than 2 replicates or 4 languages, or one distance for all.
    """
    kept = differences[differences["language"].map(distance).notna()]
    kept = kept[kept["target"].isin(clean_targets)]
    means = statistics.language_means(kept, clean_targets)
    values = means.pivot(index="replicate", columns="language", values="difference").dropna(axis=1)
    x = distance.loc[values.columns].to_numpy(dtype=float)
    x = x - x.mean() if len(x) else x
    if len(values) < 2 or len(x) < 4 or np.ptp(x) == 0:
        raise InputError(
            f"power: {len(values)} replicates of {len(x)} languages at {len(np.unique(x))} "
            f"distances, expected at least 2 of 4 at 2: run more seeds or languages first"
        )
    y = values.to_numpy(dtype=float)
    runs, count = y.shape
    slopes, centred = y @ x / (x @ x), y - y.mean(axis=1, keepdims=True)
    around = centred - np.outer(slopes, x)
    of_languages = around.mean(axis=0)
    noise = ((around - of_languages) ** 2).sum() / ((runs - 1) * (count - 2))
    language = max((of_languages**2).sum() / (count - 2) - noise / runs, 0.0)
    by_target = kept.groupby(["target", "language"])["difference"].mean().groupby("target").mean()
    freedom = runs - 1
    low, high = freedom / stats.chi2.ppf([0.975, 0.025], freedom)
    return Components(
        replicate=float(max(y.mean(axis=1).var(ddof=1) - noise / count, 0.0)),
        tilt=float(max(slopes.var(ddof=1) - noise / (x @ x), 0.0)),
        language=float(language),
        family=_between_families(y.mean(axis=0), x, family.loc[values.columns], language),
        noise=float(noise),
        target=float(by_target.var(ddof=1)) if len(by_target) > 1 else np.nan,
        spread=float(x @ x / count),
        replicates=runs,
        languages=count,
        families=int(family.loc[values.columns].nunique()),
        factors=(float(low), float(high)),
    )


def _between_families(values: np.ndarray, x: np.ndarray, family: pd.Series, most: float) -> float:
    """Return the variance between families around the line; NaN where it cannot be estimated."""
    table = pd.DataFrame({"value": values, "distance": x, "family": family.to_numpy()})
    if family.nunique() == len(family) or family.nunique() < 3:
        return np.nan
    fit = mixed_model.fit(table, "value", ["distance"], random="family")
    return float(min(fit.variances["random"], most))


def _to_see(parts: Components, question: str, replicates: int, languages: int) -> np.ndarray:
    """Return, per simulated study, the true difference from which on it would see it.

    Seen is: the 95 % interval lies over zero. Where the truth is d, a study's estimate is d plus
    its error: it is seen where d > half width - error. The slope's is per unit of distance.
    """
    # The same draws for every number of replicates and every variance: curves differ by these only.
    rng = np.random.default_rng(0)
    normal, chance = rng.normal(size=DRAWS), rng.uniform(size=(3, DRAWS))
    if question == "mean":
        variance = np.full(3, parts.of_mean(languages) / replicates)
        freedom = np.array([replicates - 1])
        squares = variance[:1, None] * stats.chi2.ppf(chance[:1], freedom[:, None]) / freedom[0]
        half = stats.t.ppf(0.975, freedom[0]) * np.sqrt(squares[0])
        return np.asarray(half - normal * np.sqrt(variance[0]))
    unit = 1 / (languages * parts.spread)
    freedom = np.array([replicates - 1, languages - 2, (replicates - 1) * (languages - 2)])
    variance = np.array(
        [
            parts.of_slope(languages) / replicates,
            (parts.language + parts.noise / replicates) * unit,
            parts.noise / replicates * unit,
        ]
    )
    squares = variance[:, None] * stats.chi2.ppf(chance, freedom[:, None]) / freedom[:, None]
    half = statistics.half_width(squares, freedom, 0.95)
    return np.asarray(half - normal * np.sqrt(variance[0] + variance[1] - variance[2]))


def _share(least: np.ndarray, difference: float) -> float:
    """Return the share of studies that see a difference; if it is 0, on either side of it."""
    return float((least < difference).mean() * (1 if difference else 2))


def _flipped(
    parts: Components, replicates: int, languages: int, truths: Sequence[float]
) -> list[float]:
    """Return how often sign flips over families give p <= 0.05 with the right sign, per truth.

    Where the truth is 0 either sign counts, and is a false alarm.
    Families hold as many languages as in the study measured. Half of the patterns of signs give
    every p; over 12 families, 2000 random patterns stand for all.
    """
    families = min(max(1, round(languages * parts.families / parts.languages)), languages)
    rng = np.random.default_rng(0)
    member = np.arange(languages) % families
    between = 0.0 if np.isnan(parts.family) else parts.family
    own = parts.language - between + parts.noise / replicates
    shift = rng.normal(0, np.sqrt(parts.replicate / replicates), (FLIPS, 1))
    values = rng.normal(0, np.sqrt(between), (FLIPS, families))[:, member] + shift
    values = values + rng.normal(0, np.sqrt(own), (FLIPS, languages))
    inside = (member[:, None] == np.arange(families)).astype(float)
    if families <= 12:
        signs = 1 - 2 * ((np.arange(2 ** (families - 1))[:, None] >> np.arange(families)) & 1)
    else:
        signs = rng.choice([1, -1], size=(2000, families))
        signs[0] = 1
    seen = []
    for truth in truths:
        sums = (values + truth) @ inside
        observed = sums.sum(axis=1)
        extreme = np.abs(sums @ signs.T) >= np.abs(observed)[:, None] - 1e-12
        right = (observed > 0) | (truth == 0)
        seen.append(float(((extreme.mean(axis=1) <= 0.05) & right).mean()))
    return seen


def table(
    parts: Components,
    replicates: Sequence[int] = REPLICATES,
    languages: Sequence[int] = LANGUAGES,
    differences: Sequence[float] = DIFFERENCES,
) -> pd.DataFrame:
    """Return the probability to see a true difference, per question and size of the study.

    Columns: question (`mean`: the t interval of the mean over languages lies over zero; `families`:
    sign flips give p <= 0.05; `trend`: the interval of the slope lies over zero), replicates,
    languages, difference (a share; of the trend per 0.1 of distance; where it is 0, power counts
    the false alarms of either sign), power, and `low` and `high`:
    power if replicates vary as much as the upper, and as little as the lower, end of a 95 %
    interval of their variance. 4,000 simulated studies each, 1,000 of sign flips; seeds are fixed.
    """
    rows = []
    ends = [parts, parts.scaled(parts.factors[1]), parts.scaled(parts.factors[0])]
    for question in QUESTIONS:
        for count in languages:
            for runs in replicates:
                unit = 10 if question == "trend" else 1
                powers = []
                for variances in ends:
                    if question == "families":
                        powers.append(_flipped(variances, runs, count, differences))
                        continue
                    least = _to_see(variances, question, runs, count)
                    powers.append([_share(least, unit * d) for d in differences])
                for difference, *found in zip(differences, *powers, strict=True):
                    rows.append((question, runs, count, difference, *found))
    columns = ["question", "replicates", "languages", "difference", "power", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def smallest(
    parts: Components,
    replicates: Sequence[int] = REPLICATES,
    languages: Sequence[int] = LANGUAGES,
    power: float = WANTED,
) -> pd.DataFrame:
    """Return the smallest true difference that is seen with a power of 80 %.

    Columns: question (`mean`, `trend`), replicates, languages, difference, and low and high: with
    the lower and the upper end of the variance between replicates.
    """
    rows = []
    ends = [parts, parts.scaled(parts.factors[0]), parts.scaled(parts.factors[1])]
    for question, unit in (("mean", 1), ("trend", 10)):
        for count in languages:
            for runs in replicates:
                least = [np.quantile(_to_see(end, question, runs, count), power) for end in ends]
                rows.append((question, runs, count, *(float(value) / unit for value in least)))
    columns = ["question", "replicates", "languages", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def needed(
    parts: Components,
    languages: Sequence[int] = LANGUAGES,
    differences: Sequence[float] = DIFFERENCES,
) -> pd.DataFrame:
    """Return how many replicates see a true difference with a power of 80 %.

    Columns: question, languages, difference, replicates, and low and high as in `smallest`; NaN
    where `MOST` replicates do not suffice.
    """
    ends = [parts, parts.scaled(parts.factors[0]), parts.scaled(parts.factors[1])]
    rows = []
    for question in ("mean", "trend"):
        for count in languages:
            for difference in filter(None, differences):
                enough = [_enough(end, question, count, difference) for end in ends]
                rows.append((question, count, difference, *enough))
    return pd.DataFrame(
        rows, columns=["question", "languages", "difference", "replicates", "low", "high"]
    )


def _enough(parts: Components, question: str, languages: int, difference: float) -> float:
    """Return the fewest replicates that see a difference with 80 % power, NaN where `MOST` do not.

    By bisection: what is seen shrinks as replicates are added.
    """
    unit = 10 if question == "trend" else 1

    def sees(replicates: int) -> bool:
        least = np.quantile(_to_see(parts, question, replicates, languages), WANTED) / unit
        return bool(least <= difference)

    if not sees(MOST):
        return np.nan
    too_few, enough = 1, MOST
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if sees(middle) else (middle, enough)
    return enough


def seconds_per_replicate(profile: str, conditions: Sequence[str]) -> float:
    """Return the seconds that one more replicate takes: the mean over seeds of every kind of cell.

    Counts pre-training, and intermediate and target training under `conditions`, as recorded in
    each `run.json`; NaN where nothing is recorded.
    """
    folder = paths.results(profile)
    kinds = ["pretrain/seed=*"]
    for condition in conditions:
        kinds.append(f"intermediate/{condition}/seed=*")
        targets = sorted((folder / "transfer" / condition).glob("*"))
        kinds += [f"transfer/{condition}/{target.name}/seed=*" for target in targets]
    found = []
    for kind in kinds:
        files = sorted(folder.glob(f"{kind}/run.json"))
        seconds = [json.loads(file.read_text(encoding="utf-8"))["seconds"] for file in files]
        found += [float(np.mean(seconds))] if seconds else []
    return sum(found) if found else np.nan
