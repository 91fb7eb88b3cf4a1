"""Score predictions by the official rules of each kind of task.

Every function returns `Scores`. Where a benchmark's rules surprise, the docstring says how.
"""

from __future__ import annotations

import re
import string
import unicodedata
import warnings
from collections import Counter
from collections.abc import Hashable, Sequence, Sized
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lib.errors import InputError


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
    `per_example`: share of right tags in each sentence.
    Raises InputError where a sentence is empty or the two sides differ in length.
    """
    from seqeval.metrics import f1_score

    _check_same_length(gold, predicted, "sentences")
    for index, (gold_tags, predicted_tags) in enumerate(zip(gold, predicted, strict=True)):
        _check_same_length(gold_tags, predicted_tags, f"tags in sentence {index}")
    right = [
        np.array([a == b for a, b in zip(gold_tags, predicted_tags, strict=True)])
        for gold_tags, predicted_tags in zip(gold, predicted, strict=True)
    ]
    with warnings.catch_warnings():
        # seqeval warns once per tag that is not B-, I-, E- or S-, that is, for all of UPOS.
        warnings.simplefilter("ignore")
        f1 = f1_score([list(tags) for tags in gold], [list(tags) for tags in predicted])
    return Scores(
        {"f1": float(f1), "accuracy": float(np.concatenate(right).mean())},
        np.array([sentence.mean() for sentence in right]),
    )


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
    `per_example`: share of words with the right head and relation in each sentence.
    Raises InputError where lengths differ or a head is not a whole number from 0 to the length.
    """
    for sentences in (gold_relations, predicted_heads, predicted_relations):
        _check_same_length(gold_heads, sentences, "sentences")
    right_heads, right_arcs = [], []
    for index, (heads, relations, other_heads, other_relations) in enumerate(
        zip(gold_heads, gold_relations, predicted_heads, predicted_relations, strict=True)
    ):
        for words in (relations, other_heads, other_relations):
            _check_same_length(heads, words, f"words in sentence {index}")
        same_head = _as_heads(heads, index) == _as_heads(other_heads, index)
        pairs = zip(relations, other_relations, strict=True)
        same_relation = np.array([without_subtype(a) == without_subtype(b) for a, b in pairs])
        right_heads.append(same_head)
        right_arcs.append(same_head & same_relation)
    return Scores(
        {
            "uas": float(np.concatenate(right_heads).mean()),
            "las": float(np.concatenate(right_arcs).mean()),
        },
        np.array([sentence.mean() for sentence in right_arcs]),
    )


def without_subtype(relation: str) -> str:
    """Cut the language-specific subtype: `nmod:poss` becomes `nmod`."""
    return relation.split(":", maxsplit=1)[0]


def score_classification(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> Scores:
    """Score labels: `accuracy`, and `macro_f1` over the labels that either side uses.

    `per_example`: 1 where right, else 0.
    Raises InputError where lengths differ or gold holds one value only: test sets published
    without their labels look like that, and score chance.
    """
    _check_same_length(gold, predicted, "labels")
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

    _check_same_length(gold, predicted, "values")
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


def score_answers(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[str],
    language: str,
    *,
    rules: Literal["squad", "mlqa"],
) -> Scores:
    """Score answer strings: `exact_match`, token `f1`, and `score`, their mean, as XTREME ranks by.

    `gold` holds the right answers of each question; the best match counts, for each metric apart.
    Answers are compared after normalisation:

    - `squad` (SQuAD v1.1's script; XTREME's for XQuAD and TyDiQA): lower case, ASCII punctuation
      and English articles removed, whitespace tokens, whatever the language. Two answers that
      normalise to nothing match exactly and have f1 0, as in that script.
    - `mlqa` (MLQA's script; XTREME's for MLQA): Unicode punctuation removed, articles of en, es,
      vi, de and ar, none in hi; in zh every ideograph is a token. The Arabic rule cuts the letters
      of the article wherever they stand, as the script does. MLQA stops at these seven languages.
      Ours: the others have no articles removed, and th and ja, which write no spaces, have one
      token per character of their scripts.

    `language`: ISO 639-1 code, read by `mlqa` only. `per_example`: f1 of each answer.
    Raises InputError where lengths differ, a question has no answer, or `rules` is neither.
    """
    if rules not in ("squad", "mlqa"):
        raise InputError(f"rules is {rules!r}: expected 'squad' or 'mlqa'")
    _check_same_length(gold, predicted, "answers")
    exact, f1 = np.zeros(len(gold)), np.zeros(len(gold))
    for index, (answers, answer) in enumerate(zip(gold, predicted, strict=True)):
        if isinstance(answers, str) or not answers:
            raise InputError(f"gold answers {index} are {answers!r}: expected a list of strings")
        tokens = _answer_tokens(answer, language, rules)
        for gold_answer in answers:
            gold_tokens = _answer_tokens(gold_answer, language, rules)
            exact[index] = max(exact[index], float(tokens == gold_tokens))
            f1[index] = max(f1[index], _token_f1(gold_tokens, tokens))
    return Scores(
        {
            "exact_match": float(exact.mean()),
            "f1": float(f1.mean()),
            "score": float((exact.mean() + f1.mean()) / 2),
        },
        f1,
    )


def score_retrieval(gold: Sequence[int], predicted: Sequence[int]) -> Scores:
    """Score retrieved indices: `accuracy`. `per_example`: 1 where right, else 0.

    Raises InputError where lengths differ.
    """
    _check_same_length(gold, predicted, "queries")
    right = (np.asarray(gold) == np.asarray(predicted)).astype(np.float64)
    return Scores({"accuracy": float(right.mean())}, right)


_ARTICLES = {
    "en": "a an the",
    "es": "un una unos unas el la los las",
    "vi": "của là cái chiếc những",
    "de": "ein eine einen einem eines einer der die das den dem des",
}
_ARTICLE = {
    "ar": "ال",
    **{language: rf"\b(?:{words.replace(' ', '|')})\b" for language, words in _ARTICLES.items()},
}
# zh is MLQA's own range; ja (kana, ideographs with 々 and 〇) and th are ours.
_SINGLE_CHARACTER = {
    "zh": "[\u4e00-\u9fa5]",
    "ja": "[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]",
    "th": "[\u0e00-\u0e7f]",
}


def _answer_tokens(answer: str, language: str, rules: str) -> list[str]:
    language = "en" if rules == "squad" else language
    text = "".join(
        character
        for character in answer.lower()
        if character not in string.punctuation
        and (rules == "squad" or not unicodedata.category(character).startswith("P"))
    )
    if language in _ARTICLE:
        text = re.sub(_ARTICLE[language], " ", text)
    if language in _SINGLE_CHARACTER:
        text = re.sub(_SINGLE_CHARACTER[language], r" \g<0> ", text)
    return text.split()


def _token_f1(gold: list[str], predicted: list[str]) -> float:
    shared = (Counter(gold) & Counter(predicted)).total()
    return 2 * shared / (len(gold) + len(predicted)) if shared else 0.0


def _as_heads(heads: Sequence[int], sentence: int) -> np.ndarray:
    array = np.asarray(heads)
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > len(array):
        raise InputError(
            f"heads of sentence {sentence} are {list(heads)}: "
            f"expected whole numbers from 0 to {len(heads)}"
        )
    return array


def _check_same_length(gold: Sized, predicted: Sized, what: str) -> None:
    if len(gold) != len(predicted):
        raise InputError(f"{what}: {len(gold)} gold, {len(predicted)} predicted: expected as many")
    if len(gold) == 0:
        raise InputError(f"{what}: none to score, expected at least one")
