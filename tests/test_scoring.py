"""Compare every metric with an independent reference: hand-worked, brute force, or a library."""

import itertools

import numpy as np
import pytest
import sklearn.metrics
from scipy.stats import rankdata

from lib.errors import InputError
from lib.scoring import (
    score_answers,
    score_classification,
    score_parsing,
    score_regression,
    score_retrieval,
    score_tagging,
)


def f1_of_spans(gold: set, predicted: set) -> float:
    return 2 * len(gold & predicted) / (len(gold) + len(predicted))


# Tagging. The expected chunks are worked by hand from seqeval's algorithm: first letter = position
# (B, I, E, S, O mean something), rest = type; a chunk ends where the type changes.


def test_a_chunk_counts_only_with_both_ends_right():
    gold = [["B-PER", "I-PER", "O", "B-LOC"]]
    predicted = [["B-PER", "O", "O", "B-LOC"]]
    assert score_tagging(gold, predicted).values == {"f1": 0.5, "accuracy": 0.75}


def test_an_i_tag_may_open_a_chunk():
    scores = score_tagging([["B-PER", "I-PER", "O"]], [["I-PER", "I-PER", "O"]])
    assert scores.values == pytest.approx({"f1": 1, "accuracy": 2 / 3})


def test_a_change_of_type_inside_splits_the_chunk():
    assert score_tagging([["B-PER", "I-PER"]], [["B-PER", "I-LOC"]]).values["f1"] == 0


def test_chunks_do_not_run_over_the_end_of_a_sentence():
    # Gold: PER in each sentence; predicted: PER in the second only.
    gold, predicted = [["B-PER"], ["I-PER"]], [["O"], ["I-PER"]]
    assert score_tagging(gold, predicted).values["f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("gold", "predicted", "f1"),
    [
        # Equal neighbours merge. Gold DET, NOUN NOUN, VERB; predicted DET, NOUN, PROPN, VERB.
        ("DET NOUN NOUN VERB", "DET NOUN PROPN VERB", 2 * 2 / (3 + 4)),
        # S opens and closes a chunk, so SYM does not merge. Gold SYM, SYM, NOUN; predicted SYM,
        # NOUN NOUN.
        ("SYM SYM NOUN", "SYM NOUN NOUN", 2 * 1 / (3 + 2)),
        # CCONJ and SCONJ are both of type CONJ: the confusion is no error.
        ("CCONJ NOUN", "SCONJ NOUN", 1),
        # The S of SCONJ opens a chunk while that of CCONJ is still open, which is forgotten.
        ("CCONJ SCONJ VERB", "NOUN SCONJ VERB", 2 * 2 / (2 + 3)),
        # X has the type of O, so nothing closes it before the end. Gold NOUN; predicted NOUN, VERB.
        ("NOUN X", "NOUN VERB", 2 * 1 / (1 + 2)),
        # Within the sentence the next type closes it.
        ("NOUN X VERB", "NOUN X NOUN", 2 * 2 / (3 + 3)),
    ],
)
def test_udpos_f1_follows_seqeval_on_raw_tags(gold, predicted, f1):
    assert score_tagging([gold.split()], [predicted.split()]).values["f1"] == pytest.approx(f1)


def test_named_entity_f1_equals_that_of_the_spans_the_tags_were_made_from():
    random = np.random.default_rng(0)

    def sentence(length: int) -> tuple[list[str], set]:
        tags, spans, position = ["O"] * length, set(), 0
        while position < length:
            width, kind = int(random.integers(1, 4)), str(random.choice(["PER", "LOC", "none"]))
            end = min(position + width, length)
            if kind != "none":
                spans.add((kind, position, end))
                tags[position:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - position - 1)
            position = end
        return tags, spans

    gold, predicted, gold_spans, predicted_spans = [], [], set(), set()
    for index in range(200):
        length = int(random.integers(1, 12))
        for tags, spans in ((gold, gold_spans), (predicted, predicted_spans)):
            new_tags, new_spans = sentence(length)
            tags.append(new_tags)
            spans |= {(index, *span) for span in new_spans}
    f1 = score_tagging(gold, predicted).values["f1"]
    assert 0 < f1 == pytest.approx(f1_of_spans(gold_spans, predicted_spans))


def test_udpos_f1_equals_that_of_runs_of_equal_tags():
    random = np.random.default_rng(1)
    tags = ["DET", "NOUN", "VERB", "ADP"]

    def runs(sentences: list[list[str]]) -> set:
        found = set()
        for index, sentence in enumerate(sentences):
            for tag, run in itertools.groupby(range(len(sentence)), key=sentence.__getitem__):
                found.add((index, tag, *run))
        return found

    lengths = random.integers(1, 12, size=200)
    gold = [random.choice(tags, n).tolist() for n in lengths]
    predicted = [random.choice(tags, n).tolist() for n in lengths]
    f1 = score_tagging(gold, predicted).values["f1"]
    assert 0 < f1 == pytest.approx(f1_of_spans(runs(gold), runs(predicted)))


def test_tag_accuracy_weighs_tokens_and_per_example_weighs_sentences():
    scores = score_tagging([["DET", "NOUN", "VERB"], ["VERB"]], [["DET", "NOUN", "X"], ["NOUN"]])
    assert scores.values["accuracy"] == 0.5
    assert scores.per_example == pytest.approx([2 / 3, 0])
    assert scores.n == 2


def test_scoring_upos_tags_is_silent(recwarn):
    score_tagging([["NOUN"]], [["VERB"]])
    score_tagging([["O"]], [["O"]])
    assert not recwarn.list


def test_a_sentence_with_a_missing_tag_is_named():
    with pytest.raises(InputError, match="sentence 1: 2 gold, 1 predicted"):
        score_tagging([["O"], ["O", "O"]], [["O"], ["O"]])


@pytest.mark.parametrize("gold", [[], [[]]])
def test_nothing_to_tag_is_refused(gold):
    with pytest.raises(InputError, match="none to score"):
        score_tagging(gold, gold)


# Parsing. Hand-worked from the comments of the CoNLL 2018 script.


def test_uas_and_las_count_every_word_of_the_corpus_once():
    scores = score_parsing(
        gold_heads=[[2, 0, 2, 2], [0]],
        gold_relations=[["nsubj", "root", "obj", "punct"], ["root"]],
        predicted_heads=[[2, 0, 1, 2], [0]],
        predicted_relations=[["obj", "root", "obj", "punct"], ["root"]],
    )
    # Heads wrong: word 3. Relations wrong: word 1. The full stop counts as any word.
    assert scores.values == pytest.approx({"uas": 4 / 5, "las": 3 / 5})
    assert scores.per_example == pytest.approx([2 / 4, 1])


@pytest.mark.parametrize(
    ("gold", "predicted", "las"),
    [
        ("nmod:poss", "nmod", 1),
        ("obl", "obl:tmod", 1),
        ("nsubj:pass", "nsubj:outer", 1),
        ("aux:pass", "aux", 1),
        ("nmod", "amod", 0),
        ("acl:relcl", "advcl:relcl", 0),
    ],
)
def test_relations_are_compared_without_subtype(gold, predicted, las):
    assert score_parsing([[0]], [[gold]], [[0]], [[predicted]]).values == {"uas": 1, "las": las}


def test_an_output_that_is_no_tree_is_scored_arc_by_arc():
    # Predicted: words 1 and 2 in a cycle, no root.
    values = score_parsing([[2, 0]], [["det", "root"]], [[2, 1]], [["det", "root"]]).values
    assert values == {"uas": 0.5, "las": 0.5}


def test_parsing_scores_equal_accuracies_over_random_arcs():
    random = np.random.default_rng(2)
    lengths = random.integers(1, 20, size=100)
    heads = [[random.integers(0, min(n, 3) + 1, size=n) for n in lengths] for _ in range(2)]
    relations = [[random.choice(["nsubj", "obj"], size=n) for n in lengths] for _ in range(2)]
    flat_heads = [np.concatenate(side) for side in heads]
    arcs = [
        [f"{head} {relation}" for head, relation in zip(h, np.concatenate(r), strict=True)]
        for h, r in zip(flat_heads, relations, strict=True)
    ]
    values = score_parsing(heads[0], relations[0], heads[1], relations[1]).values
    assert values["uas"] == pytest.approx(sklearn.metrics.accuracy_score(*flat_heads))
    assert values["las"] == pytest.approx(sklearn.metrics.accuracy_score(*arcs))


@pytest.mark.parametrize("heads", [[0, 3], [-1, 0], ["0", "1"], [0.0, 1.0]])
def test_impossible_heads_are_refused(heads):
    with pytest.raises(InputError, match="heads of sentence 0"):
        score_parsing([[0, 1]], [["root", "obj"]], [heads], [["root", "obj"]])


def test_a_sentence_with_a_missing_head_is_named():
    with pytest.raises(InputError, match="sentence 0: 2 gold, 1 predicted"):
        score_parsing([[0, 1]], [["root", "obj"]], [[0]], [["root", "obj"]])


# Classification and regression.


def test_classification_agrees_with_scikit_learn():
    random = np.random.default_rng(3)
    for _ in range(20):
        gold = random.integers(0, 3, size=30).tolist()
        predicted = random.integers(0, 5, size=30).tolist()
        scores = score_classification(gold, predicted)
        macro_f1 = sklearn.metrics.f1_score(gold, predicted, average="macro", zero_division=0)
        assert scores.values["macro_f1"] == pytest.approx(macro_f1)
        assert scores.values["accuracy"] == pytest.approx(
            sklearn.metrics.accuracy_score(gold, predicted)
        )


def test_per_example_says_which_labels_are_right():
    scores = score_classification(["yes", "no", "no"], ["yes", "yes", "no"])
    assert scores.per_example.tolist() == [1, 0, 1]


def test_stripped_test_labels_are_refused():
    with pytest.raises(InputError, match="every gold label is -1"):
        score_classification([-1, -1, -1], [0, 1, 2])


def test_correlations_agree_with_numpy_on_values_with_ties():
    random = np.random.default_rng(4)
    gold = random.integers(0, 6, size=100) / 2
    predicted = np.round(gold + random.normal(size=100), 1)
    scores = score_regression(gold, predicted)
    assert scores.values["pearson"] == pytest.approx(np.corrcoef(gold, predicted)[0, 1])
    ranks = np.corrcoef(rankdata(gold), rankdata(predicted))
    assert scores.values["spearman"] == pytest.approx(ranks[0, 1])
    assert scores.per_example.mean() == pytest.approx(
        sklearn.metrics.mean_squared_error(gold, predicted)
    )


def test_a_monotone_curve_has_spearman_one_and_pearson_less():
    # Pearson by hand: deviations (-1, 0, 1) and (-2, -1, 3), so 5 / sqrt(2 * 14).
    values = score_regression([1, 2, 3], [0, 1, 5]).values
    assert values == pytest.approx({"pearson": 5 / 28**0.5, "spearman": 1})


def test_constant_predictions_correlate_zero(recwarn):
    assert score_regression([1, 2, 3], [2, 2, 2]).values == {"pearson": 0, "spearman": 0}
    assert not recwarn.list


def test_constant_gold_values_are_refused():
    with pytest.raises(InputError, match=r"every gold value is 2\.0"):
        score_regression([2, 2, 2], [1, 2, 3])


def test_predictions_that_diverged_are_refused():
    with pytest.raises(InputError, match="predicted value 1 is not finite"):
        score_regression([1, 2, 3], [1, float("nan"), 3])


# Answers. Hand-worked from the SQuAD v1.1 and MLQA scripts' rules.


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


def test_retrieval_accuracy_is_the_share_of_right_indices():
    scores = score_retrieval([0, 1, 2, 3], np.array([0, 1, 0, 3]))
    assert scores.values == {"accuracy": 0.75}
    assert scores.per_example.tolist() == [1, 1, 0, 1]


def test_retrieval_of_too_few_queries_is_refused():
    with pytest.raises(InputError, match="2 gold, 1 predicted"):
        score_retrieval([0, 1], [0])
