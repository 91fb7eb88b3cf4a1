"""Estimate what each grammatical parameter does, from languages that a design chose.

Where every parameter differs from the source's in half of the languages, independently of all
others, the mean of the one half minus that of the other is its effect alone.
"""

import numpy as np
import pandas as pd
from scipy import stats

from lib.errors import InputError

COLUMNS = ["term", "mean", "low", "high", "low_all", "high_all", "replicates", "languages", "left"]


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
    Two variances are estimated and added: of the coefficients between replicates, with S - 1
    degrees of freedom, and of the language means around the fit, with L - p. Their t quantiles are
    weighted by them (Cochran & Cox 1957, Experimental Designs, section 4.14). With one replicate
    there is no interval.

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
    if len(y) > 1:
        residual = y.mean(axis=0) - x @ centre
        of_languages = residual @ residual / left * (solve**2).sum(axis=1)[1:]
        of_replicates = coefficients[:, 1:].var(axis=0, ddof=1) / len(y)
        for suffix, error in (("", 1 - confidence), ("_all", (1 - confidence) / design.shape[1])):
            t = [stats.t.isf(error / 2, df) for df in (len(y) - 1, left)]
            total = np.maximum(of_replicates + of_languages, np.finfo(float).tiny)
            half = (t[0] * of_replicates + t[1] * of_languages) / np.sqrt(total)
            table[f"low{suffix}"] = table["mean"] - half
            table[f"high{suffix}"] = table["mean"] + half
    return table
