"""Estimate what each grammatical parameter does, from languages that a design chose.

Where every parameter differs from the source's in half of the languages, independently of all
others, the mean of the one half minus that of the other is its effect alone.
"""

import numpy as np
import pandas as pd
from scipy import stats

from lib.errors import InputError

COLUMNS = ["term", "mean", "low", "high", "low_all", "high_all", "replicates", "languages", "left"]

STANDS_OUT = 0.01


def is_orthogonal(design: pd.DataFrame) -> bool:
    """Say whether every column of a design takes its two values equally often, and with any other.

    `design` has shape (languages, terms), 0 or 1.
    """
    signs = 2.0 * design.to_numpy(dtype=float) - 1
    products = np.column_stack([np.ones(len(signs)), signs])
    products = products.T @ products
    return bool(np.allclose(products, len(signs) * np.eye(len(products))))


def effects(values: pd.DataFrame, design: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Fit values on all columns of a design at once; return the effect of each, with intervals.

    `values` has shape (replicates, languages), `design` (languages, terms), matched by label; only
    languages that every replicate has are used. Columns: term, mean (in units of `values`, per unit
    of the term), low, high, the ends of an interval that covers all terms together (`low_all`,
    `high_all`; Bonferroni), replicates, languages, and degrees of freedom `left` between languages.

    Intervals cover both replicates and languages, as `statistics.slope` does for one term: new
    seeds, and other languages of these grammars (other words, other interactions of parameters).
    The variances of a coefficient between replicates and between languages (around the fit) are
    added, less that of single cells, which both contain, but never less than either alone; their t
    quantiles are weighted by them (Cochran & Cox 1957, Experimental Designs, section 4.14). The
    variance between replicates is pooled over terms, but for one in which replicates differ more
    than in the others (an F test at 1 %). With one replicate there is no interval.

    Simulated for 24 languages and 12 parameters at 3, 4 and 8 replicates, 95 % covers 94 to 97.5 %
    (all together 94 to 99 %), wherever the variance lies; where replicates differ in one parameter
    alone it covers that one in 83 to 96 %, less with fewer replicates.

    Raises:
        InputError: the languages are too few to tell the terms apart.
    """
    complete = values.dropna(axis=1)
    chosen = design.loc[complete.columns]
    y = complete.to_numpy(dtype=float)
    x = np.column_stack([np.ones(len(chosen)), chosen.to_numpy(dtype=float)])
    left = len(x) - x.shape[1]
    if left < 1 or np.linalg.matrix_rank(x) < x.shape[1]:
        raise InputError(
            f"{len(x)} languages cannot tell {design.shape[1]} parameters apart; "
            "the languages of profile world_factorial can"
        )
    solve = np.linalg.pinv(x)
    coefficients = y @ solve.T
    centre = coefficients.mean(axis=0)
    table = pd.DataFrame({"term": design.columns, "mean": centre[1:]}).reindex(columns=COLUMNS)
    table[["replicates", "languages", "left"]] = [len(y), len(x), left]
    if len(y) < 2:
        return table
    scale = (solve**2).sum(axis=1)[1:]
    means = y.mean(axis=0) - x @ centre
    cells = y - y.mean(axis=0) - (coefficients - centre) @ x.T
    of_languages = means @ means / left
    of_cells = (cells**2).sum() / (len(y) - 1) / left / len(y)
    squares, freedom = _between_replicates((coefficients - centre)[:, 1:], scale)
    of_replicates = squares / len(y)
    total = np.maximum(of_replicates + of_languages - of_cells, of_replicates)
    total = np.maximum(np.maximum(total, of_languages), np.finfo(float).tiny)
    weight = of_replicates / np.maximum(of_replicates + of_languages, np.finfo(float).tiny)
    for suffix, error in (("", 1 - confidence), ("_all", (1 - confidence) / design.shape[1])):
        first, second = (stats.t.isf(error / 2, df) for df in (freedom, left))
        half = (weight * first + (1 - weight) * second) * np.sqrt(total * scale)
        table[f"low{suffix}"] = table["mean"] - half
        table[f"high{suffix}"] = table["mean"] + half
    return table


def _between_replicates(apart: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each term's mean square between replicates, pooled over terms, and its freedom.

    `apart` has shape (replicates, terms): coefficients less their mean; `scale` is their variance
    for a variance of 1 between languages.
    """
    seeds, terms = apart.shape
    own = (apart**2).sum(axis=0) / (seeds - 1) / scale
    if terms == 1:
        return own, np.array([seeds - 1])
    others = (own.sum() - own) / (terms - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        alone = stats.f.sf(own / others, seeds - 1, (seeds - 1) * (terms - 1)) < STANDS_OUT
    pooled = own[~alone]
    freedom = np.where(alone, seeds - 1, (seeds - 1) * len(pooled))
    return np.where(alone, own, pooled.mean()), freedom
