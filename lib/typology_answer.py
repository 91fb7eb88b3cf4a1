"""Word what the analysis of typology found, from its numbers, so that it cannot drift from them."""

import numpy as np
import pandas as pd

from lib.wording import ends, signed, spelt, trend


def by_distance(slopes: pd.DataFrame, labels: dict[str, str]) -> list[str]:
    """Say how difference and gains go with every measure of distance.

    `slopes` is what `trends.against` returns.
    """
    lines = []
    for measure, label in labels.items():
        here = slopes[slopes["measure"] == measure]
        row = here[here["outcome"] == "difference"].iloc[0]
        told = f"Against {label} the difference `{row['condition'].replace(' - ', '` − `')}`"
        rank = ""
        if not np.isnan(row["spearman"]):
            rank = f", Spearman {signed(row['spearman'])} (p {row['p']:.2g})"
        gained = [
            f"that of `{each['condition']}` {trend(ends(each))} ({spelt(ends(each), 10, unit='')})"
            for _, each in here[here["outcome"] == "gain"].iterrows()
        ]
        lines.append(
            f"{told} {trend(ends(row))}: {spelt(ends(row), 10)} per 0.1{rank}. "
            f"Of the gains, {' and '.join(gained)}."
        )
    return lines


def with_controls(effects: pd.DataFrame, labels: dict[str, str]) -> list[str]:
    """Say what controls do to the slope of the difference, per subset of cells.

    `effects` is what `trends.models` returns; of the first measure of distance.
    """
    if effects.empty:
        return ["No mixed model could be fitted: too few languages."]
    lines = []
    first = effects[effects["measure"] == effects["measure"].iloc[0]]
    for cells, here in first.groupby("cells", sort=False):
        found = here[here["term"] == "distance"].set_index("adjusted")
        names = ("slope", "slope_low", "slope_high")
        most = found["languages"].max()
        told = [f"Mixed model, {cells} ({most} languages):"]
        if False in found.index:
            told.append(f"{spelt(ends(found.loc[False], names), 10)} per 0.1 of distance;")
        controls = [labels[term] for term in here.loc[here["term"] != "distance", "term"]]
        if controls:
            told.append(
                f"{spelt(ends(found.loc[True], names), 10, unit='')} with {', '.join(controls)}"
            )
            fewer = found.loc[True, "languages"]
            told[-1] += f" ({fewer} languages)." if fewer < most else "."
        else:
            told.append("no control could be held.")
        lines.append(" ".join(told))
    return lines


def without_families(slopes: pd.DataFrame) -> str:
    """Say how much the slope hangs on one family; of `trends.without_each_family`."""
    rest = slopes.iloc[1:].dropna(subset=["mean"])
    if rest.empty:
        return "Without one family at a time too few languages are left for a slope."
    least, most = (signed(10 * end) for end in (rest["mean"].min(), rest["mean"].max()))
    known = rest[["low", "high"]].dropna()
    sure = int(((known["low"] > 0) | (known["high"] < 0)).sum())
    one_sign = bool((np.sign(rest["mean"]) == np.sign(slopes["mean"].iloc[0])).all())
    sign = "keeps its sign" if one_sign else "changes its sign"
    told = (
        f"Without one family at a time the slope lies between {least} and {most} points per "
        f"0.1 and {sign}; "
    )
    if known.empty:
        return f"{told}it has no interval."
    return f"{told}its interval leaves out 0 in {sure} of {len(known)} cases."


def in_log_odds(sensitivity: pd.DataFrame) -> str:
    """Say the slope in log-odds, of the first subset and measure of `trends.sensitivity`."""
    row = sensitivity[sensitivity["scale"] == "log-odds"].iloc[0]
    return f"In log-odds it {trend(ends(row))}: {spelt(ends(row), 0.1, 3, '')} per 0.1 of distance."


def by_parameter(effects: pd.DataFrame | None, labels: dict[str, str]) -> list[str]:
    """Say which grammatical parameters matter; `effects` of `trends.by_parameter`, or None."""
    if effects is None:
        return ["Which grammatical parameter matters cannot be told here: see `world_factorial`."]
    lines = []
    for outcome, here in effects.groupby("outcome", sort=False):
        name = str(outcome).replace(" - ", " − ")
        largest = here.iloc[int(here["mean"].abs().to_numpy().argmax())]
        told = f"{name}: the largest effect is {labels[largest['term']]}, {spelt(ends(largest))}"
        if here["low_all"].isna().all():
            lines.append(f"{told}; one run has no interval.")
            continue
        sure = here[(here["low_all"] > 0) | (here["high_all"] < 0)]
        listed = [
            f"{labels[row['term']]} {spelt(ends(row), unit='')}" for _, row in sure.iterrows()
        ]
        which = "; ".join(listed) if listed else "none"
        lines.append(f"{told}. Apart from 0 for all {len(here)} at once: {which}.")
    return lines
