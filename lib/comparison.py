"""List what a profile's conditions let one compare, and compare it, always in the same way.

What a comparison asks follows from how its conditions are set (`lib.profile.Condition`), not from
their names. `ud_parsing` and `stsb` are the compared tasks; `lib.conclusion` words what is found.
"""

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from lib import statistics, tasks
from lib.profile import Condition, Profile
from lib.results import Cell
from lib.statistics import Interval, Line

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
        if how.task == task and how.budget and how.budget.batch_examples
    }
    if len(same) == 2 and _budget(study, same[first]) == _budget(study, same[second]):
        found.append(Pair("examples", same[first], same[second]))
    for name, how in named.items():
        if not _varies(how, {"pair"}) and how.pair == "bi" and how.task == second:
            found += [Pair("pair model", name, second), Pair("pair model", first, name)]
        if not _varies(how, {"parser"}) and how.parser == "deep_biaffine" and how.task == first:
            found += [Pair("parser", name, first), Pair("parser", name, second)]
    sizes = sizes_of(study)
    for size in sorted({*sizes[first]} & {*sizes[second]} - {0}):
        found.append(Pair("size", sizes[first][size], sizes[second][size]))
    for name, how in named.items():
        if how.task and how.task != "multitask" and not _varies(how, set()) and name == how.task:
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
        if how.task == task and how.examples and not _varies(how, {"examples"})
    ]


def _varies(how: Condition, allowed: set[str]) -> bool:
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


@dataclass(frozen=True)
class Measured:
    """Hold the gains of a profile, and how they are to be compared.

    `gains` is what `statistics.gains` returns; `clean` the targets of the primary estimand;
    `languages` the table of languages.
    """

    study: Profile
    gains: pd.DataFrame
    clean: list[str]
    languages: pd.DataFrame
    subsets: dict[str, Any] = field(default_factory=dict)

    def has(self, pair: Pair) -> bool:
        """Say whether both conditions of a pair have gains."""
        return {pair.first, pair.second} <= set(self.gains["condition"])

    def differences(self, pair: Pair, measure: str = "transfer_gain") -> pd.DataFrame:
        """Return the paired differences of every cell: `statistics.difference`."""
        source = self.study.source_language
        return statistics.difference(self.gains, pair.first, pair.second, source, measure)

    def line(
        self, differences: pd.DataFrame, grid: np.ndarray | None = None
    ) -> tuple[pd.DataFrame, Line]:
        """Return the language means over the clean targets, and the line fitted to them."""
        means = statistics.language_means(differences, self.clean)
        if means.empty:
            return means, Line(Interval(*[np.nan] * 3), pd.DataFrame())
        wide = means.pivot(index="replicate", columns="language", values="difference")
        return means, statistics.slope(wide, self.languages["distance"], grid)

    def row(
        self, pair: Pair, measure: str = "transfer_gain", cells: pd.Index | None = None
    ) -> dict[str, Any]:
        """Return a pair's clean mean and its slope with distance, each with its interval.

        `cells` limits it to some (target, language). Shares; the slope is per unit of distance.
        """
        kept = self.differences(pair, measure)
        if cells is not None:
            kept = kept[pd.MultiIndex.from_frame(kept[["target", "language"]]).isin(cells)]
        found = statistics.contrast(kept, self.clean, self.languages["family"])
        mean = found.set_index("target").reindex(["clean mean"]).iloc[0]
        keys = ["mean", "low", "high", "p", "languages", "replicates"]
        slope = self.line(kept)[1].slope
        row: dict[str, Any] = pair._asdict() | {"measure": measure}
        row |= {key: mean[key] for key in keys}
        return row | dict(zip(("slope", "slope_low", "slope_high"), slope, strict=True))

    def in_source(self, pair: Pair) -> Interval:
        """Return the difference of two conditions' gains in the source language, clean mean."""
        kept = self.gains[self.gains["language"] == self.study.source_language]
        kept = kept[kept["target"].isin(self.clean)]
        wide = kept.pivot_table("gain", ["replicate", "target"], "condition")
        difference = (wide[pair.first] - wide[pair.second]).dropna()
        return statistics.t_interval(difference.groupby("replicate").mean().to_numpy())

    def table(self) -> pd.DataFrame:
        """Compare every pair; the primary one by every measure and in every subset of cells.

        `subsets` names sets of (target, language); the first row is the primary result.
        """
        first, *others = [pair for pair in pairs(self.study) if self.has(pair)]
        rows = []
        for measure in ("transfer_gain", "gain", "log_odds_transfer_gain", "log_odds_gain"):
            for name, cells in {"all": None, **self.subsets}.items():
                rows.append(self.row(first, measure, cells) | {"cells": name})
        rows += [self.row(pair) | {"cells": "all"} for pair in others]
        table = pd.DataFrame(rows)
        table.loc[1 : len(rows) - len(others) - 1, "question"] = "sensitivity"
        return table

    def of_conditions(self, shared: pd.DataFrame) -> pd.DataFrame:
        """Return every condition's gains over the zero-shot languages, means over targets.

        Over the clean targets without those whose data the condition itself has trained on
        (`shared`: `overlap.table`), and over these apart (`cells`: clean, same data). Columns:
        condition, family, measure, cells, targets, mean, low, high, replicates, languages.
        """
        from lib import overlap

        marked = overlap.mark(self.gains, self.study, shared)
        marked = marked[marked["language"] != self.study.source_language]
        same = marked["same_data"].astype(bool)
        clean = ~same & marked["target"].isin(self.clean)
        parts = []
        for measure in ("gain", "transfer_gain"):
            for cells, chosen in (("clean", clean), ("same data", same)):
                kept = marked[chosen].dropna(subset=[measure])
                means = kept.groupby(["condition", "target", "replicate"])[measure].mean()
                columns = means.reset_index().assign(language="")
                found = statistics.over_replicates(columns, ["condition"], measure)
                of = kept.groupby("condition")
                found["languages"] = found["condition"].map(of["language"].nunique())
                found["targets"] = found["condition"].map(
                    of["target"].agg(lambda names: ", ".join(dict.fromkeys(names)))
                )
                parts.append(found.assign(measure=measure, cells=cells))
        table = pd.concat(parts, ignore_index=True)
        named = {name: family_of(how) for name, how in self.study.conditions.items()}
        table.insert(1, "family", table["condition"].map(named))
        order = table["condition"].map(list(named).index)
        table = table.iloc[np.argsort(order, kind="stable")]
        return table[table["condition"] != "random"].reset_index(drop=True)

    def by_size(self, examples: dict[str, int]) -> pd.DataFrame:
        """Return transfer gains by the number of intermediate examples, and their difference.

        `examples`: how many each compared task has in all. Clean mean over the zero-shot languages;
        only replicates that have every size of both tasks. Columns: of, examples, replicate, value.
        """
        sizes = sizes_of(self.study)
        rows = []
        for task, conditions in sizes.items():
            for size, name in sorted(conditions.items()):
                kept = self.gains[self.gains["condition"] == name]
                kept = kept[kept["language"] != self.study.source_language]
                kept = kept[kept["target"].isin(self.clean)]
                by_target = kept.groupby(["replicate", "target"])["transfer_gain"].mean()
                means = by_target.groupby("replicate").mean()
                of = {"of": task, "examples": size or examples[task]}
                rows += [of | {"replicate": key, "value": value} for key, value in means.items()]
        table = pd.DataFrame(rows, columns=["of", "examples", "replicate", "value"])
        wide = table.pivot_table("value", "replicate", ["of", "examples"]).dropna()
        table = table[table["replicate"].isin(wide.index)].copy()
        both = table.pivot_table("value", ["examples", "replicate"], "of").dropna().reset_index()
        if {*COMPARED} <= set(both.columns):
            both["value"] = both[COMPARED[0]] - both[COMPARED[1]]
            both["of"] = "difference"
            table = pd.concat([table, both[table.columns]], ignore_index=True)
        return table


def per_doubling(by_size: pd.DataFrame, of: str) -> Interval:
    """Return what a doubling of the examples adds: the slope on log2, its interval over replicates.

    `by_size` is what `Measured.by_size` returns; NaN where there are fewer than two sizes.
    """
    kept = by_size[by_size["of"] == of]
    if kept["examples"].nunique() < 2:
        return Interval(np.nan, np.nan, np.nan)
    slopes = [
        np.polyfit(np.log2(group["examples"].astype(float)), group["value"], 1)[0]
        for _, group in kept.groupby("replicate")
    ]
    return statistics.t_interval(slopes)


def between_families(of_conditions: pd.DataFrame, study: Profile) -> tuple[Interval, list[str]]:
    """Return syntactic minus semantic-similarity tasks, with tasks as what varies, and their names.

    Each task is one value, its mean transfer gain; Welch's interval over tasks (Welch 1947), for
    another task might have been chosen. NaN with fewer than two tasks on a side. The plain
    conditions only: no variant of a task counts as another task.
    """
    rows = of_conditions[
        (of_conditions["measure"] == "transfer_gain") & (of_conditions["cells"] == "clean")
    ]
    plain = [
        name
        for name, how in study.conditions.items()
        if name == how.task and not _varies(how, set())
    ]
    rows = rows[rows["condition"].isin(plain)]
    sides = [rows[rows["family"] == family] for family in (SYNTACTIC, SIMILARITY)]
    names = [name for side in sides for name in side["condition"]]
    if min(map(len, sides)) < 2:
        return Interval(np.nan, np.nan, np.nan), names
    values = [side["mean"].to_numpy(dtype=float) for side in sides]
    ends = stats.ttest_ind(*values, equal_var=False).confidence_interval(0.95)
    return Interval(float(values[0].mean() - values[1].mean()), *map(float, ends)), names


def examples_of(study: Profile) -> dict[str, int]:
    """Return how many examples each compared task trains on, from the records of its runs."""
    found = {}
    for task in COMPARED:
        seeds = study.seeds_of(task) if task in study.conditions else []
        for file in [Cell(study.name, "intermediate", seed, task).run_file for seed in seeds][:1]:
            found[task] = int(json.loads(file.read_text(encoding="utf-8"))["examples"])
    return found
