"""Simulate how long a profile's grid takes on so many devices, and compare that with real runs.

Kernels start as Snakemake starts them: any whose earlier phases are done, as soon as a place is
free. Which of several goes first Snakemake does not promise; here it is the profile's order, and
the range over random orders is said. Any such schedule takes less than twice the shortest (Graham
1969, doi 10.1137/0117039).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush
from statistics import median
from typing import Any

import numpy as np

from lib import calls, paths, pretraining, workflow
from lib.profile import Profile, digest
from lib.results import Cell

# Seconds of a kernel of `world` beside its cells, and from the end of one to the start of the next:
# medians on a processor, 2026-11-26.
START, BETWEEN = 7.5, 1.5
ANALYSIS = 60.0  # seconds assumed of an analysis that was never run
ORDERS = 100


@dataclass(frozen=True)
class Kernel:
    """Name one executed notebook: the cells it makes, the kernels it waits for, its devices."""

    key: str
    cells: tuple[Cell, ...] = ()
    after: tuple[str, ...] = ()
    devices: int = 1


@dataclass(frozen=True)
class Schedule:
    """Hold when each kernel starts and ends, in seconds, and on how many devices."""

    starts: dict[str, float]
    ends: dict[str, float]
    busy: float
    devices: int

    @property
    def wall(self) -> float:
        """Return when the last kernel ends."""
        return max(self.ends.values(), default=0.0)

    @property
    def utilisation(self) -> float:
        """Return the share of the devices' time, until the last of them is free, at work."""
        return self.busy / (self.devices * self.wall) if self.wall else 0.0


def kernels(settings: Profile) -> list[Kernel]:
    """List what the Snakefile runs, by phase, each in the profile's order."""
    together, grid = settings.workflow.kernel_per, list(workflow.cells(settings))
    conditions = ["all"] if together == "seed" else list(settings.conditions)
    targets = list(settings.targets) if together == "target" else ["all"]
    encoders = {seed: pretraining.cell(settings, n).key for seed, n in settings.seeds.items()}
    asked = devices_of(settings, "pretrain")
    found = [Kernel(c.key, (c,), (), asked) for c in grid if c.phase == "pretrain"]
    trained = {"all"} | {name for name, how in settings.conditions.items() if how.task}

    def add(phase: str, condition: str, target: str, seed: int, after: Iterable[str]) -> str:
        cell = Cell(settings.name, phase, seed, condition, target)
        inside = tuple(
            each
            for each in grid
            if each.phase == phase
            and condition in ("all", each.condition)
            and target in ("all", each.target)
            and seed in (0, each.seed)
        )
        asked = devices_of(settings, phase)
        found.append(Kernel(cell.key, inside, tuple(dict.fromkeys(after)), asked))
        return cell.key

    def seeds_of(condition: str) -> list[int]:
        return [0] if together == "condition" else settings.seeds_of(condition)

    def before(condition: str, seed: int) -> list[str]:
        return [encoders[each] for each in ([seed] if seed else settings.seeds_of(condition))]

    runs = [(condition, seed) for condition in conditions for seed in seeds_of(condition)]
    made = {
        run: add("intermediate", run[0], "", run[1], before(*run))
        for run in runs
        if run[0] in trained
    }
    last = [
        add("transfer", condition, target, seed, [made[condition, seed]]
            if condition in trained else before(condition, seed))
        for condition, seed in runs
        for target in targets
    ]  # fmt: skip
    names = sorted(file.stem for file in paths.NOTEBOOKS.glob("analysis_*.ipynb"))
    asked = devices_of(settings, "analysis")
    return found + [Kernel(name, (), tuple(last), asked) for name in names]


def devices_of(settings: Profile, phase: str) -> int:
    """Return how many devices a job of a phase takes; an analysis none, unless it asks for some."""
    asked: int = getattr(settings.workflow.resources, phase).gpus
    return asked if phase == "analysis" else max(1, asked)


def simulate(
    grid: list[Kernel],
    seconds: Mapping[str, float],
    devices: int,
    cores: int | None = None,
    seed: int | None = None,
) -> Schedule:
    """Start every kernel as soon as what it waits for is done and a place is free.

    `seconds`: of each kernel by its key; one without is done already. A kernel takes a core, of
    which there may be any number, and the devices it needs, of those there are at most. `seed`
    draws a random order.
    """
    order = list(range(len(grid)))
    if seed is not None:
        order = np.random.default_rng(seed).permutation(len(grid)).tolist()
    rank = {kernel.key: order[place] for place, kernel in enumerate(grid)}
    left = {k.key: {name for name in k.after if name in seconds} for k in grid if k.key in seconds}
    following: dict[str, list[str]] = {}
    for key, names in left.items():
        for name in names:
            following.setdefault(name, []).append(key)
    needs = {kernel.key: min(kernel.devices, devices) for kernel in grid}
    ready: dict[int, list[tuple[int, str]]] = {number: [] for number in set(needs.values())}
    for key, names in left.items():
        if not names:
            heappush(ready[needs[key]], (rank[key], key))
    free, places = devices, cores if cores is not None else len(grid)
    running: list[tuple[float, str]] = []
    starts, ends, now = {}, {}, 0.0
    while any(ready.values()) or running:
        while places and (fit := [q for number, q in ready.items() if q and number <= free]):
            _, key = heappop(min(fit))
            free, places = free - needs[key], places - 1
            starts[key], ends[key] = now, now + seconds[key]
            heappush(running, (ends[key], key))
        now, key = heappop(running)
        free, places = free + needs[key], places + 1
        for name in following.get(key, ()):
            left[name].discard(key)
            if not left[name]:
                heappush(ready[needs[name]], (rank[name], name))
    busy = sum(needs[key] * took for key, took in seconds.items() if key in needs)
    return Schedule(starts, ends, busy, devices)


def critical_path(grid: list[Kernel], seconds: Mapping[str, float]) -> list[str]:
    """Return the longest chain of kernels, each waiting for the one before it.

    However many devices there are, the grid takes as long as its seconds.
    """
    longest: dict[str, tuple[float, str]] = {}
    for kernel in grid:  # a kernel stands after what it waits for
        best = max(((longest[name][0], name) for name in kernel.after), default=(0.0, ""))
        longest[kernel.key] = (best[0] + seconds.get(kernel.key, 0.0), best[1])
    key = max(longest, key=lambda name: longest[name][0], default="")
    path: list[str] = []
    while key:
        path.insert(0, key)
        key = longest[key][1]
    return path


def measured(settings: Profile) -> dict[Cell, float]:
    """Return the seconds of the cells that stand in the result store, made as the profile says."""
    found = {}
    for cell, wanted in workflow.cells(settings).items():
        facts = _facts(cell)
        if facts.get("parameters_hash") == digest(wanted) and "seconds" in facts:
            found[cell] = float(facts["seconds"])
    return found


def _facts(cell: Cell) -> dict[str, Any]:
    try:
        return dict(json.loads(cell.run_file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _ran(settings: Profile, kernel: Kernel) -> tuple[float, float] | None:
    """Return when a kernel's executed notebook says that it started and ended, as seconds."""
    file = paths.results(settings.name) / kernel.key / "notebook.ipynb"
    try:
        run = json.loads(file.read_text(encoding="utf-8"))["metadata"]["papermill"]
        times = (datetime.fromisoformat(run[end]) for end in ("start_time", "end_time"))
        start, end = (time.timestamp() for time in times)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return start, end


def beside_cells(
    settings: Profile, grid: list[Kernel], stored: Mapping[Cell, float]
) -> tuple[float, float]:
    """Return what a kernel takes beside its cells, and how long after another it starts.

    Medians over the executed notebooks, else `START` and `BETWEEN`. `stored`: as of `measured`.
    """
    runs = {kernel.key: times for kernel in grid if (times := _ran(settings, kernel))}
    more = [
        runs[kernel.key][1] - runs[kernel.key][0] - sum(stored[cell] for cell in kernel.cells)
        for kernel in grid
        if kernel.cells and kernel.key in runs and set(kernel.cells) <= stored.keys()
    ]
    gaps = [start - max(ends) for start, _ in runs.values()
            if (ends := [end for _, end in runs.values() if end <= start])]  # fmt: skip
    # Of a kernel that was killed the cells took longer than its last run.
    return median([each for each in more if each > 0] or [START]), median(gaps or [BETWEEN])


def of_kernels(
    settings: Profile,
    grid: list[Kernel],
    of_cells: Mapping[Cell, float],
    beside: tuple[float, float],
) -> dict[str, float]:
    """Return the seconds of every kernel that has a cell in `of_cells`, and of every analysis.

    `beside`: of `beside_cells`. An analysis takes what its notebook says, else `ANALYSIS`.
    """
    start, between = beside
    found = {}
    for kernel in grid:
        made = [of_cells[cell] for cell in kernel.cells if cell in of_cells]
        if made:
            found[kernel.key] = between + start + sum(made)
        elif not kernel.cells:
            took = _ran(settings, kernel)
            found[kernel.key] = between + (took[1] - took[0] if took else ANALYSIS)
    return found


@dataclass(frozen=True)
class Compared:
    """Hold a real call of the workflow beside its simulation, in seconds."""

    finished: str
    cells: int
    at_once: int
    took: float
    simulated: float


def compare(settings: Profile) -> list[Compared]:
    """Simulate every call of the journal from the seconds of the cells that it made.

    Of a cell that was made anew since, those are of the last time: such a call is left out, and so
    is one on a cluster, whose queue is not known. The analyses are of the call that ended the grid.
    """
    made_by = calls.read(settings.name)
    if not made_by:
        return []
    last = {key: place for place, call in enumerate(made_by) for key in call["cells"]}
    grid, stored, found = kernels(settings), measured(settings), []
    beside = beside_cells(settings, grid, stored)
    for place, call in enumerate(made_by):
        made = {cell: s for cell, s in stored.items() if last.get(cell.key) == place}
        if len(made) < len(call["cells"]) or call.get("executor", "local") != "local":
            continue
        at_once, seconds = call["kernels_at_once"], of_kernels(settings, grid, made, beside)
        if place < len(made_by) - 1 or len(stored) < len(workflow.cells(settings)):
            seconds = {kernel.key: seconds[kernel.key]
                       for kernel in grid if kernel.cells and kernel.key in seconds}  # fmt: skip
        simulated = simulate(grid, seconds, at_once, at_once)
        found.append(Compared(call["finished"], len(made), at_once, call["seconds"],
                              simulated.wall))  # fmt: skip
    return found


def describe(
    settings: Profile, of_cells: Mapping[Cell, float], devices: int, price: float, source: str
) -> list[tuple[str, str]]:
    """Say what a schedule on so many devices takes, labelled lines; `source`: of the seconds."""
    grid = kernels(settings)
    seconds = of_kernels(settings, grid, of_cells, beside_cells(settings, grid, of_cells))
    made = simulate(grid, seconds, devices)
    walls = [simulate(grid, seconds, devices, seed=seed).wall for seed in range(ORDERS)]
    path = critical_path(grid, seconds)
    alone = sum(seconds[key] for key in path)
    number = sum(bool(kernel.cells) for kernel in grid)
    lines = [
        ("schedule", f"{_time(made.wall)} on {devices} {'devices' if devices > 1 else 'device'} "
                     f"({_time(min(walls))} to {_time(max(walls))} over {ORDERS} orders), "
                     f"{made.utilisation:.0%} of that time at work; {number} kernels, one per "
                     f"{settings.workflow.kernel_per}; {source}"),
        ("critical", f"{_time(alone)} on any number of devices: "
                     + ", then ".join(f"{key} {_time(seconds[key])}" for key in path)),
    ]  # fmt: skip
    if price:
        held, at_work = devices * made.wall / 3600, made.busy / 3600
        lines.append(("cost", f"{price * held:,.2f} with every device held to the end, "
                              f"{price * at_work:,.2f} for the {at_work:,.1f} hours at work, "
                              f"at {price:g} an hour"))  # fmt: skip
    for one in compare(settings):
        kernel = "kernel" if one.at_once == 1 else "kernels"
        lines.append(("checked", f"the run of {one.finished}: {one.cells} cells, {one.at_once} "
                                 f"{kernel} at once, took {_time(one.took)}; simulated "
                                 f"{_time(one.simulated)} "
                                 f"({one.simulated / one.took - 1:+.0%})"))  # fmt: skip
    return lines


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 2 * 3600 else f"{seconds / 60:.1f} min"
