"""Score predictions by the official rules of each kind of task.

Every function returns `Scores`. Where a benchmark's rules surprise, the docstring says how.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lib import tasks
from lib.errors import InputError

RUN = ["condition", "encoder_seed", "seed"]
# Hu et al. 2020 (arXiv 2003.11080), table 1: a further row of our table is no task of XTREME's.
XTREME = ("udpos", "panx", "xnli", "pawsx", "xquad", "mlqa", "tydiqa", "bucc", "tatoeba")


@dataclass(frozen=True, eq=False)
class Scores:
    """Hold the metrics of a task beside one number per example.

    `values`: metric name to value, 0 to 1 (correlations -1 to 1).
    `per_example`: float64 [n], in input order; each scoring function says what it holds.
    """

    values: dict[str, float]
    per_example: np.ndarray

    @property
    def n(self) -> int:
        """Count the examples."""
        return len(self.per_example)


def score_tagging(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Scores:
    """Score tag sequences: `f1` over chunks and `accuracy` over tokens.

    `f1` is seqeval's micro F1 over the raw tags, as in XTREME's `evaluate.py` for PAN-X and UDPOS
    alike; 0 where neither side has a chunk. On UPOS tags it is not an accuracy, because seqeval
    reads the first letter as the chunk's position and the rest as its type: equal neighbours merge
    into one chunk, CCONJ and SCONJ share the type CONJ, and an X that ends its sentence is lost.
    That is seqeval 1.2.2; XTREME names no version, and 0.0.12, of its time, takes the whole tag for
    the type, which gives other scores.
    `per_example`: share of right tags in each sentence; 1 in one without words.
    Raises InputError where the two sides differ in length, or there is no word.
    """
    from seqeval.metrics import f1_score

    check_same_length(gold, predicted, "sentences")
    for index, (gold_tags, predicted_tags) in enumerate(zip(gold, predicted, strict=True)):
        _check_sentence(gold_tags, predicted_tags, "tags", index)
    right = [
        np.array([a == b for a, b in zip(gold_tags, predicted_tags, strict=True)], dtype=bool)
        for gold_tags, predicted_tags in zip(gold, predicted, strict=True)
    ]
    accuracy, per_example = _shares(right, "tags")
    with warnings.catch_warnings():
        # seqeval warns once per tag that is not B-, I-, E- or S-, that is, for all of UPOS.
        warnings.simplefilter("ignore")
        f1 = f1_score([list(tags) for tags in gold], [list(tags) for tags in predicted])
    return Scores({"f1": float(f1), "accuracy": accuracy}, per_example)


def _shares(right: Sequence[np.ndarray], what: str) -> tuple[float, np.ndarray]:
    """Return the share of what is right, of all words and of each sentence's, [sentences]."""
    words = np.concatenate(right)
    if not len(words):
        raise InputError(f"{what}: none to score, expected at least one")
    # A sentence without words is scored, for it is in the file; nothing in it can be wrong.
    return float(words.mean()), np.array([each.mean() if len(each) else 1.0 for each in right])


def score_parsing(
    gold_heads: Sequence[Sequence[int]],
    gold_relations: Sequence[Sequence[str]],
    predicted_heads: Sequence[Sequence[int]],
    predicted_relations: Sequence[Sequence[str]],
) -> Scores:
    """Score dependency trees on gold tokens: `uas` and `las` over words.

    Heads are 1-based, 0 is the root. Rules of the CoNLL 2018 shared task's `conll18_ud_eval.py`:
    every word counts, punctuation included, and a relation is compared up to its first colon. That
    script refuses outputs with a cycle or several roots; here they are scored arc by arc, because
    a greedy decoder makes them.
    `per_example`: share of words with the right head and relation in each sentence; 1 in one
    without words. Raises InputError where lengths differ, there is no word, or a head is not a
    whole number from 0 to the length.
    """
    for sentences in (gold_relations, predicted_heads, predicted_relations):
        check_same_length(gold_heads, sentences, "sentences")
    right_heads, right_arcs = [], []
    for index, (heads, relations, other_heads, other_relations) in enumerate(
        zip(gold_heads, gold_relations, predicted_heads, predicted_relations, strict=True)
    ):
        for words in (relations, other_heads, other_relations):
            _check_sentence(heads, words, "words", index)
        same_head = _as_heads(heads, index) == _as_heads(other_heads, index)
        pairs = zip(relations, other_relations, strict=True)
        same_relation = np.array(
            [without_subtype(a) == without_subtype(b) for a, b in pairs], dtype=bool
        )
        right_heads.append(same_head)
        right_arcs.append(same_head & same_relation)
    las, per_example = _shares(right_arcs, "words")
    return Scores({"uas": _shares(right_heads, "words")[0], "las": las}, per_example)


def without_subtype(relation: str) -> str:
    """Cut the language-specific subtype: `nmod:poss` becomes `nmod`."""
    return relation.split(":", maxsplit=1)[0]


def score_classification(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> Scores:
    """Score labels: `accuracy`, and `macro_f1` over the labels that either side uses.

    `per_example`: 1 where right, else 0.
    Raises InputError where lengths differ or gold holds one value only: test sets published
    without their labels look like that, and score chance.
    """
    check_same_length(gold, predicted, "labels")
    if len(set(gold)) == 1:
        raise InputError(f"every gold label is {gold[0]!r}: expected a labelled split")
    right = np.array([float(a == b) for a, b in zip(gold, predicted, strict=True)])
    gold_counts, predicted_counts = Counter(gold), Counter(predicted)
    right_counts = Counter(a for a, b in zip(gold, predicted, strict=True) if a == b)
    f1 = [
        2 * right_counts[label] / (gold_counts[label] + predicted_counts[label])
        for label in gold_counts | predicted_counts
    ]
    return Scores({"accuracy": float(right.mean()), "macro_f1": float(np.mean(f1))}, right)


def score_regression(gold: Sequence[float], predicted: Sequence[float]) -> Scores:
    """Score real values: `pearson` and `spearman` correlation.

    Both are 0 by definition where all predictions are equal. `per_example`: squared error.
    Raises InputError where lengths differ, a value is not finite, or all gold values are equal.
    """
    from scipy.stats import pearsonr, spearmanr

    check_same_length(gold, predicted, "values")
    gold_values = np.asarray(gold, dtype=np.float64)
    predicted_values = np.asarray(predicted, dtype=np.float64)
    for name, values in (("gold", gold_values), ("predicted", predicted_values)):
        if not np.isfinite(values).all():
            raise InputError(f"{name} value {np.argmin(np.isfinite(values))} is not finite")
    if np.ptp(gold_values) == 0:
        raise InputError(f"every gold value is {gold_values[0]}: expected a labelled split")
    correlations = {"pearson": 0.0, "spearman": 0.0}
    if np.ptp(predicted_values) > 0:
        correlations["pearson"] = float(pearsonr(gold_values, predicted_values).statistic)
        correlations["spearman"] = float(spearmanr(gold_values, predicted_values).statistic)
    return Scores(correlations, (gold_values - predicted_values) ** 2)


def score_retrieval(gold: Sequence[int], predicted: Sequence[int]) -> Scores:
    """Score retrieved indices: `accuracy`. `per_example`: 1 where right, else 0.

    Raises InputError where lengths differ.
    """
    check_same_length(gold, predicted, "queries")
    right = (np.asarray(gold) == np.asarray(predicted)).astype(np.float64)
    return Scores({"accuracy": float(right.mean())}, right)


def xtreme_task_score(task: str, by_language: Mapping[str, float]) -> float:
    """Average a target's score over its languages as XTREME does: unweighted, English included.

    `by_language`: the metric that the task reports (`lib.tasks`), for question answering the mean
    of F1 and exact match; languages that are not XTREME's are left out (google-research/xtreme,
    evaluate.py). Raises InputError where one is missing: the mean of others is another number.
    """
    expected = tasks.get(task).languages
    absent = [code for code in expected if code not in by_language]
    if absent:
        raise InputError(f"{task}: no score for {', '.join(absent)}: XTREME averages over all of "
                         f"{', '.join(expected)}")  # fmt: skip
    return float(np.mean([by_language[code] for code in expected]))


def xtreme_score(task_scores: Mapping[str, float]) -> float:
    """Return XTREME's overall score: the unweighted mean of its nine task scores.

    Raises InputError where a task is missing or is none of the nine.
    """
    if set(task_scores) != set(XTREME):
        raise InputError(f"task scores of {', '.join(task_scores) or 'nothing'}: expected "
                         f"{', '.join(XTREME)}")  # fmt: skip
    return float(np.mean(list(task_scores.values())))


def xtreme_scores(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return XTREME's task scores and overall score of every run, and lines on what is missing.

    `table`: the tidy scores (`lib.results.collect`). One row per condition, encoder seed and seed,
    one column per task, the split it was evaluated on in its name, then `overall`. A task that was
    not evaluated in all of XTREME's languages has no score, and without it there is no overall one.
    Neither has BUCC where its threshold is not tuned on the development set: what is reported then
    (`f1_cross_fitted`) is another number. Each line names the runs without an overall score that
    lack the same.
    """
    rows: dict[Hashable, dict[str, float]] = {}
    lacking: dict[str, list[Hashable]] = {}
    reported = table[table["reported"].astype(bool)]
    for run, block in reported.groupby(RUN, sort=False):
        found, missing = _task_scores(block)
        rows[run] = found if missing else found | {"overall": xtreme_score(found)}
        if missing:
            lacking.setdefault(missing, []).append(run)
    scores = pd.DataFrame(rows).T.rename_axis(RUN).reindex([*XTREME, "overall"], axis=1)
    splits = reported.groupby("target")["split"].unique().map(", ".join)
    scores = scores.rename(columns={name: f"{name} ({split})" for name, split in splits.items()})
    lines = [
        f"{'every run' if len(runs) == len(rows) else _named(runs)}: no overall score; {missing}"
        for missing, runs in lacking.items()
    ]
    return scores.dropna(how="all").dropna(how="all", axis=1), lines


def shared_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Return every run's task scores over those of XTREME's languages that all runs have.

    `table`: as in `xtreme_scores`, whose means these are over fewer languages: no score of XTREME.
    One row per run, one column per task, its metric, split and number of languages in the name,
    then the mean of these tasks; empty where the runs share no language of XTREME. BUCC's counts
    whether or not its threshold is XTREME's.
    """
    columns: dict[str, pd.Series] = {}
    reported = table[table["reported"].astype(bool)]
    for task in XTREME:
        wanted, own = tasks.get(task).languages, reported[reported["target"] == task]
        own = own[own["language"].isin(wanted)]
        if own.empty:
            continue
        shared = own.pivot_table("value", RUN, "language", sort=False).dropna(axis=1)
        if shared.columns.empty:
            continue
        said = ", ".join([*own["metric"].unique(), *own["split"].unique()])
        name = f"{task} ({said}, {len(shared.columns)} of {len(wanted)} languages)"
        columns[name] = shared.mean(axis=1)
    scores = pd.DataFrame(columns)
    if columns:
        scores[f"mean of {len(columns)} tasks"] = scores.mean(axis=1, skipna=False)
    return scores


def _task_scores(rows: pd.DataFrame) -> tuple[dict[str, float], str]:
    """Return the task scores of a run's reported rows, and what is missing of others."""
    found, missing, absent = {}, [], []
    for task in XTREME:
        of_task, wanted = rows[rows["target"] == task], tasks.get(task)
        own = of_task[of_task["metric"] == wanted.reported]
        by_language = dict(zip(own["language"], own["value"], strict=True))
        there = len(by_language.keys() & set(wanted.languages))
        if of_task.empty:
            absent.append(task)
        elif own.empty:
            missing.append(f"{task} reports {', '.join(of_task['metric'].unique())}")
        elif there < len(wanted.languages):
            missing.append(f"{task} in {there} of {len(wanted.languages)} languages")
        else:
            found[task] = xtreme_task_score(task, by_language)
    return found, "; ".join(missing + ([f"{', '.join(absent)} not evaluated"] if absent else []))


def _named(runs: Sequence[Any]) -> str:
    """Name runs by their condition, each with its seeds."""
    seeds: dict[str, list[str]] = {}
    for condition, _, seed in runs:
        seeds.setdefault(condition, []).append(str(seed))
    return ", ".join(f"{name} (seed {', '.join(numbers)})" for name, numbers in seeds.items())


def _as_heads(heads: Sequence[int], sentence: int) -> np.ndarray:
    array = np.asarray(heads)
    if not len(array):
        return array
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > len(array):
        raise InputError(
            f"heads of sentence {sentence} are {list(heads)}: "
            f"expected whole numbers from 0 to {len(heads)}"
        )
    return array


def _check_sentence(gold: Sized, predicted: Sized, what: str, index: int) -> None:
    """Raise InputError where a sentence's sides differ in length; it may have no word."""
    if len(gold) != len(predicted):
        raise InputError(f"{what} in sentence {index}: {len(gold)} gold, {len(predicted)} "
                         "predicted: expected as many")  # fmt: skip


def check_same_length(gold: Sized, predicted: Sized, what: str) -> None:
    """Raise InputError where the two sides differ in length, or are empty."""
    if len(gold) != len(predicted):
        raise InputError(f"{what}: {len(gold)} gold, {len(predicted)} predicted: expected as many")
    if len(gold) == 0:
        raise InputError(f"{what}: none to score, expected at least one")
