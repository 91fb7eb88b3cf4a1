"""Say what a run of the whole grid takes beside training and evaluation: imports, waiting, figures.

It reads the journal that `lib.workflow` keeps of each call, and the record of every cell that the
call made; it runs nothing itself.
"""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from lib import calls, layers, paths
from lib.benchmark.measuring import COLUMNS
from lib.errors import InputError

AVAILABLE, WORK = "kernels at once", "training and evaluation"
MEASURED = "encoders by layer"  # evaluated by the analyses, in cells of their own


def measure(quick: bool = False, profile: str = "world") -> pd.DataFrame:
    """Return three rows per call that made cells: the seconds there were, and those of its cells.

    There are as many seconds as the call took, times the kernels that may run at once. A cell's are
    those of its record: reading its data, training, evaluation; cells of the grid and those that
    its analyses made stand apart. Raises InputError where no call has made cells that still stand.
    """
    rows = []
    for number, (call, seconds) in enumerate(_calls(profile), start=1):
        there = call["seconds"] * call["kernels_at_once"]
        measured = _measured(paths.results(profile) / layers.PHASE, call)
        cells = len(call["cells"])
        for recipe, taken, made in (
            (AVAILABLE, there, cells),
            (WORK, seconds, cells),
            (MEASURED, sum(measured), len(measured)),
        ):
            rows.append(["overhead", profile, recipe, number, taken, made, "cells"])
    if not rows:
        raise InputError(f"{paths.results(profile)}: no run to look at: "
                         f"run `make figures PROFILE={profile}` first")  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the share of all calls' time that was neither training nor evaluation."""
    wide = measured.pivot_table(index="case", columns="recipe", values="seconds", aggfunc="sum")
    share = 1 - (wide[WORK] + wide[MEASURED]) / wide[AVAILABLE]
    return wide.assign(overhead=share).reset_index().rename_axis(columns=None)


def _calls(profile: str) -> list[tuple[dict, float]]:
    """List the calls whose cells all stand as that call made them, with those cells' seconds."""
    folder, found = paths.results(profile), []
    for call in calls.read(profile):
        files = [folder / key / "run.json" for key in call["cells"]]
        if not all(file.is_file() for file in files):
            continue
        records = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        if all(record["finished"] <= call["finished"] for record in records):
            found.append((call, sum(record["seconds"] for record in records)))
    return found


def _measured(folder: Path, call: dict[str, Any]) -> list[float]:
    """Return the seconds of each cell in a folder that was made while a call ran."""
    end = datetime.fromisoformat(call["finished"])
    start = end - timedelta(seconds=call["seconds"])
    records = [json.loads(file.read_text(encoding="utf-8")) for file in folder.rglob("run.json")]
    return [
        record["seconds"]
        for record in records
        if start <= datetime.fromisoformat(record["finished"]) <= end
    ]
