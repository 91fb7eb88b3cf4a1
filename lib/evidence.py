"""Estimate gains that a claim is about, and judge a claim by the interval of its estimate.

Estimates are in points. Their intervals are Student's t over replicates (`lib.statistics`); scores
are averaged as XTREME does, over languages (English included), then over targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib import profile, scoring, statistics, tasks
from lib.profile import Condition, Profile
from lib.transfer import DEVELOPMENT

SUPPORTED, CONTRADICTED = "supported", "contradicted"
UNDECIDED, UNTESTED = "not distinguishable", "not tested here"
# In another setting than the claim's, where only a sign can be looked for.
SAME_SIGN, OTHER_SIGN = "direction supported", "direction contradicted"
# The smallest gain, in points, that would count as one: "no gain" is supported where all of an
# interval lies under it.
SMALLEST_GAIN = 1.0
# The profile in the setting of Phang et al. 2020: encoder, nine tasks, their budget.
REFERENCE = "xtreme_large"


class Estimate(NamedTuple):
    """A mean with its interval, in points, and how many replicates and targets it is over."""

    mean: float
    low: float
    high: float
    replicates: int
    targets: int


class Count(NamedTuple):
    """How many conditions' intervals lie over zero, and under it, of how many."""

    above: int
    below: int
    all: int


@dataclass(frozen=True, eq=False)
class Study:
    """Hold a profile and its tidy table of scores, as `lib.results.collect` returns it."""

    settings: Profile
    table: pd.DataFrame

    @cached_property
    def gains(self) -> pd.DataFrame:
        """Return gains over `none`: `lib.statistics.gains`."""
        return statistics.gains(self.table, self.settings.source_language)

    @cached_property
    def reported(self) -> pd.DataFrame:
        """Return the scores in each target's reported metric."""
        return self.table[self.table["reported"].astype(bool)]

    @cached_property
    def conditions(self) -> list[str]:
        """List the conditions that have gains."""
        return list(dict.fromkeys(self.gains["condition"]))

    @cached_property
    def run(self) -> Profile:
        """Return the profile with those of its conditions alone that have gains."""
        own = self.settings.conditions
        present = {name: own[name] for name in own if name in self.conditions}
        return self.settings.model_copy(update={"conditions": present})

    @cached_property
    def is_reference(self) -> bool:
        """Say whether sizes can be compared: XLM-R large and all nine tasks of XTREME, real."""
        settings = self.settings
        large = settings.encoder.path.endswith("xlm-roberta-large")
        return settings.world is None and large and set(scoring.XTREME) <= set(settings.targets)

    @cached_property
    def setting(self) -> str:
        """Say what stands between this profile and the setting of the claims."""
        if self.is_reference:
            return (
                "on test sets, where the claim's are development sets; layer of retrieval and "
                "windows of questions are ours"
            )
        if self.settings.world is not None:
            return "artificial languages, an encoder of our own: the direction only"
        encoder = self.settings.encoder.path or "an encoder of our own"
        return f"{encoder}, {len(self.settings.targets)} targets: the direction only"


@lru_cache
def nine() -> tuple[str, ...]:
    """Name the intermediate tasks of Phang et al. 2020, as the reference profile mixes them."""
    return tuple(profile.load(REFERENCE, whole=True).conditions["multitask"].tasks)


def _is_plain(how: Condition) -> bool:
    """Say whether a condition trains on English labels alone, all of them, pairs read together."""
    own = {"task", "tasks", "cap", "temperature", "seeds", "budget", "pooling"}
    return bool(how.task) and how.model_dump(exclude=own) == Condition().model_dump(exclude=own)


def alone(settings: Profile, *names: str) -> list[str]:
    """Return the one condition that trains the first of these tasks alone, or nothing.

    A budget of its own goes before the matched one: it is that of Phang et al.'s code.
    """
    for task in names:
        found = [
            name for name, how in settings.conditions.items() if how.task == task and _is_plain(how)
        ]
        if found:
            return sorted(found, key=lambda name: settings.conditions[name].budget is None)[:1]
    return []


def several(settings: Profile) -> list[str]:
    """Return the one condition that trains the most tasks at once, or nothing."""
    found = {
        name: len(how.tasks)
        for name, how in settings.conditions.items()
        if how.task == "multitask" and _is_plain(how)
    }
    return [max(found, key=lambda name: found[name])] if found else []


def to_choose_from(settings: Profile) -> list[str]:
    """Return what the best of the nine is chosen from, or nothing where there is no choice.

    Each of the nine that the profile trains alone, and several at once where all are of the nine.
    """
    own = settings.conditions
    of_nine = {name: how for name, how in own.items() if set(how.tasks) <= {*nine()}}
    pure = settings.model_copy(update={"conditions": of_nine})
    found = [*each_alone(pure), *several(pure)]
    return found if len(found) > 1 else []


def each_alone(settings: Profile) -> list[str]:
    """Return a condition for each of the nine tasks that the profile trains alone."""
    return [name for task in nine() for name in alone(settings, task)]


def with_masking(settings: Profile) -> list[str]:
    """Return pairs, flattened: a condition, and the same with MLM on all languages beside it."""
    pairs: list[str] = []
    for name, how in settings.conditions.items():
        without = how.model_copy(update={"joint_mlm": 0.0})
        if how.joint_mlm and _is_plain(without):
            same = [
                other
                for other, its in settings.conditions.items()
                if _is_plain(its)
                and its.trained == how.trained
                and settings.budget_of(other) == settings.budget_of(name)
            ]
            pairs += [same[0], name] if same else []
    return pairs


def translated(settings: Profile) -> list[str]:
    """Return a pair: a task alone in English, and the same translated into every language."""
    for name, how in settings.conditions.items():
        plain = how.model_copy(update={"translated": []})
        if "all" in how.translated and _is_plain(plain):
            same = [
                other
                for other, its in settings.conditions.items()
                if _is_plain(its)
                and its.task == how.task
                and settings.budget_of(other) == settings.budget_of(name)
            ]
            if same:
                return [same[0], name]
    return []


def mean_gain(
    study: Study, conditions: Sequence[str], targets: Sequence[str] | None = None
) -> Estimate:
    """Estimate the mean gain over conditions and targets (none named: all that have gains).

    Replicates that lack a condition or a target are left out.
    """
    gains = study.gains[study.gains["condition"].isin(list(conditions))]
    if targets is not None:
        gains = gains[gains["target"].isin(list(targets))]
    return _over(gains, "gain", ["condition", "target"])


def difference(study: Study, pairs: Sequence[str]) -> Estimate:
    """Estimate the first minus the second of each pair (flattened), over all pairs and targets."""
    parts = []
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        # No language is left out: English is part of XTREME's mean.
        part = statistics.difference(study.gains, first, second, "", "gain")
        parts.append(part.assign(condition=first))
    return _over(pd.concat(parts), "difference", ["condition", "target"])


def retrieval_over_others(study: Study, conditions: Sequence[str]) -> Estimate:
    """Estimate the mean gain in retrieval targets minus that in the others."""
    gains = study.gains[study.gains["condition"].isin(list(conditions))]
    kinds = gains["target"].map(lambda name: tasks.get(name).kind == "retrieval")
    by_target = gains.groupby([gains["replicate"], kinds.rename("retrieval"), "target"])["gain"]
    wide = by_target.mean().groupby(["replicate", "retrieval"]).mean().unstack("retrieval")
    if set(wide.columns) != {False, True}:
        return _estimate(np.array([]), 0)
    return _estimate((wide[True] - wide[False]).dropna().to_numpy(), gains["target"].nunique())


def counted(study: Study, conditions: Sequence[str], targets: Sequence[str]) -> Count:
    """Count the conditions whose mean gain over targets lies over zero, and under it."""
    each = [mean_gain(study, [name], targets) for name in conditions]
    return Count(sum(e.low > 0 for e in each), sum(e.high < 0 for e in each), len(each))


def sharing_no_training(study: Study, conditions: Sequence[str], target: str) -> list[str]:
    """Leave out the conditions that train on a target's own training set."""
    own = set(study.settings.targets[target].train or tasks.get(target).train)
    trained = {name: study.settings.conditions[name].trained for name in conditions}
    return [
        name
        for name, names in trained.items()
        if not any(own & set(tasks.get(task).train) for task in names)
    ]


def developed(study: Study) -> pd.DataFrame:
    """Return the scores on development data in English, in each target's reported metric.

    Retrieval targets have none, and TyDiQA's are what is evaluated.
    """
    table = study.table
    wanted = table["target"].map(lambda name: tasks.get(name).reported)
    of_source = table["language"] == study.settings.source_language
    return table[(table["split"] == DEVELOPMENT) & of_source & (table["metric"] == wanted)]


def best_per_target(study: Study, conditions: Sequence[str]) -> tuple[Estimate, dict[str, str]]:
    """Estimate the mean gain where each target takes the condition that is best for it in English.

    Best by the gain on the target's English development split, mean over seeds; a target without
    one of its own (`developed`) takes the condition that is best on average over the others. No
    target language and no test set chooses. The gain is over the zero-shot languages alone, for
    English has chosen (and of XQuAD the English evaluation data are part of the development data).
    Returns the estimate, and which condition each target took.
    """
    rows, source = developed(study), study.settings.source_language
    run = ["target", "seed", "encoder_seed"]
    start = rows.loc[rows["condition"] == "none", [*run, "value"]]
    paired = rows[rows["condition"].isin(list(conditions))].merge(
        start, on=run, suffixes=("", "_none")
    )
    paired["gain"] = paired["value"] - paired["value_none"]
    wide = paired.pivot_table("gain", "condition", "target").dropna()
    if wide.empty:
        return _estimate(np.array([]), 0), {}
    chosen: dict[str, str] = {}
    for target in dict.fromkeys(study.gains["target"]):
        by_condition = wide[target] if target in wide else wide.mean(axis=1)
        chosen[target] = str(by_condition.idxmax())
    gains = study.gains[study.gains["language"] != source]
    taken = gains["condition"] == gains["target"].map(chosen)
    return _over(gains[taken], "gain", ["target"]), chosen


def _over(frame: pd.DataFrame, value: str, columns: list[str]) -> Estimate:
    """Average over languages, then `columns`, within each replicate; interval over replicates."""
    if frame.empty:
        return _estimate(np.array([]), 0)
    by_language = frame.groupby(["replicate", *columns, "language"])[value].mean()
    wide = by_language.groupby(["replicate", *columns]).mean().unstack(columns).dropna()
    return _estimate(wide.mean(axis=1).to_numpy(), frame["target"].nunique())


def _estimate(values: np.ndarray, targets: int) -> Estimate:
    """Return the mean of one value a replicate, and its interval, in points."""
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan, 0, targets)
    mean, low, high = statistics.t_interval(values)
    return Estimate(100 * mean, 100 * low, 100 * high, len(values), targets)


def judge_direction(estimate: Estimate) -> str:
    """Judge the claim that something is over zero."""
    return statistics.verdict(
        statistics.Interval(*estimate[:3]), SUPPORTED, CONTRADICTED, UNDECIDED, UNDECIDED
    )


def judge_size(estimate: Estimate, claimed: float, comparable: bool) -> str:
    """Judge the claim of a gain of so many points; its direction, and saying so, where that is all.

    Comparable, it is supported where the interval lies over zero and holds the claimed size, and
    contradicted where it lies under zero, or over it without the claimed size.
    """
    direction = judge_direction(estimate)
    if not comparable:
        return elsewhere(direction)
    if direction != SUPPORTED:
        return direction
    return SUPPORTED if estimate.low <= claimed <= estimate.high else CONTRADICTED


def elsewhere(verdict: str) -> str:
    """Return what a verdict comes to in another setting than the claim's: a direction."""
    return {SUPPORTED: SAME_SIGN, CONTRADICTED: OTHER_SIGN}.get(verdict, verdict)


def judge_no_gain(estimate: Estimate) -> str:
    """Judge the claim that there is no gain: supported where all of the interval is too small.

    Too small is under `SMALLEST_GAIN`. That an interval holds zero supports nothing by itself.
    """
    if np.isnan(estimate.low):
        return UNDECIDED
    if estimate.low > 0:
        return CONTRADICTED
    return SUPPORTED if estimate.high < SMALLEST_GAIN else UNDECIDED


def judge_many(count: Count, most: bool) -> str:
    """Judge the claim that many conditions gain (half of them), or almost every (all but one).

    With `most`, one of four or more may do without; else half of them may, but none lie under
    zero. Contradicted where more lie under zero than may do without. One condition cannot say
    anything of many.
    """
    if count.all < 2:
        return UNDECIDED
    spared = int(count.all >= 4) if most else count.all // 2
    if count.below > spared:
        return CONTRADICTED
    enough = count.above >= count.all - spared and (most or not count.below)
    return SUPPORTED if enough else UNDECIDED
