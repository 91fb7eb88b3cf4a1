"""Score answers to questions by the official rules of SQuAD 1.1, MLQA and SQuAD 2.0."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from lib.errors import InputError
from lib.scoring import Scores, check_same_length


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
    check_same_length(gold, predicted, "answers")
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


def score_answers_or_none(
    gold: Sequence[Sequence[str]], predicted: Sequence[str], no_answer: Sequence[float]
) -> Scores:
    """Score answers where a question may have none, by the rules of SQuAD 2.0's script.

    `gold`: the right answers of each question, none where it has no answer. `predicted`: the best
    answer that is not empty. `no_answer`: by how much no answer scores better than that one.
    `exact_match`, `f1` and their mean `score` say no answer above a threshold of 0. `best_f1` and
    `best_exact_match` take the threshold that is best on these very questions, one for each, as
    that script reports: they flatter. Normalisation is that of `squad` in `score_answers`; two
    answers that normalise to nothing have f1 1 here. `per_example`: f1 at the threshold of 0.
    Raises InputError where lengths differ or a value is not a number.
    """
    check_same_length(gold, predicted, "answers")
    check_same_length(gold, no_answer, "scores of no answer")
    margins = np.asarray(no_answer, dtype=np.float64)
    if np.isnan(margins).any():
        raise InputError(f"score of no answer {np.argmax(np.isnan(margins))} is not a number")
    answerable = np.array([bool(answers) for answers in gold])
    exact, f1 = np.zeros(len(gold)), np.zeros(len(gold))
    for index, (answers, answer) in enumerate(zip(gold, predicted, strict=True)):
        tokens = _answer_tokens(answer, "en", "squad")
        kept = [_answer_tokens(gold_answer, "en", "squad") for gold_answer in answers]
        for gold_tokens in [each for each in kept if each] or [[]]:
            same = float(tokens == gold_tokens)
            empty = not tokens or not gold_tokens
            exact[index] = max(exact[index], same)
            f1[index] = max(f1[index], same if empty else _token_f1(gold_tokens, tokens))
    values, at_zero = {}, {}
    for name, answered in (("exact_match", exact), ("f1", f1)):
        at_zero[name] = np.where(margins > 0, ~answerable, answered)
        values[name] = float(at_zero[name].mean())
        gains = np.where(answerable, answered, [-float(bool(answer)) for answer in predicted])
        values[f"best_{name}"] = _best_threshold(gains, margins, int((~answerable).sum()))
    values["score"] = (values["exact_match"] + values["f1"]) / 2
    return Scores(values, at_zero["f1"])


def _best_threshold(gains: np.ndarray, margins: np.ndarray, none_right: int) -> float:
    """Return the best mean when the `n` lowest margins are answered, of all `n` that tell apart."""
    order = np.argsort(margins, kind="stable")
    totals = none_right + np.cumsum(gains[order])
    ranked = margins[order]  # infinite for a blank context
    last_of_equals = np.append(ranked[1:] > ranked[:-1], True)
    return float(max(none_right, *totals[last_of_equals]) / len(gains))


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
