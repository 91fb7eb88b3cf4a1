"""Find the examples on which two conditions disagree, and what those examples say.

An example *flips* between two conditions where it is right under one and wrong under the other,
trained with the same seed. Right is wholly right: every tag of a sentence, every word of an answer.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lib import tasks, transfer
from lib.corpora import Example
from lib.errors import InputError
from lib.profile import Profile
from lib.results import Cell
from lib.tasks import Task

AROUND = 70  # characters of a context that are shown on either side of an answer


def flips(study: Profile, condition: str, other: str, target: str, language: str) -> pd.DataFrame:
    """Return what each example scored under two conditions, a row per example and seed.

    Columns: seed, id, value, value_other (shares), right, right_other. Only seeds that both
    conditions have run are used.

    Raises:
        InputError: no seed was run under both, or the language was not evaluated.
    """
    seeds = [seed for seed in study.seeds_of(condition) if seed in study.seeds_of(other)]
    rows = []
    for seed in seeds:
        sides = [_predictions(study, name, target, seed) for name in (condition, other)]
        if any(side is None for side in sides):
            continue
        first, second = (side[side["language"] == language] for side in sides)  # type: ignore[index]
        both = first.merge(second, on="id", suffixes=("", "_other"), validate="one_to_one")
        rows.append(both.assign(seed=seed))
    found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    if found.empty:
        raise InputError(
            f"{target} in {language!r}: no seed has predictions under both {condition!r} and "
            f"{other!r}; choose another pair, or run `{study.command()}`"
        )
    found["right"], found["right_other"] = found["value"] == 1, found["value_other"] == 1
    return found[["seed", "id", "value", "value_other", "right", "right_other"]]


def _predictions(study: Profile, condition: str, target: str, seed: int) -> pd.DataFrame | None:
    file = Cell(study.name, "transfer", seed, condition, target).folder / "predictions.parquet"
    return pd.read_parquet(file) if file.is_file() else None


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """Count the flips of each seed, in both directions, with the exact test of McNemar (1947).

    `found` is what `flips` returns. Columns: seed, examples, both, only_first, only_second,
    neither, p. The p-value covers the examples of one seed, taken as independent; it says nothing
    of other seeds, over which the study's intervals run.
    """
    rows = []
    for seed, group in found.groupby("seed"):
        first, second = group["right"], group["right_other"]
        gained, lost = int((first & ~second).sum()), int((~first & second).sum())
        p = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        rows.append(
            {
                "seed": seed,
                "examples": len(group),
                "both": int((first & second).sum()),
                "only_first": gained,
                "only_second": lost,
                "neither": int((~first & ~second).sum()),
                "p": float(p),
            }
        )
    return pd.DataFrame(rows)


def steadiest(found: pd.DataFrame, number: int, gained: bool = True) -> pd.DataFrame:
    """Return the examples that flip in most seeds: right under the first condition (`gained`).

    With `gained` false, right under the second. Columns: id, right, right_other (in how many
    seeds), seeds, difference (mean of the values'). Equals stand in the order of their ids.
    """
    sums = found.assign(difference=found["value"] - found["value_other"]).groupby("id", sort=False)
    each = sums.agg(
        right=("right", "sum"),
        right_other=("right_other", "sum"),
        seeds=("seed", "size"),
        difference=("difference", "mean"),
    ).reset_index()
    sign = 1 if gained else -1
    margin = sign * (each["right"] - each["right_other"])
    order = np.lexsort((_place(each["id"]), -sign * each["difference"], -margin))
    return each.iloc[order][(margin > 0).iloc[order]].head(number).reset_index(drop=True)


def _place(identifiers: pd.Series) -> np.ndarray:
    """Return ids as numbers where they all are, so that 10 stands after 9."""
    if identifiers.str.fullmatch("[0-9]+").all():
        return identifiers.astype(int).to_numpy()
    return identifiers.rank().to_numpy()


def texts(
    study: Profile, target: str, language: str, identifiers: list[str]
) -> list[dict[str, str]]:
    """Return what the examples of these ids say, under names that depend on the kind of task.

    Raises InputError where an id is not among the data that stand now.
    """
    task = tasks.get(target)
    sets, _ = transfer.evaluation_sets(study, task, study.targets[target], [language])
    examples = sets[language]
    if task.evaluation and "gold" in task.evaluation.columns:
        return [_mined(examples[0], identifier) for identifier in identifiers]
    by_id = {example["id"]: example for example in examples}
    for identifier in identifiers:
        if identifier not in by_id:
            raise InputError(
                f"{target} in {language!r}: no example {identifier!r} in the data that stand now; "
                f"expected those that results/{study.name} was made from"
            )
    return [described(task, by_id[identifier]) for identifier in identifiers]


def _mined(sides: Example, identifier: str) -> dict[str, str]:
    """Return a gold pair of mining, named by its 1-based places in both sides."""
    first, second = (int(place) - 1 for place in identifier.split("-"))
    return {"sentence": sides["sources"][first], "translation": sides["targets"][second]}


def described(task: Task, example: Example) -> dict[str, Any]:
    """Return what a person needs of an example: its text, and what is right.

    Tags stand behind their words, but for `O`; of a context, what is around the answer.
    """
    if "tags" in example:
        pairs = zip(example["words"], example["tags"], strict=True)
        return {
            "sentence": " ".join(word if tag == "O" else f"{word}/{tag}" for word, tag in pairs)
        }
    if "answers" in example:
        right = list(dict.fromkeys(example["answers"]))
        return {
            "question": example["question"],
            "right": " | ".join(right) or "(no answer)",
            "context": _around(example["context"], right[0] if right else ""),
        }
    if task.kind == "retrieval":
        return {"sentence": example["source"], "translation": example["target"]}
    return {
        "first": example["sentence1"],
        "second": example.get("sentence2", ""),
        "right": str(example["label"]),
    }


def _around(context: str, answer: str) -> str:
    """Cut a context to what stands around the first place of an answer."""
    place = max(context.find(answer), 0)
    start, end = max(place - AROUND, 0), place + len(answer) + AROUND
    return f"{'…' * (start > 0)}{context[start:end]}{'…' * (end < len(context))}"
