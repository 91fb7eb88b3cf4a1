"""Compute scores again from the predictions that are kept, to compare with those that are stored.

`predictions.parquet` has a row per example: language, id, `value` (what it scored) and, but for
mined pairs and in results of before 2026-11-26, what was `gold` and `predicted`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from lib import answers, baselines, scoring
from lib.errors import InputError
from lib.scoring import Scores
from lib.tasks import Task
from lib.transfer import DEVELOPMENT

SAME = 1e-12  # a mean may be summed in another order


@dataclass
class Rescored:
    """Hold what differs, in a line each, how many scores were compared, and why others were not."""

    problems: list[str] = field(default_factory=list)
    compared: int = 0
    left: Counter[str] = field(default_factory=Counter)


def rescore(task: Task, scores: pd.DataFrame, predictions: pd.DataFrame) -> Rescored:
    """Compare the scores of a transfer cell with what its predictions give.

    `scores`: a row per language, metric and layer. Differences name language and metric.
    """
    found = Rescored()
    kept = _kept(task, scores, found.left)
    said_of = dict(list(predictions.groupby("language", sort=False)))
    for code in dict.fromkeys([*scores["language"], *said_of]):
        said, rows = said_of.get(code), kept[kept["language"] == code]
        if said is None or rows.empty:
            found.problems.append(f"{code}: {'scores' if said is None else 'predictions'} only")
            continue
        if rows["metric"].duplicated().any() or set(rows["n"]) != {len(said)}:
            numbers = ", ".join(f"{row.metric} of {row.n}" for row in rows.itertuples())
            found.problems.append(f"{code}: {len(said)} predictions, but scores are {numbers}")
            continue
        try:
            again = _again(task, said, code)
        except InputError as error:
            found.problems.append(f"{code}: {error}")
            continue
        values = dict(zip(rows["metric"], rows["value"], strict=True))
        again |= _implied(values, again)
        for metric, value in values.items():
            if metric not in again:
                found.left[_reason(task, metric)] += 1
                continue
            found.compared += 1
            if not abs(again[metric] - value) <= SAME:
                found.problems.append(
                    f"{code}: {metric} is {value:.6f}, its predictions give {again[metric]:.6f}"
                )
    return found


def _kept(task: Task, scores: pd.DataFrame, left: Counter[str]) -> pd.DataFrame:
    """Return the rows that the predictions are of; count the others, by the reason."""
    development = scores["split"] == DEVELOPMENT
    without = scores["metric"].str.startswith(baselines.NAMES)
    chosen = scores.loc[scores["reported"].astype(bool), "layer"]
    # `layer` is missing but for retrieval: there the reported one is kept.
    other = scores["layer"].notna() & ~scores["layer"].isin(chosen.dropna()) & ~without
    for rows, reason in (
        (development, "development split: no predictions are kept of it"),
        (without, "baselines without an encoder: no predictions are kept of them"),
        (other, f"{task.name}: predictions are kept of the reported layer only, no vectors"),
    ):
        if rows.any():
            left[reason] += int(rows.sum())
    return scores[~(development | without | other)]


def _again(task: Task, said: pd.DataFrame, language: str) -> dict[str, float]:
    """Return the metrics that predictions give, each by the task's own rule.

    Raises InputError where what the examples scored is not what their predictions score.
    """
    values = said["value"].to_numpy(dtype=float)
    if not np.isfinite(values).all():
        raise InputError(f"prediction {said['id'].iloc[int(np.argmin(np.isfinite(values)))]} "
                         "scored no number")  # fmt: skip
    if "predicted" not in said:
        return _means(task, values)
    rules: dict[str, Callable[..., Scores]] = {
        "tagging": scoring.score_tagging,
        "classification": scoring.score_classification,
        "retrieval": scoring.score_retrieval,
        "span": partial(
            answers.score_answers,
            language=language,
            rules=task.answer_rules,  # type: ignore[arg-type]
        ),
    }
    gold, predicted = ([_plain(each) for each in said[side]] for side in ("gold", "predicted"))
    scores = rules[task.kind](gold, predicted)
    wrong = np.abs(scores.per_example - values) > SAME
    if wrong.any():
        place = int(np.argmax(wrong))
        raise InputError(f"prediction {said['id'].iloc[place]} is marked {values[place]:.6f}, "
                         f"it scores {scores.per_example[place]:.6f}")  # fmt: skip
    return scores.values


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _means(task: Task, values: np.ndarray) -> dict[str, float]:
    """Return the metrics that are the mean of what the examples scored."""
    mean = float(values.mean())
    if task.kind == "retrieval" and task.reported == "f1":  # mined pairs: gold pairs found
        return {"recall": mean, "recall_cross_fitted": mean}
    names = {"classification": "accuracy", "span": "f1", "retrieval": "accuracy"}
    return {names[task.kind]: mean} if task.kind in names else {}


def _implied(values: dict[str, float], again: dict[str, float]) -> dict[str, float]:
    """Return what stored metrics imply of each other where predictions do not give them."""
    more = {}
    for suffix in ("", "_cross_fitted"):
        names = [f"{name}{suffix}" for name in ("f1", "precision", "recall")]
        if names[2] in again and values.keys() >= set(names):
            precision, recall = values[names[1]], again[names[2]]
            both = precision + recall
            more[names[0]] = 2 * precision * recall / both if both else 0.0
    if {"score", "exact_match", "f1"} <= values.keys() and "f1" in again:
        more["score"] = (values["exact_match"] + again["f1"]) / 2
    return {name: value for name, value in more.items() if name not in again}


def _reason(task: Task, metric: str) -> str:
    if task.kind == "retrieval":
        return f"{task.name} {metric}: which wrong pairs were mined is not kept"
    return f"{task.name} {metric}: these results keep what each example scored, not what was said"
