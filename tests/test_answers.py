"""Compare answer scores with hand-worked cases of the official scripts' rules, and brute force."""

import numpy as np
import pytest

from lib.answers import score_answers, score_answers_or_none
from lib.errors import InputError


def answer_values(gold: str, predicted: str, language: str, rules) -> tuple[float, float]:
    values = score_answers([[gold]], [predicted], language, rules=rules).values
    return values["exact_match"], values["f1"]


@pytest.mark.parametrize(
    ("gold", "predicted", "exact_match", "f1"),
    [
        ("the Eiffel Tower", "Eiffel tower.", 1, 1),
        ("in the late 1990s", "late 1990s", 0, 2 * 2 / (3 + 2)),
        ("New York", "new new York", 0, 2 * 2 / (2 + 3)),
        ("twenty-one", "twentyone", 1, 1),
        ("twenty-one", "twenty one", 0, 0),
        ("theatre", "atre", 0, 0),
        ("$5", "5", 1, 1),
        # Only ASCII punctuation goes.
        ("“Paris”", "Paris", 0, 0),
        # Nothing is left of either: a match without shared tokens.
        ("The", "a", 1, 0),
    ],
)
def test_squad_rules(gold, predicted, exact_match, f1):
    assert answer_values(gold, predicted, "en", "squad") == pytest.approx((exact_match, f1))


def test_squad_rules_are_english_in_every_language():
    assert answer_values("die Stadt", "Stadt", "de", "squad") == pytest.approx((0, 2 / 3))
    assert answer_values("北京市", "北京", "zh", "squad") == (0, 0)


@pytest.mark.parametrize(
    ("language", "gold", "predicted", "exact_match", "f1"),
    [
        ("en", "the “Tower” – a ruin", "tower ruin", 1, 1),
        ("en", "€5", "5", 0, 0),
        ("es", "¿Las unas?", "", 1, 0),
        ("es", "la ciudad", "un ciudad", 1, 1),
        ("es", "the city", "city", 0, 2 / 3),
        ("de", "Einen Hund", "des Hund", 1, 1),
        ("de", "eins", "", 0, 0),
        ("vi", "chiếc xe của tôi", "xe tôi", 1, 1),
        ("hi", "दिल्ली।", "दिल्ली", 1, 1),
        ("hi", "the दिल्ली", "दिल्ली", 0, 2 / 3),
        ("ar", "الكتاب", "كتاب", 1, 1),
        # The article's letters go inside the word as well, and leave two tokens.
        ("ar", "الكتاب", "والكتاب", 0, 2 / 3),
        ("zh", "北京市", "北京", 0, 2 * 2 / (3 + 2)),
        ("zh", "《北京》", "北京。", 1, 1),
        ("zh", "2008年奥运会", "2008 年", 0, 2 * 2 / (5 + 2)),
        ("zh", "IBM公司", "ibm 公司", 1, 1),
        # Ours from here on.
        ("ja", "東京タワー", "東京", 0, 2 * 2 / (5 + 2)),
        ("ja", "「二〇〇九年」", "〇", 0, 2 * 1 / (5 + 1)),
        ("th", "กรุงเทพ", "กรุง", 0, 2 * 4 / (7 + 4)),
        ("ru", "в Москве", "«Москве»", 0, 2 / 3),
    ],
)
def test_mlqa_rules(language, gold, predicted, exact_match, f1):
    expected = pytest.approx((exact_match, f1))
    assert answer_values(gold, predicted, language, "mlqa") == expected


def test_the_best_of_several_gold_answers_counts():
    gold = [["red", "the red car"], ["Berlin", "East Berlin", "Rome"]]
    scores = score_answers(gold, ["Red!", "in East Berlin"], "en", rules="squad")
    assert scores.per_example == pytest.approx([1, 2 * 2 / (3 + 2)])
    assert scores.values == pytest.approx({"exact_match": 0.5, "f1": 0.9, "score": 0.7})


def test_answer_f1_equals_pairing_tokens_off_one_by_one():
    random = np.random.default_rng(5)
    for _ in range(200):
        gold = random.choice(list("bcde"), size=random.integers(1, 8)).tolist()
        predicted = random.choice(list("bcde"), size=random.integers(1, 8)).tolist()
        left, shared = list(gold), 0
        for token in predicted:
            if token in left:
                left.remove(token)
                shared += 1
        precision, recall = shared / len(predicted), shared / len(gold)
        f1 = 2 * precision * recall / (precision + recall) if shared else 0
        found = answer_values(" ".join(gold), " ".join(predicted), "en", "squad")
        assert found == pytest.approx((float(gold == predicted), f1))


@pytest.mark.parametrize("answers", [[], "Berlin"])
def test_gold_answers_must_be_a_list_with_one_at_least(answers):
    with pytest.raises(InputError, match="gold answers 0"):
        score_answers([answers], ["Berlin"], "en", rules="squad")


def test_unknown_rules_are_refused():
    with pytest.raises(InputError, match="'xquad'"):
        score_answers([["Berlin"]], ["Berlin"], "en", rules="xquad")


# SQuAD 2.0


def test_no_answer_is_right_where_there_is_none_and_wrong_where_there_is_one():
    gold = [["Berlin"], [], ["the red car"], []]
    predicted = ["berlin", "Rome", "red bus", "Paris"]
    # Said at 0: Berlin, no answer, red bus, Paris. F1 of "red bus" and "red car": 1/2.
    scores = score_answers_or_none(gold, predicted, [-3.0, 2.0, 0.0, -1.0])
    assert scores.per_example.tolist() == [1, 1, 0.5, 0]
    found = {name: scores.values[name] for name in ("exact_match", "f1", "score")}
    assert found == pytest.approx({"exact_match": 2 / 4, "f1": 2.5 / 4, "score": 2.25 / 4})
    # Best for exact match: Berlin alone is answered. For f1: that, or the first three.
    assert scores.values["best_exact_match"] == 3 / 4
    assert scores.values["best_f1"] == 3 / 4


def test_a_threshold_cannot_part_questions_of_one_score():
    # Answering the first alone would be right twice, but the second has the same score.
    scores = score_answers_or_none([["a b"], []], ["a b", "c"], [1.0, 1.0])
    assert scores.values["best_f1"] == 0.5
    assert scores.values["f1"] == 0.5  # both say no answer


def of_two_words(gold: str, said: str, name: str) -> float:
    """Score by hand: of two words each, precision, recall and F1 are the share that agrees."""
    if name == "exact_match":
        return float(gold == said)
    (a, b), (c, d) = gold.split(), said.split()
    return max((a == c) + (b == d), (a == d) + (b == c)) / 2


def test_the_best_threshold_is_that_of_trying_them_all():
    random = np.random.default_rng(6)
    words = list("bcdefg")
    for _ in range(60):
        n = int(random.integers(1, 12))
        gold = [
            [" ".join(random.choice(words, 2))] if random.random() < 0.6 else [] for _ in range(n)
        ]
        predicted = [" ".join(random.choice(words, 2)) for _ in range(n)]
        margins = random.integers(-4, 5, n) / 2
        scores = score_answers_or_none(gold, predicted, margins.tolist())
        for name in ("exact_match", "f1"):
            tried = []
            for threshold in [-10, *margins]:
                each = [
                    float(not answers)
                    if margin > threshold
                    else max((of_two_words(answer, said, name) for answer in answers), default=0.0)
                    for answers, said, margin in zip(gold, predicted, margins, strict=True)
                ]
                tried.append(np.mean(each))
            assert scores.values[f"best_{name}"] == pytest.approx(max(tried))


def test_answers_that_are_all_article_count_as_none_and_match_nothing_else():
    # SQuAD 2.0's script drops gold answers that normalise to nothing, unless none is left.
    values = score_answers_or_none([["the", "car"], ["The"]], ["car", "a"], [-1, -1]).values
    assert (values["exact_match"], values["f1"]) == (1, 1)


def test_blank_contexts_have_no_answer_by_an_infinite_margin(recwarn):
    infinite = float("inf")
    scores = score_answers_or_none([[], ["a b"], []], ["", "a b", ""], [infinite, -1.0, infinite])
    assert scores.values == dict.fromkeys(scores.values, 1.0)
    assert scores.per_example.tolist() == [1, 1, 1]
    assert not recwarn.list


def test_scores_of_no_answer_must_be_numbers_one_for_each_question():
    with pytest.raises(InputError, match="1 gold, 2 predicted"):
        score_answers_or_none([["a"]], ["a"], [0.0, 1.0])
    with pytest.raises(InputError, match="score of no answer 0"):
        score_answers_or_none([["a"]], ["a"], [float("nan")])
