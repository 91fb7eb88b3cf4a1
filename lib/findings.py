"""Find what bears on each claim of `lib.claims`: in the task table, published facts, and scores."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lib import evidence, paths, profile, published, scoring, tasks
from lib.evidence import CONTRADICTED, REFERENCE, SUPPORTED, UNDECIDED, Estimate, Study
from lib.statistics import Interval
from lib.wording import spelt

RETRIEVAL = ("bucc", "tatoeba")


class Finding(NamedTuple):
    """What was found for or against a claim: a number, its interval, a verdict, and a note."""

    value: float
    low: float
    high: float
    n: int
    unit: str
    verdict: str
    note: str


def _checked(found: float, right: bool, note: str, unit: str = "count") -> Finding:
    verdict = SUPPORTED if right else CONTRADICTED
    return Finding(found, np.nan, np.nan, 0, unit, verdict, note)


def _estimated(estimate: Estimate, verdict: str, note: str) -> Finding:
    alone = "; one run, no interval" if estimate.replicates == 1 else ""
    ends = estimate.mean, estimate.low, estimate.high
    return Finding(*ends, estimate.replicates, "points", verdict, note + alone)


def encoder() -> Finding:
    """Check the encoder: of the replicating profile, and that the abstract compares with it."""
    path = profile.load(REFERENCE, whole=True).encoder.path
    seen = published.fact("phang2020_abstract", version="v2", item="gain, best task per target")
    note = f"profile {REFERENCE} starts from {path}; the abstract's gain of {seen} is over it too"
    return _checked(np.nan, path.endswith("xlm-roberta-large"), note, "")


def nine_targets() -> Finding:
    """Check the number of targets: in XTREME, the task table and the replicating profile."""
    run = [name for name in profile.load(REFERENCE, whole=True).targets if name in tasks.targets()]
    listed = set(published.read("target_tasks")["task"])
    right = len(run) == 9 and set(run) == set(scoring.XTREME) == listed
    return _checked(len(run), right, f"targets of {REFERENCE}: {', '.join(run)}")


def forty_languages() -> Finding:
    """Check the largest number of languages of a target, against XTREME's own code."""
    counts = {name: len(tasks.get(name).languages) for name in scoring.XTREME}
    listed = published.read("target_tasks").set_index("task")["languages_in_code"].astype(int)
    most = max(counts.values())
    each = ", ".join(f"{name} {count}" for name, count in counts.items())
    return _checked(most, most == 40 == listed.max(), f"languages by task: {each}")


def no_training_data() -> Finding:
    """Check that the retrieval targets are the two, and have no training set."""
    mined = [name for name in tasks.targets() if tasks.get(name).kind == "retrieval"]
    listed = published.read("target_tasks").set_index("task")["train"]
    right = set(mined) == set(RETRIEVAL) and not any(tasks.get(name).train for name in mined)
    right = right and set(listed.index[listed == ""]) == set(mined)
    note = f"{', '.join(mined)}: no training set in the task table, nor in XTREME's list of tasks"
    return _checked(len(mined), right, note)


def nine_intermediate() -> Finding:
    """Check the number of intermediate tasks, and their kinds."""
    kinds: dict[str, list[str]] = {}
    for name in evidence.nine():
        kinds.setdefault(tasks.get(name).kind, []).append(name)
    seen = int(published.fact("phang2020_abstract", version="v2", item="intermediate tasks"))
    claimed = {"span", "tagging", "classification"}
    right = len(evidence.nine()) == 9 == seen and claimed <= set(kinds)
    words = "; ".join(f"{kind.replace('_', ' ')}: {', '.join(kinds[kind])}" for kind in kinds)
    note = f"{words}. Words are classified in tagging alone; the claim leaves multiple choice out"
    return _checked(len(evidence.nine()), right, note)


def size(task: str, seen_as: str, claimed: int) -> Finding:
    """Check a training size: in the task table, and as published under the name `seen_as`."""
    ours = tasks.get(task).published_size
    seen = int(published.fact("intermediate_tasks", task=seen_as, item="training examples"))
    note = f"a full load must have {ours:,} (task table); dataset cards give {seen:,}"
    return _checked(ours, ours == claimed == seen, note)


def squad_v2() -> Finding:
    """Check the kind of SQuAD 2.0, and where its text is from."""
    kind = tasks.get("squad_v2").kind
    text = published.fact("intermediate_tasks", task="squad_v2", item="text")
    note = f"kind in the task table: {kind}; source on the dataset's card: {text}"
    return _checked(np.nan, kind == "span" and text == "Wikipedia", note, "")


def hellaswag() -> Finding:
    """Check the kind of HellaSwag, and that its two sources make up its training set."""
    row = tasks.get("hellaswag")
    items = [f"training examples from {source}" for source in ("ActivityNet", "WikiHow")]
    parts = [
        int(published.fact("intermediate_tasks", task="hellaswag", item=item)) for item in items
    ]
    right = row.kind == "multiple_choice" and sum(parts) == row.published_size
    note = f"{len(row.labels)} endings to choose from; {parts[0]:,} from captions of ActivityNet, "
    return _checked(sum(parts), right, f"{note}{parts[1]:,} from WikiHow: all there are")


def three_phases() -> Finding:
    """Check that the phases that a compendium runs are the three, in order."""
    phases = sorted(file.stem for file in paths.NOTEBOOKS.glob("[0-9]_*.ipynb"))
    right = [name.partition("_")[2] for name in phases] == ["pretrain", "intermediate", "transfer"]
    return _checked(len(phases), right, f"this compendium runs the same: {', '.join(phases)}")


def in_abstract(item: str, verdict: str, note: str = "", number: bool = False) -> Finding:
    """Quote what the second version's abstract states; a number has no interval there."""
    text = published.fact("phang2020_abstract", version="v2", item=item)
    words = f"{note}; " if note else ""
    note = f"{words}abstract, version 2: {text}"
    return Finding(float(text) if number else np.nan, np.nan, np.nan, 0,
                   "points" if number else "", verdict, note)  # fmt: skip


def other_version(item: str) -> Finding:
    """Quote a number that the first version's abstract has of the same; it decides nothing."""
    value = float(published.fact("phang2020_abstract", version="v1", item=item))
    note = "abstract, version 1, of seven tasks: the second's table was not seen"
    return Finding(value, np.nan, np.nan, 0, "points", UNDECIDED, note)


def on_leaderboard(target: str) -> Finding:
    """Give X-STILTs minus XLM-R large on a target: one number without an interval."""
    note = f"{published.STUDY} minus {published.BASELINE}, {published.SNAPSHOT}; best of the tasks"
    value = float(published.gains()[target])
    return Finding(value, np.nan, np.nan, 0, "points", UNDECIDED, f"{note}; no interval")


def gain(claimed: float, study: Study, conditions: list[str], same: bool = True) -> Finding:
    """Weigh a claimed gain of so many points by a condition's mean gain over targets.

    The size is weighed in the reference profile alone, and where what is trained is the `same`.
    """
    estimate = evidence.mean_gain(study, conditions)
    verdict = evidence.judge_size(estimate, claimed, study.is_reference and same)
    aside = ""
    if verdict == CONTRADICTED and estimate.low > 0:
        aside = "the direction is as claimed, the size is not; "
    note = f"{aside}{conditions[0]}, {estimate.targets} targets; {study.setting}"
    return _estimated(estimate, verdict, note)


def gain_of_several(claimed: float, study: Study, conditions: list[str]) -> Finding:
    """Weigh the gain of several tasks at once; of other tasks than the nine, its direction."""
    trained = study.settings.conditions[conditions[0]].tasks
    found = gain(claimed, study, conditions, set(trained) == set(evidence.nine()))
    return found._replace(note=f"{found.note}; trains {', '.join(trained)}")


def of_each(
    study: Study, conditions: list[str], targets: Sequence[str], most: bool = False
) -> Finding:
    """Weigh whether many (or `most`) conditions gain on targets, by the interval of each."""
    count = evidence.counted(study, conditions, targets)
    estimate = evidence.mean_gain(study, conditions, targets)
    note = f"{count.above} of {count.all} conditions over zero, {count.below} under it"
    note = f"{note} ({', '.join(conditions)}); {study.setting}"
    return _estimated(estimate, evidence.judge_many(count, most), note)


def retrieval(study: Study, conditions: list[str]) -> Finding:
    """Weigh whether almost every condition gains in retrieval, and more than elsewhere."""
    found = of_each(study, conditions, RETRIEVAL, most=True)
    more = evidence.retrieval_over_others(study, conditions)
    if found.verdict == SUPPORTED:
        found = found._replace(verdict=evidence.judge_direction(more))
    size = spelt(Interval(*more[:3]), 1, 1)
    return found._replace(note=f"{size} beyond the gain in other targets; {found.note}")


def no_gain(study: Study, conditions: list[str], target: str) -> Finding:
    """Weigh whether a target gains nothing, by the conditions that do not train on its data."""
    kept = evidence.sharing_no_training(study, conditions, target)
    estimate = evidence.mean_gain(study, kept, [target])
    falls = "it falls; " if estimate.high < 0 else ""
    note = f"{falls}mean of {', '.join(kept) or 'none'}, which do not train on its training set; a "
    note += f"gain under {evidence.SMALLEST_GAIN:g} point counts as none; {study.setting}"
    return _estimated(estimate, evidence.judge_no_gain(estimate), note)


def best(claimed: float, study: Study, conditions: list[str]) -> Finding:
    """Weigh a claimed mean gain under the condition that is best for each target in English."""
    estimate, chosen = evidence.best_per_target(study, conditions)
    verdict = evidence.judge_size(estimate, claimed, study.is_reference)
    words = ", ".join(f"{target}: {name}" for target, name in chosen.items())
    own = set(evidence.developed(study)["target"])
    if others := [target for target in chosen if target not in own]:
        words += f"; {', '.join(others)} without such data: the best on average over the others"
    note = f"chosen on English development data ({words}); zero-shot languages; {study.setting}"
    return _estimated(estimate, verdict, note)


def beats(study: Study, pairs: list[str]) -> Finding:
    """Weigh whether the first of each pair gains more than the second."""
    estimate = evidence.difference(study, pairs)
    note = ", ".join(f"{a} minus {b}" for a, b in zip(pairs[::2], pairs[1::2], strict=True))
    if study.settings.world and any(study.settings.conditions[each].translated for each in pairs):
        note += "; translated without error, as no machine does"
    verdict = evidence.judge_direction(estimate)
    return _estimated(estimate, verdict, f"{note}; {study.setting}")
