"""List what a profile's conditions let one compare: it follows from how they are set, not named.

`ud_parsing` and `stsb` are the compared tasks; `lib.comparison` compares.
"""

from typing import Any, NamedTuple

from lib import tasks
from lib.profile import Condition, Profile

COMPARED = ("ud_parsing", "stsb")
SYNTACTIC, SIMILARITY = "syntactic", "semantic similarity"


class Pair(NamedTuple):
    """Two conditions to compare, and what their difference tells."""

    question: str
    first: str
    second: str


def pairs(study: Profile) -> list[Pair]:
    """List the comparisons that a profile's conditions allow, the primary one first.

    placebo: a compared task minus the same text or sentences without its labels. examples: both
    tasks on as many examples instead of as many tokens. pair model, parser: another model of the
    same task. size: both tasks on fewer examples. task: another task of the same family as one of
    the compared, minus the other compared one.
    """
    first, second = COMPARED
    found = [Pair("primary", first, second)]
    for task in COMPARED:
        found += [Pair("placebo", task, name) for name in placebos(study, task)]
    named = {name: how for name, how in study.conditions.items() if name not in COMPARED}
    same = {
        task: name
        for name, how in named.items()
        for task in COMPARED
        if how.task == task
        and how.budget
        and how.budget.batch_examples
        and not varies(how, {"budget"})
    }
    if len(same) == 2 and _budget(study, same[first]) == _budget(study, same[second]):
        found.append(Pair("examples", same[first], same[second]))
    for name, how in named.items():
        if not varies(how, {"pair"}) and how.pair == "bi" and how.task == second:
            found += [Pair("pair model", name, second), Pair("pair model", first, name)]
        if not varies(how, {"parser"}) and how.parser == "deep_biaffine" and how.task == first:
            found += [Pair("parser", name, first), Pair("parser", name, second)]
    sizes = sizes_of(study)
    for size in sorted({*sizes[first]} & {*sizes[second]} - {0}):
        found.append(Pair("size", sizes[first][size], sizes[second][size]))
    for name, how in named.items():
        if how.task and how.task != "multitask" and not varies(how, set()) and name == how.task:
            family = tasks.get(name).family if how.task != "mlm" else ""
            found += [Pair("task", name, second)] * (family == SYNTACTIC)
            found += [Pair("task", first, name)] * (family == SIMILARITY)
    return found


def placebos(study: Profile, task: str) -> list[str]:
    """Name a task's placebos: its own trees permuted, MLM on its text.

    Where no condition reads the text of `stsb`, that of `ud_parsing` stands in: in an artificial
    language both are over the same sentences.
    """
    named = study.conditions.items()
    shuffled = [name for name, how in named if how.shuffled and how.task == task]
    text = [name for name, how in named if how.text_of == task]
    if not text and study.world is not None:
        text = [name for name, how in named if how.text_of in COMPARED]
    return [*shuffled, *text]


def sizes_of(study: Profile) -> dict[str, dict[int, str]]:
    """Return, by compared task, its conditions by their number of examples (0: all)."""
    return {
        task: {task_size: name for task_size, name in _sizes(study, task)} | {0: task}
        for task in COMPARED
    }


def _sizes(study: Profile, task: str) -> list[tuple[int, str]]:
    return [
        (how.examples, name)
        for name, how in study.conditions.items()
        if how.task == task and how.examples and not varies(how, {"examples"})
    ]


def varies(how: Condition, allowed: set[str]) -> bool:
    """Say whether a condition is set otherwise than its task alone, but for the allowed keys."""
    usual = Condition(task=how.task)
    keys = set(Condition.model_fields) - {"task", "seeds"} - allowed
    return any(getattr(how, key) != getattr(usual, key) for key in keys)


def _budget(study: Profile, condition: str) -> dict[str, Any]:
    return study.budget_of(condition).model_dump()


def family_of(how: Condition) -> str:
    """Name the family of what a condition trains, placebos, mixtures and MLM beside it apart."""
    if how.random_encoder or not how.task:
        return "none"
    if how.shuffled or how.task == "mlm":
        return "placebo"
    return "several tasks" if how.task == "multitask" else tasks.get(how.task).family
