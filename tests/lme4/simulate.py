"""Simulate the tables that R's lme4 and our own model are both fitted to: `tables.csv`."""

from pathlib import Path

import numpy as np
import pandas as pd

# Per table: languages, standard deviation of languages and of cells, slope, share of cells lost.
TABLES = {
    "effect": (8, 0.02, 0.02, 0.15, 0.0),
    "no effect": (36, 0.02, 0.02, 0.0, 0.0),
    "zero variance": (8, 0.0, 0.03, 0.1, 0.0),
    "zero variance, 36 languages": (36, 0.0, 0.03, 0.1, 0.1),
    "unbalanced": (8, 0.03, 0.02, 0.1, 0.3),
    "unbalanced, 36 languages": (36, 0.03, 0.02, 0.1, 0.4),
    "languages prevail": (36, 0.1, 0.005, 0.2, 0.2),
}
TARGETS = ["panx", "udpos", "xnli", "xquad"]
SHIFT = dict(zip(TARGETS, [0.0, 0.03, -0.02, 0.05], strict=True))


def tables() -> pd.DataFrame:
    """Return the tables, stacked: one row per language and target, rounded to six decimals."""
    rng = np.random.default_rng(5)
    rows = []
    for name, (languages, of_language, of_cell, slope, lost) in TABLES.items():
        for number in range(languages):
            distance, effect = rng.uniform(0.1, 0.6), rng.normal(0, of_language)
            script = "Latn" if number % 3 else "other"
            for target in TARGETS:
                baseline = rng.uniform(0.3, 0.9)
                value = slope * distance + effect + SHIFT[target] + rng.normal(0, of_cell)
                if rng.random() >= lost:
                    code = f"q{number:02}"
                    rows.append((name, code, target, distance, script, baseline, value))
    columns = ["table", "language", "target", "distance", "script", "baseline", "difference"]
    return pd.DataFrame(rows, columns=columns).round(6)


if __name__ == "__main__":
    file = Path(__file__).with_name("tables.csv")
    tables().to_csv(file, index=False, lineterminator="\n")
