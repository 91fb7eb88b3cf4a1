"""Say how many cells to run at once on one device: the number that finishes most of them an hour.

Each process is what a kernel of the grid is: it starts, imports, trains a few small encoders one
after the other. `workflow.threads`, CORES and `workflow.cells_per_device` set the number.
"""

import os
import subprocess
import sys
from functools import partial

import pandas as pd

from lib import encoder, paths
from lib.benchmark import measuring
from lib.errors import InputError
from lib.sizes import XLM_R, Shape

SMALL = Shape(2, 128, 512, 8_000)
UPDATES, TOKENS = 100, 512  # of a cell, as in the profiles of small encoders
GPU_UPDATES, GPU_TOKENS = 200, 2_048


def measure(quick: bool = False) -> pd.DataFrame:
    """Finish as many cells as there are processes, for 1, 2, and on a GPU 4 of them at once.

    Unit: cells. Raises InputError where a process fails.
    """
    on_gpu = encoder.device().type == "cuda"
    shapes = {"small encoder": SMALL}
    if on_gpu and not quick:
        shapes["xlm-roberta-base"] = XLM_R["xlm-roberta-base"]
    cells = 1 if quick else 3 if on_gpu else 2
    updates, tokens = (
        (2, 64) if quick else (GPU_UPDATES, GPU_TOKENS) if on_gpu else (UPDATES, TOKENS)
    )
    tables = []
    for name, shape in shapes.items():
        recipes = {
            f"{number} at once": partial(_at_once, number, shape, cells, updates, tokens)
            for number in ((1, 2, 4) if on_gpu else (1, 2))
        }
        tables.append(
            measuring.side_by_side(
                "side_by_side_cells", name, recipes, "cells", 1 if quick or on_gpu else 2,
                warm_up={recipe: lambda: (1, 1.0) for recipe in recipes},
            )
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the cells per hour of each number at once; `best` marks the highest of its case."""
    speed = measured.assign(cells_per_hour=3600 * measured["amount"] / measured["seconds"])
    table = speed.groupby(["case", "recipe"], sort=False)["cells_per_hour"].median().reset_index()
    best = table.groupby("case")["cells_per_hour"].transform("max")
    return table.assign(best=table["cells_per_hour"] == best)


def _at_once(number: int, shape: Shape, cells: int, updates: int, tokens: int) -> float:
    """Run so many processes at the same time, threads shared out; return the cells they finish."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = str(max(1, int(there or 1) // number))
    sizes = (shape.layers, shape.width, shape.feed_forward, shape.vocabulary)
    command = [sys.executable, "-m", __name__, *map(str, (cells, updates, tokens, threads, *sizes))]
    environment = os.environ | {"OMP_NUM_THREADS": threads}
    running = [
        subprocess.Popen(
            command, env=environment, cwd=paths.REPOSITORY, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for _ in range(number)
    ]  # fmt: skip
    said = [process.communicate()[1] for process in running]
    for process, errors in zip(running, said, strict=True):
        if process.returncode:
            lines = [line for line in errors.splitlines() if line[:1].strip()]
            why = lines[-1] if lines else f"exit status {process.returncode}"
            raise InputError(f"{number} processes at once: one of them failed: {why}")
    return float(number * cells)


def _train(cells: int, updates: int, tokens: int, shape: Shape) -> None:
    """Fine-tune so many encoders of a shape on tagging, one after the other."""
    from lib import batches, heads, tasks
    from lib.benchmark import material, synthetic
    from lib.profile import Budget

    budget = Budget(updates=updates, batch_tokens=tokens)
    for seed in range(1, cells + 1):
        lengths = synthetic.lengths("udpos", 4_000, seed)
        made = synthetic.features_of("udpos", lengths, shape.vocabulary)
        model = synthetic.model(shape, "auto").base_model
        head = heads.make(tasks.get("udpos"), model).to(encoder.device())
        plan = batches.plan_training(lengths, budget, seed)
        data = batches.Batches(made, plan, partial(head.collate, pad_id=1))
        material.train(head, data, budget, "cell", seed)


def main(given: list[str]) -> None:
    """Be one of the processes: cells, updates, tokens, threads, and the four sizes of a shape."""
    from lib import training

    cells, updates, tokens, threads, *sizes = map(int, given)
    training.use_threads(threads)
    _train(cells, updates, tokens, Shape(*sizes))


if __name__ == "__main__":
    main(sys.argv[1:])
