"""Compare what a profile's conditions let one compare (`lib.pairing`), always in the same way.

`lib.conclusion` words what is found.
"""

import json
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lib import statistics, tasks
from lib.pairing import (
    COMPARED,
    SIMILARITY,
    SYNTACTIC,
    Pair,
    family_of,
    pairs,
    sizes_of,
    varies,
)
from lib.profile import Profile
from lib.results import Cell
from lib.statistics import Interval, Line


@dataclass(frozen=True)
class Measured:
    """Hold the gains of a profile, and how they are to be compared.

    `gains` is what `statistics.gains` returns; `clean` the targets of the primary estimand;
    `languages` the table of languages; `shared` what `overlap.table` returns.
    """

    study: Profile
    gains: pd.DataFrame
    clean: list[str]
    languages: pd.DataFrame
    shared: pd.DataFrame
    subsets: dict[str, Any] = field(default_factory=dict)

    def has(self, pair: Pair) -> bool:
        """Say whether both conditions of a pair have gains."""
        return {pair.first, pair.second} <= set(self.gains["condition"])

    def differences(self, pair: Pair, measure: str = "transfer_gain") -> pd.DataFrame:
        """Return the paired differences of every cell: `statistics.difference`."""
        source = self.study.source_language
        return statistics.difference(self.gains, pair.first, pair.second, source, measure)

    def clean_for(self, pair: Pair) -> list[str]:
        """List the clean targets whose data neither condition of a pair has trained on."""
        from lib import overlap

        cells = product((pair.first, pair.second), self.clean)
        asked = pd.DataFrame(cells, columns=["condition", "target"])
        marked = overlap.mark(asked, self.study, self.shared)
        same = set(marked.loc[marked["same_data"], "target"])
        return [target for target in self.clean if target not in same]

    def line(
        self,
        differences: pd.DataFrame,
        grid: np.ndarray | None = None,
        targets: list[str] | None = None,
    ) -> tuple[pd.DataFrame, Line]:
        """Return the language means over targets (the clean ones), and the line fitted to them."""
        means = statistics.language_means(differences, self.clean if targets is None else targets)
        if means.empty:
            return means, Line(Interval(*[np.nan] * 3), pd.DataFrame())
        wide = means.pivot(index="replicate", columns="language", values="difference")
        return means, statistics.slope(wide, self.languages["distance"], grid)

    def row(
        self,
        pair: Pair,
        measure: str = "transfer_gain",
        cells: pd.Index | None = None,
        without: str = "",
    ) -> dict[str, Any]:
        """Return a pair's clean mean and its slope with distance, each with its interval.

        `cells` limits it to some (target, language), `without` leaves a target out. Shares; the
        slope is per unit of distance.
        """
        clean = [target for target in self.clean_for(pair) if target != without]
        kept = self.differences(pair, measure)
        if cells is not None:
            kept = kept[pd.MultiIndex.from_frame(kept[["target", "language"]]).isin(cells)]
        found = statistics.contrast(kept, clean, self.languages["family"])
        mean = found.set_index("target").reindex(["clean mean"]).iloc[0]
        keys = ["mean", "low", "high", "p", "languages", "replicates"]
        slope = self.line(kept, targets=clean)[1].slope
        row: dict[str, Any] = pair._asdict() | {"measure": measure}
        row |= {key: mean[key] for key in keys}
        return row | dict(zip(("slope", "slope_low", "slope_high"), slope, strict=True))

    def in_source(self, pair: Pair) -> Interval:
        """Return the difference of two conditions' gains in the source language, clean mean."""
        kept = self.gains[self.gains["language"] == self.study.source_language]
        kept = kept[kept["target"].isin(self.clean)]
        wide = kept.pivot_table("gain", ["replicate", "target"], "condition")
        difference = (wide[pair.first] - wide[pair.second]).unstack("target").dropna()
        return statistics.t_interval(difference.mean(axis=1).to_numpy())

    def without_each_target(self, pair: Pair) -> pd.DataFrame:
        """Return a pair's clean mean without one target at a time: does it hang on any?

        Columns: without, measure, mean, low, high, replicates.
        """
        targets = self.clean_for(pair)
        rows = [
            {"without": name} | self.row(pair, measure, without=name)
            for measure in ("transfer_gain", "gain")
            for name in (targets if len(targets) > 1 else [])
        ]
        columns = ["without", "measure", "mean", "low", "high", "replicates"]
        return pd.DataFrame(rows, columns=columns)

    def table(self) -> pd.DataFrame:
        """Compare every pair; the primary one by every measure and in every subset of cells.

        `subsets` names sets of (target, language); the first row is the primary result.
        """
        first, *others = [pair for pair in pairs(self.study) if self.has(pair)]
        rows = []
        for measure in ("transfer_gain", "gain", "log_odds_transfer_gain", "log_odds_gain"):
            for name, cells in {"all": None, **self.subsets}.items():
                rows.append(self.row(first, measure, cells) | {"cells": name})
        rows = [
            row | ({"question": "sensitivity"} if place else {}) for place, row in enumerate(rows)
        ]
        for pair in others:
            measures = ["transfer_gain", *(["gain"] if pair.question == "placebo" else [])]
            rows += [self.row(pair, measure) | {"cells": "all"} for measure in measures]
        return pd.DataFrame(rows)

    def of_conditions(self) -> pd.DataFrame:
        """Return every condition's gains over the zero-shot languages, means over targets.

        Over the clean targets without those whose data the condition itself has trained on, and
        over these apart (`cells`: clean, same data). Columns: condition, family, measure, cells,
        targets, mean, low, high, replicates, languages.
        """
        from lib import overlap

        marked = overlap.mark(self.gains, self.study, self.shared)
        marked = marked[marked["language"] != self.study.source_language]
        same = marked["same_data"].astype(bool)
        clean = ~same & marked["target"].isin(self.clean)
        parts = []
        for measure in ("gain", "transfer_gain"):
            for cells, chosen in (("clean", clean), ("same data", same)):
                kept = statistics.complete(marked[chosen].dropna(subset=[measure]), ["condition"])
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
                means = by_target.unstack("target").dropna().mean(axis=1)
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


def between_families(measured: Measured) -> tuple[Interval, list[str], int]:
    """Return syntactic minus semantic-similarity tasks, with tasks as what varies.

    Each task is one value: its mean transfer gain over the replicates and clean targets that all of
    these tasks have, so that what a replicate does to all cancels. Welch's interval over tasks
    (Welch 1947), for another task might have been chosen; NaN with fewer than two on a side. No
    variant of a task counts as another task. Also their names, and the number of replicates.
    """
    named = {
        name: family_of(how)
        for name, how in measured.study.conditions.items()
        if name == how.task and not varies(how, set())
    }
    named = {name: of for name, of in named.items() if of in (SYNTACTIC, SIMILARITY)}
    kept = measured.gains[measured.gains["condition"].isin(list(named))]
    kept = kept[kept["language"] != measured.study.source_language]
    shared = [set(measured.clean_for(Pair("", name, name))) for name in named]
    kept = kept[kept["target"].isin(set(measured.clean).intersection(*shared))]
    wide = kept.pivot_table("transfer_gain", "replicate", ["condition", "target"]).dropna()
    means = wide.mean().groupby("condition").mean()
    sides = [means[[name for name in means.index if named[name] == of]].to_numpy()
             for of in (SYNTACTIC, SIMILARITY)]  # fmt: skip
    names = [name for name in named if name in means.index]
    if min(map(len, sides)) < 2:
        return Interval(np.nan, np.nan, np.nan), names, len(wide)
    ends = stats.ttest_ind(*sides, equal_var=False).confidence_interval(0.95)
    return Interval(float(sides[0].mean() - sides[1].mean()), *map(float, ends)), names, len(wide)


def learnt(study: Profile) -> pd.DataFrame:
    """Return how well each condition learnt its tasks: the source's validation data, over runs.

    Columns: condition, task, metric, mean, low, high, replicates, baseline (what needs no encoder,
    the best of them) and its value. Of runs that are finished; MLM is scored by no metric.
    """
    rows = []
    for name, how in study.conditions.items():
        cells = [Cell(study.name, "intermediate", seed, name) for seed in study.seeds_of(name)]
        files = [c.folder / "scores.parquet" for c in cells if how.task and c.run_file.is_file()]
        if not files:
            continue
        table = pd.concat([pd.read_parquet(file) for file in files])
        for task, part in table[table["task"] != "mlm"].groupby("task", sort=False):
            metric = tasks.get(str(task)).reported
            part = part[part["metric"] == metric]
            after = part.loc[part["moment"] == "after", "value"].to_numpy()
            others = part[~part["moment"].isin(["before", "after"])]
            means = others.groupby("moment")["value"].mean()
            best = {"baseline": means.idxmax(), "baseline_value": means.max()} if len(means) else {}
            of = {"condition": name, "task": task, "metric": metric, "replicates": len(after)}
            rows.append(of | statistics.t_interval(after)._asdict() | best)
    columns = ["condition", "task", "metric", "mean", "low", "high", "replicates", "baseline",
               "baseline_value"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def examples_of(study: Profile) -> dict[str, int]:
    """Return how many examples each compared task trains on, from the records of its runs."""
    found = {}
    for task in COMPARED:
        seeds = study.seeds_of(task) if task in study.conditions else []
        for file in [Cell(study.name, "intermediate", seed, task).run_file for seed in seeds][:1]:
            found[task] = int(json.loads(file.read_text(encoding="utf-8"))["examples"])
    return found
