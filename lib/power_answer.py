"""Say in words what a study of the size at hand would see, and what it would take to see more."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib import power
from lib.power import Components


def sentences(parts: Components, name: str, pair: tuple[str, str], targets: Sequence[str]) -> str:
    """Return Markdown: what the study measured would see, and how many replicates it would take.

    Everything is computed from `parts`; `name` is the profile's.
    """
    runs, count = parts.replicates, parts.languages
    most = max(*power.LANGUAGES, count)
    low, deviation, high = (
        100 * np.sqrt(parts.scaled(factor).of_mean(count))
        for factor in (parts.factors[0], 1.0, parts.factors[1])
    )
    noise = 100 * np.sqrt(parts.noise / count)
    added = "; no variance between replicates was seen beyond it" if not parts.replicate else ""
    now = power.table(parts, [runs], [count])
    takes = power.needed(parts, sorted({count, most}))
    lines = [
        f"**Profile `{name}`**: what a study sees, simulated from the variances of `{pair[0]}` "
        f"minus `{pair[1]}` in transfer gain, mean over {', '.join(targets)}; {runs} replicates, "
        f"{count} languages, {parts.families} families.\n",
        f"- One replicate's mean over the languages has a standard deviation of {deviation:.1f} "
        f"points (95 % {low:.1f} to {high:.1f}, for it is measured from {runs} replicates; the "
        f"noise of single values alone makes {noise:.1f}{added}). The numbers in brackets below "
        "are for these two ends; how languages scatter is taken as measured.",
        f"- **Mean**: with {runs} replicates a true difference of 2 points is seen in "
        f"{_seen(now, 'mean', 0.02)} of studies. {_takes(takes, 'mean', count)}",
        f"- **Sign flips** over {parts.families} families {_by_family(now, parts.families)}",
        f"- **Trend**: with {runs} replicates and {count} languages, 1 point per 0.1 of distance "
        f"is seen in {_seen(now, 'trend', 0.01)} of studies. {_takes(takes, 'trend', count)}",
    ]
    if most > count:
        lines.append(
            f"- **More languages**: with {most} instead of {count}, 2 points in the mean take "
            f"{_runs(_row(takes, 'mean', most, 0.02))}, 1 point per 0.1 of distance "
            f"{_runs(_row(takes, 'trend', most, 0.01))}."
        )
    return "\n".join(lines) + "\n"


def _by_family(now: pd.DataFrame, families: int) -> str:
    """Say what sign flips over so many families see."""
    smallest = 2.0 ** (1 - families)
    if smallest > 0.05:
        return f"cannot give p below {smallest:.3g}: at 5 % they see no difference at all."
    found = now[now["question"] == "families"].set_index("difference")["power"]
    return (
        f"see a true difference of 2 points in {100 * found[0.02]:.0f} % of such studies; where "
        f"there is none they say there is in {100 * found[0.0]:.0f} %, for they hold given the "
        "replicates."
    )


def _row(takes: pd.DataFrame, question: str, languages: int, difference: float) -> pd.Series:
    """Return the one row of `power.needed` for these."""
    of = (takes["question"] == question) & (takes["languages"] == languages)
    return takes[of & (takes["difference"] == difference)].iloc[0]


def _seen(now: pd.DataFrame, question: str, difference: float) -> str:
    """Write a power with its two ends."""
    row = now[(now["question"] == question) & (now["difference"] == difference)].iloc[0]
    power_now, low, high = (f"{100 * row[end]:.0f}" for end in ("power", "low", "high"))
    return f"{power_now} % ({low} to {high})"


def _runs(row: pd.Series) -> str:
    """Write a number of replicates with its two ends."""
    number, low, high = (
        f"more than {power.MOST}" if np.isnan(row[end]) else f"{row[end]:.0f}"
        for end in ("replicates", "low", "high")
    )
    return f"{number} replicates ({low} to {high})"


def _takes(takes: pd.DataFrame, question: str, languages: int) -> str:
    """Write how many replicates see each difference with 80 % power."""
    words = [
        f"{_runs(_row(takes, question, languages, difference))} for {100 * difference:g} "
        f"point{'s' * (difference != 0.01)}"
        for difference in sorted(filter(None, power.DIFFERENCES), reverse=True)
    ]
    per = " per 0.1 of distance" if question == "trend" else ""
    return f"To see it in 80 % takes {', '.join(words)}{per}."
