"""Test means over languages or replicates, and adjust p-values for their number."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

EXACT = 16  # clusters up to which every flip is tried
DRAWS = 20_000


def sign_flip_test(
    values: Sequence[float] | np.ndarray, clusters: Sequence[str], draws: int = DRAWS
) -> float:
    """Return the two-sided p-value of a zero mean, flipping the signs of whole clusters.

    `values` has shape (languages,), averaged over replicates; `clusters` names each one's family,
    within which languages are not independent. Exact up to 16 clusters (the smallest p is
    2 / 2**clusters), else random flips with the observed one counted (Phipson & Smyth 2010).
    Covers the families as a sample; valid under symmetry (Canay, Romano & Shaikh 2017).
    """
    sums = pd.Series(np.asarray(values, dtype=float)).groupby(list(clusters)).sum().to_numpy()
    if not len(sums):
        return np.nan
    if len(sums) <= EXACT:
        signs = np.array(list(product([1, -1], repeat=len(sums))))
    else:
        signs = np.random.default_rng(0).choice([1, -1], size=(draws, len(sums)))
        signs[0] = 1
    flipped = np.abs(signs @ sums)
    # Equal up to rounding is as extreme.
    return float(np.mean(flipped >= abs(sums.sum()) - 1e-12))


def smallest_p(clusters: int) -> float:
    """Return the smallest p that `sign_flip_test` can give over so many clusters."""
    return 2.0 ** (1 - clusters) if clusters <= EXACT else 1 / DRAWS


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p-values adjusted for their number, family-wise (Holm 1979)."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def p_of_intervals(table: pd.DataFrame) -> np.ndarray:
    """Return the two-sided p-value of each mean from its 95 % t interval over `replicates`.

    NaN where there is no interval, or one of no width.
    """
    freedom = (table["replicates"] - 1).clip(lower=1).to_numpy(dtype=float)
    half = (table["high"] - table["low"]).to_numpy(dtype=float) / 2
    error = np.where(half > 0, half, np.nan) / stats.t.ppf(0.975, freedom)
    return 2 * stats.t.sf(np.abs(table["mean"].to_numpy(dtype=float)) / error, freedom)


def adjusted(rows: pd.DataFrame) -> pd.DataFrame:
    """Add `p_holm`: p-values adjusted for the number of rows that have one (Holm 1979)."""
    rows = rows.reset_index(drop=True)
    known = rows["p"].notna()
    rows["p_holm"] = np.nan
    rows.loc[known, "p_holm"] = holm(rows.loc[known, "p"].to_numpy())
    return rows
