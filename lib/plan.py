"""Say what a profile's grid would do and cost, before anything is downloaded or trained.

`python -m lib.plan xtreme_large` is what `make plan` calls. Hours are operations (`lib.costs`) over
a sustained throughput, which is assumed: what a card reaches depends on card, batch and length.
"""

import argparse
import contextlib
import io
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import get_args

from lib import costs, inventory, paths, profile, results, schedule, sizes, tasks, workflow
from lib.costs import Load
from lib.errors import InputError
from lib.profile import Profile
from lib.results import Cell
from lib.sizes import Shape, Size

SUSTAINED = 25.0  # TFLOP/s: a third of the bf16 peak of an RTX 3090, a twelfth of an A100's
CHARACTERS_PER_TOKEN = 4  # XLM-R's, of English text
UNKNOWN = Shape(0, 0, 0, 0, 0)
SMALL = 10_000_000  # parameters in layers; below, starting kernels and loading data take longer
WIDTH = 98


@dataclass
class Plan:
    """Hold the loads of a profile's grid, one run each, by condition and by target."""

    settings: Profile
    shape: Shape | None
    skipped: list[str] = field(default_factory=list)
    pretraining: Load = field(default_factory=Load)
    conditions: dict[str, Load] = field(default_factory=dict)
    training: dict[str, Load] = field(default_factory=dict)
    evaluation: dict[str, Load] = field(default_factory=dict)

    @property
    def targets(self) -> dict[str, Load]:
        """Return what one run of each target trains and evaluates."""
        return {name: load + self.evaluation[name] for name, load in self.training.items()}

    def total(self) -> Load:
        """Return the load of the whole grid."""
        settings = self.settings
        phases = [self.pretraining.times(len(set(settings.seeds.values())))]
        phases += [
            load.times(len(settings.seeds_of(name))) for name, load in self.conditions.items()
        ]
        phases += [load.times(len(settings.runs)) for load in self.targets.values()]
        return reduce(add, phases, Load())


def make(name: str) -> Plan:
    """Load a profile and plan its grid; raises InputError as `profile.load` does."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        settings = profile.load(name)
    shape = sizes.shape_of(settings)
    plan = Plan(settings, shape, said.getvalue().splitlines())
    known = shape or UNKNOWN
    plan.pretraining = costs.of_pretraining(settings, known)
    for condition, how in settings.conditions.items():
        if how.task:
            plan.conditions[condition] = costs.of_condition(settings, condition, known)
    for target in settings.targets:
        plan.training[target], plan.evaluation[target] = costs.of_target(settings, target, known)
    return plan


def scheduled(plan: Plan, sustained: float, devices: int, price: float) -> list[str]:
    """Say in lines how long the grid takes on so many devices, and what they cost.

    Of a grid that stands whole the seconds are measured, else operations over the throughput.
    Raises InputError where neither is known.
    """
    cells = workflow.cells(plan.settings)
    seconds, source = schedule.measured(plan.settings), "seconds of the cells as measured here"
    if len(seconds) < len(cells):
        if not _timed(plan):
            raise InputError(
                f"GPUS: profile {plan.settings.name!r} cannot be scheduled: its encoder is too "
                "small, or unknown, to tell seconds from operations, and not every cell was run"
            )
        seconds = {
            cell: _load(plan, cell).work
            / (sustained * 1e12 * min(devices, schedule.devices_of(plan.settings, cell.phase)))
            for cell in cells
        }
        more = schedule.START + schedule.BETWEEN
        source = f"operations at the throughput above, {more:g} s more a kernel"
    told = schedule.describe(plan.settings, seconds, devices, price, source)
    return [part for label, text in told for part in _wrap(label, text)]


def _load(plan: Plan, cell: Cell) -> Load:
    if cell.phase == "pretrain":
        return plan.pretraining
    return plan.conditions[cell.condition] if not cell.target else plan.targets[cell.target]


def describe(plan: Plan, sustained: float) -> list[str]:
    """Say in aligned lines what a plan holds; `sustained` is the assumed throughput in TFLOP/s."""
    notes = {
        "skipped": [line.partition(" skips ")[2] for line in plan.skipped],
        "missing": missing(plan.settings),
        "done": done(plan.settings),
    }
    return [
        *_head(plan, sustained),
        *_phases(plan, sustained),
        *_disk(plan),
        *(part for label, lines in notes.items() for line in lines for part in _wrap(label, line)),
    ]


def _head(plan: Plan, sustained: float) -> list[str]:
    settings, shape = plan.settings, plan.shape
    size = "of unknown size: its hours and disk cannot be told"
    if shape:
        size = (f"{shape.layers} layers × {shape.width}, {shape.parameters / 1e6:,.1f} M parameters"
                f" ({shape.layer_parameters / 1e6:,.1f} M in layers)")  # fmt: skip
    lines = [
        f"{settings.name}: {settings.summary}",
        *_wrap("encoder", f"{settings.encoder.path or 'its own'}: {size}"),
        *_wrap("grid", f"{len(settings.conditions)} conditions × {len(settings.targets)} targets × "
                       f"{len(settings.seeds)} seeds; {len(settings.languages)} languages"),
    ]  # fmt: skip
    if _timed(plan):
        hours = _hours(plan.total(), sustained)
        rate = f"{sustained:g} TFLOP/s sustained, which is assumed (TERAFLOPS)"
        return [*lines, *_wrap("time", f"{hours} GPU hours at {rate}")]
    if shape:
        lines += _wrap("time", "not told: with an encoder so small, what is around it takes longer")
    return lines


def _timed(plan: Plan) -> bool:
    return plan.shape is not None and plan.shape.layer_parameters >= SMALL


def _phases(plan: Plan, sustained: float) -> list[str]:
    """Lay out a row per condition or group of them, and per target."""
    settings = plan.settings
    groups = _groups(settings)
    label = max(20, *map(len, (*settings.conditions, *groups)))
    heading = f"{'runs':>5} {'updates':>8} {'examples':>10} {'M tokens':>9} {'evaluated':>10}"
    heading += f" {'GPU hours':>10}" if _timed(plan) else ""

    def row(name: str, runs: list[int], loads: list[Load]) -> str:
        numbers = _numbers(sum(runs), loads)
        total = (load.times(number) for load, number in zip(loads, runs, strict=True))
        hours = _hours(reduce(add, total), sustained)
        return f"  {name:{label}} {numbers}" + (f" {hours:>10}" if _timed(plan) else "")

    lines = ["", f"{'a run reads':{label + 2}} {heading}"]
    if plan.pretraining.tokens:
        encoders = len(set(settings.seeds.values()))
        lines += ["phase 1", row("pretrain", [encoders], [plan.pretraining])]
    lines.append("phase 2")
    for name, members in groups.items():
        runs = [len(settings.seeds_of(each)) for each in members]
        lines.append(row(name, runs, [plan.conditions[each] for each in members]))
    runs = [len(settings.runs)]
    lines += ["phase 3", *(row(name, runs, [load]) for name, load in plan.targets.items()), ""]
    several = {name: members for name, members in groups.items() if len(members) > 1}
    return lines + [
        part for name in several for part in _wrap(name.split(",")[0], ", ".join(several[name]))
    ]


def _groups(settings: Profile) -> dict[str, list[str]]:
    """Put together the conditions on the matched budget, and those with MLM on one of their own."""
    matched, joint, own = [], [], {}
    for name, how in settings.conditions.items():
        if how.task and how.budget is None:
            matched.append(name)
        elif how.task and how.joint_mlm:
            joint.append(name)
        elif how.task:
            own[name] = [name]
    found = {f"matched, {len(matched)} of them": matched, **own}
    found[f"joint, {len(joint)} of them"] = joint
    return {name: members for name, members in found.items() if members}


def _numbers(runs: int, loads: list[Load]) -> str:
    """Lay out what one run of each reads; tokens are the mean where they differ."""

    def one(values: list[float], width: int) -> str:
        same = len({round(value) for value in values}) == 1
        return f"{values[0]:>{width},.0f}" if same else f"{'varies':>{width}}"

    updates, examples = [load.updates for load in loads], [load.examples for load in loads]
    tokens, evaluated = (
        sum(values) / len(loads) / 1e6
        for values in ([load.tokens for load in loads], [load.evaluated for load in loads])
    )
    return f"{runs:>5,} {one(updates, 8)} {one(examples, 10)} {tokens:>9.2f} {evaluated:>10.2f}"


def _wrap(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"{label:10}", subsequent_indent=10 * " ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _hours(load: Load, sustained: float) -> str:
    hours = load.work / (sustained * 1e12) / 3600
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2f}" if hours >= 0.005 else "< 0.01"


def _disk(plan: Plan) -> list[str]:
    """Say what the store keeps: an encoder in single precision per run of phase 2, and phase 1."""
    settings, shape = plan.settings, plan.shape
    if shape is None:
        return []
    kept = sum(len(settings.seeds_of(name)) for name in plan.conditions)
    kept += len(set(settings.seeds.values())) if settings.pretraining.tokens else 0
    lines = [f"{kept} encoders of {_bytes(4 * shape.parameters)}, "
             f"{_bytes(kept * 4 * shape.parameters)} in all"]  # fmt: skip
    text = sum(characters(settings, split) for split in inventory.of(settings))
    lines += [f"data: about {_bytes(text)} of text"] if text else []
    if "bucc" in settings.targets:
        codes = inventory.evaluated(settings, "bucc")
        most = max(sizes.of_evaluation(settings, "bucc", code).examples for code in codes)
        vectors = _bytes(2 * most * (shape.layers + 1) * shape.width)
        lines.append(f"while bucc runs {vectors} more, for the vectors of every layer")
    return _wrap("disk", "; ".join(lines))


def characters(settings: Profile, split: inventory.Split) -> float:
    """Return about how many characters a split has; 0 for data whose size no table holds."""
    task = tasks.get(split.task)
    if split.role == "evaluation":
        size = sizes.of_evaluation(settings, split.task, split.language)
    elif split.role == "development":
        size = sizes.of_development(settings, split.task)
    elif split.role == "training" and split.source in _substitutes(settings, split.task):
        size = sizes.of_source(settings, split.source)
    elif split.role in ("training", "translation"):
        size = sizes.of_training(settings, split.task)
        if not split.language:  # one of several sources
            size = Size(size.examples // len(task.train), size.tokens)
    else:
        return 0.0
    return size.examples * size.tokens * CHARACTERS_PER_TOKEN


def _substitutes(settings: Profile, name: str) -> list[tasks.Source]:
    """List the sources that a profile trains a target on instead of the task's own."""
    names = settings.targets[name].train if name in settings.targets else []
    return [tasks.training(each) for each in names if each not in tasks.get(name).train]


def _bytes(number: float) -> str:
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 1000 or unit == "GB":
            break
    return f"{number:.1f} {unit}" if number < 10 else f"{number:,.0f} {unit}"


def missing(settings: Profile) -> list[str]:
    """Say in a line each what a run would not find, as far as can be told without a network."""
    if settings.world is not None:
        return []
    root = profile.data_root(settings)
    absent = [
        split
        for split in inventory.of(settings)
        if (not split.stands_in(root) if root else not split.on_hub)
    ]
    where = f"in {root}" if root else "on the hub"
    lines = []
    for role in get_args(inventory.Role):
        of_role = [split for split in absent if split.role == role]
        for dataset in dict.fromkeys(split.source.dataset for split in of_role):
            found = [split for split in of_role if split.source.dataset == dataset]
            configs = [split.source.config for split in found]
            lines.append(f"{role}: {dataset} ({_few(configs)}) is not {where}"
                         f"{_consequence(settings, role, dataset)}")  # fmt: skip
    return lines


def _consequence(settings: Profile, role: str, dataset: str) -> str:
    if role == "text":
        names = _few(inventory.reads_text(settings))
        return f": {names} need it; lib.multilingual_text builds it"
    if dataset == inventory.BITEXT:
        return ": the threshold is cross-fitted"
    return ": make figures refuses to start" if role == "training" else ""


def _few(names: Iterable[str], shown: int = 4) -> str:
    names = list(names)
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def done(settings: Profile) -> list[str]:
    """Say how much of the grid stands in the result store, and what was made otherwise."""
    if not paths.results(settings.name).is_dir():
        return []
    grid, stands, other = workflow.cells(settings), 0, []
    for cell, wanted in grid.items():
        try:
            stands += results.read(cell, wanted) is not None
        except InputError as error:
            other.append(str(error))
    lines = [f"{stands} of {len(grid)} cells"]
    return lines + ([f"{len(other)} made otherwise stand in the way: {other[0]}"] if other else [])


def main(arguments: list[str] | None = None) -> int:
    """Read the command line; an InputError is one line on standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", help="name of a profile, or path of a YAML file")
    parser.add_argument(
        "--teraflops", type=float, default=SUSTAINED,
        help=f"sustained throughput in TFLOP/s; default, assumed and not measured: {SUSTAINED:g}",
    )  # fmt: skip
    parser.add_argument("--devices", type=int, default=0, help="simulate the grid on so many GPUs")
    parser.add_argument("--price", type=float, default=0.0, help="of a GPU hour, for --devices")
    wanted = parser.parse_args(arguments)
    try:
        if wanted.teraflops <= 0:
            raise InputError(f"--teraflops: {wanted.teraflops:g}, expected more than 0")
        if wanted.devices < 0 or wanted.price < 0:
            raise InputError(f"GPUS {wanted.devices}, PRICE {wanted.price:g}: expected 0 or more")
        made = make(wanted.profile)
        print("\n".join(describe(made, wanted.teraflops)))
        if wanted.devices:
            print("\n".join(scheduled(made, wanted.teraflops, wanted.devices, wanted.price)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
