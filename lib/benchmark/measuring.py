"""Time recipes side by side, in one process, and say how they compare.

A case is a piece of work; a recipe is a way to do it. Absolute times vary from run to run, so what
is quoted are ratios of times that were taken one after the other.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

OURS = "ours"
Recipe = Callable[[], float | tuple[float, float]]
COLUMNS = ["part", "case", "recipe", "repeat", "seconds", "amount", "unit"]


def side_by_side(
    part: str,
    case: str,
    recipes: Mapping[str, Recipe],
    unit: str,
    repeats: int = 3,
    warm_up: Mapping[str, Recipe] | None = None,
) -> pd.DataFrame:
    """Run every recipe `repeats` times, in turns, after one round that is not counted.

    That round is `warm_up`, smaller pieces of work of the same recipes, where it is given.

    A recipe does its work and returns how much it did, in `unit`; it may return the seconds that it
    took as well, as a pair, where it has work of its own to set up. Returns a row per recipe and
    repeat: `COLUMNS`.
    """
    rows = []
    for repeat in range(repeats + 1):
        # In turns, so that a slow minute of the machine falls on every recipe.
        order = list(recipes)[:: 1 if repeat % 2 else -1]
        for name in order:
            started = time.perf_counter()
            done = (recipes if repeat else warm_up or recipes)[name]()
            amount, seconds = done if isinstance(done, tuple) else (
                done, time.perf_counter() - started
            )  # fmt: skip
            if repeat:
                rows.append([part, case, name, repeat, seconds, amount, unit])
                print(f"{part:12} {case:24} {name:28} {amount / seconds:12,.0f} {unit}/s",
                      flush=True)  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def ratios(measured: pd.DataFrame, ours: str = OURS) -> pd.DataFrame:
    """Return how many times the speed of each other recipe ours has: median and range over repeats.

    One row per part, case and recipe compared with: `ratio`, `lowest`, `highest`, `n`.
    """
    speed = measured.assign(speed=measured["amount"] / measured["seconds"])
    wide = speed.pivot_table(index=["part", "case", "repeat"], columns="recipe", values="speed")
    against = (
        wide.drop(columns=ours).rdiv(wide[ours], axis=0).melt(ignore_index=False).reset_index()
    )
    grouped = against.dropna().groupby(["part", "case", "recipe"], sort=False)["value"]
    return grouped.agg(ratio="median", lowest="min", highest="max", n="count").reset_index()


def hardware() -> str:
    """Name the device, the processor, the threads and the day, for beside a number."""
    import torch

    day = time.strftime("%Y-%m-%d", time.gmtime())
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {day}"
    return (f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores, "
            f"torch {torch.__version__}, {day}")  # fmt: skip


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
