"""Write numbers and intervals in text, always alike."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.statistics import Interval, verdict

ENDS = ("mean", "low", "high")


def signed(value: float, digits: int = 2) -> str:
    """Write a number with its sign, a true minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def ends(row: pd.Series, names: Sequence[str] = ENDS) -> Interval:
    """Read an interval from the columns of a row."""
    return Interval(*(float(row[name]) for name in names))


def spelt(
    interval: Interval, scale: float = 100, digits: int = 2, unit: str = " points", p: str = ""
) -> str:
    """Write an estimate with its 95 % interval, where it has one, and what `p` says beside it."""
    middle, low, high = (signed(scale * end, digits) for end in interval)
    inside = "" if np.isnan(interval.low) else f" (95 % {low} to {high}{p})"
    return f"{middle}{unit}{inside}"


def trend(interval: Interval) -> str:
    """Say in words which way a slope goes, as far as its interval tells."""
    return verdict(
        interval, "grows", "falls", "shows no detectable trend", "has no interval for its trend"
    )
