"""Compare every metric with an independent reference: hand-worked, brute force, or a library."""

import itertools

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from scipy.stats import rankdata

from lib import tasks
from lib.errors import InputError
from lib.scoring import (
    score_classification,
    score_parsing,
    score_regression,
    score_retrieval,
    score_tagging,
    shared_scores,
    xtreme_score,
    xtreme_scores,
    xtreme_task_score,
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


def test_udpos_f1_and_accuracy_equal_those_of_runs_and_of_scikit_learn():
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
    values = score_tagging(gold, predicted).values
    assert 0 < values["f1"] == pytest.approx(f1_of_spans(runs(gold), runs(predicted)))
    # Beside it, and another number: the share of right tags.
    flat = [list(itertools.chain(*side)) for side in (gold, predicted)]
    assert values["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(*flat))
    assert abs(values["accuracy"] - values["f1"]) > 0.01


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


@pytest.mark.parametrize("gold", [[], [[]], [[], []]])
def test_nothing_to_tag_or_parse_is_refused(gold):
    with pytest.raises(InputError, match="none to score"):
        score_tagging(gold, gold)
    with pytest.raises(InputError, match="none to score"):
        score_parsing(gold, gold, gold, gold)


def test_a_sentence_without_words_counts_as_a_sentence_and_changes_no_score():
    tags, said = [["DET", "NOUN"], ["VERB"]], [["DET", "VERB"], ["VERB"]]
    with_empty = score_tagging([[], *tags, []], [[], *said, []])
    assert with_empty.values == score_tagging(tags, said).values
    assert with_empty.per_example.tolist() == [1, 0.5, 1, 1]
    parsed = score_parsing([[], [2, 0]], [[], ["det", "root"]], [[], [0, 0]], [[], ["det", "root"]])
    assert parsed.values == {"uas": 0.5, "las": 0.5} and parsed.per_example.tolist() == [1, 0.5]


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


def test_retrieval_accuracy_is_the_share_of_right_indices():
    scores = score_retrieval([0, 1, 2, 3], np.array([0, 1, 0, 3]))
    assert scores.values == {"accuracy": 0.75}
    assert scores.per_example.tolist() == [1, 1, 0, 1]


def test_retrieval_of_too_few_queries_is_refused():
    with pytest.raises(InputError, match="2 gold, 1 predicted"):
        score_retrieval([0, 1], [0])


# XTREME's averages. XLM-R large, table 2 of Hu et al. 2020 (arXiv 2003.11080), whose mean is
# 68.1. Cells as RemBERT's table 16 quotes them (Chung et al. 2021, arXiv 2010.12821); BUCC,
# Tatoeba and the mean as a summary of VECO does. UDPOS is the first version's 72.6, from memory:
# later copies, RemBERT's among them, have 73.8, with which the mean would be 68.25.
XLMR_LARGE = {
    "xnli": 79.2, "pawsx": 86.4, "udpos": 72.6, "panx": 65.4, "xquad": (76.6 + 60.8) / 2,
    "mlqa": (71.6 + 53.2) / 2, "tydiqa": (65.1 + 45.0) / 2, "bucc": 66.0, "tatoeba": 57.3,
}  # fmt: skip


def test_the_overall_score_of_xlmr_large_is_the_published_one():
    assert round(xtreme_score(XLMR_LARGE), 1) == 68.1


def test_an_overall_score_of_other_tasks_than_the_nine_is_refused():
    eight = {task: value for task, value in XLMR_LARGE.items() if task != "bucc"}
    with pytest.raises(InputError, match="bucc"):
        xtreme_score(eight)
    with pytest.raises(InputError, match="expected"):
        xtreme_score(XLMR_LARGE | {"stsb": 90.0})


def test_a_task_score_weighs_every_language_the_same_and_counts_english():
    # MLQA's F1 of XLM-R large by language, and its mean of 70.7, as fairseq's README has them.
    f1 = {"en": 80.6, "es": 74.1, "de": 68.5, "ar": 63.1, "hi": 69.2, "vi": 71.3, "zh": 68.0}
    assert round(xtreme_task_score("mlqa", f1 | {"fr": 0.0}), 1) == 70.7
    del f1["vi"]
    with pytest.raises(InputError, match="mlqa: no score for vi"):
        xtreme_task_score("mlqa", f1)


def test_every_target_has_as_many_languages_as_in_xtreme():
    # Hu et al. 2020, evaluate.py; BUCC and Tatoeba are scored on languages other than English.
    counts = {task: len(set(tasks.get(task).languages)) for task in tasks.targets()}
    assert counts == {
        "xnli": 15, "pawsx": 7, "udpos": 33, "panx": 40, "xquad": 11, "mlqa": 7, "tydiqa": 9,
        "bucc": 4, "tatoeba": 36,
    }  # fmt: skip


# The same of whole runs


def scores_of(task_scores, condition="none", seed=1, **changes):
    """Return the tidy rows of a run whose score is the same in every language of a task."""
    return [
        {"condition": condition, "encoder_seed": 1, "seed": seed, "target": task, "language": code,
         "metric": tasks.get(task).reported, "value": value, "split": "test", "reported": True}
        | changes
        for task, value in task_scores.items()
        for code in tasks.get(task).languages
    ]  # fmt: skip


def test_a_run_of_every_task_and_language_has_the_published_overall_score():
    rows = scores_of(XLMR_LARGE)
    # Neither what is not reported nor a language beyond XTREME's list counts.
    rows += scores_of({"tatoeba": 0.0}, reported=False)
    rows.append(rows[0] | {"language": "qaa", "value": 0.0})
    scores, lines = xtreme_scores(pd.DataFrame(rows))
    assert not lines
    assert scores.index.tolist() == [("none", 1, 1)]
    assert round(scores["overall"].item(), 1) == 68.1
    for task, value in XLMR_LARGE.items():
        assert scores[f"{task} (test)"].item() == pytest.approx(value)


def test_a_missing_language_leaves_a_run_without_task_and_overall_score_and_is_said():
    rows = scores_of(XLMR_LARGE) + scores_of(XLMR_LARGE, "stsb", split="validation")
    rows = [
        row
        for row in rows
        if (row["condition"], row["target"], row["language"]) != ("stsb", "panx", "th")
    ]
    scores, lines = xtreme_scores(pd.DataFrame(rows))
    assert lines == ["stsb (seed 1): no overall score; panx in 39 of 40 languages"]
    stsb = scores.loc[("stsb", 1, 1)]
    assert stsb.isna().to_dict() == {
        name: name.startswith(("panx", "overall")) for name in stsb.index
    }
    assert "xnli (test, validation)" in scores


def test_runs_that_lack_the_same_share_a_line():
    rows = scores_of({"mlqa": 61.0}) + scores_of({"mlqa": 62.0}, seed=2)
    scores, (line,) = xtreme_scores(pd.DataFrame(rows))
    assert scores["mlqa (test)"].tolist() == [61.0, 62.0] and "overall" not in scores
    others = "udpos, panx, xnli, pawsx, xquad, tydiqa, bucc, tatoeba"
    assert line == f"every run: no overall score; {others} not evaluated"
    _, lines = xtreme_scores(pd.DataFrame(rows + scores_of({"udpos": 1.0}, "random")))
    assert [line.split(": ")[0] for line in lines] == ["none (seed 1, 2)", "random (seed 1)"]


def test_a_cross_fitted_f1_is_not_xtremes_bucc():
    others = {task: value for task, value in XLMR_LARGE.items() if task != "bucc"}
    rows = scores_of(others) + scores_of({"bucc": 66.0}, metric="f1_cross_fitted")
    scores, lines = xtreme_scores(pd.DataFrame(rows))
    assert lines == ["every run: no overall score; bucc reports f1_cross_fitted"]
    assert "bucc (test)" not in scores and len(scores.columns) == 8


def test_a_run_without_any_whole_task_has_no_row():
    scores, lines = xtreme_scores(pd.DataFrame(scores_of({"udpos": 1.0})[:9]))
    assert scores.empty and "udpos in 9 of 33 languages" in lines[0]


def test_shared_scores_leave_out_what_a_run_lacks_and_what_is_not_of_xtreme():
    rows = scores_of({"xquad": 0.2, "tatoeba": 0.1})
    rows[0] |= {"value": 0.8}  # one of xquad's eleven languages, which the other run lacks
    rows += scores_of({"xquad": 0.4, "tatoeba": 0.3}, "stsb")[1:]
    rows.append(rows[1] | {"language": "qaa", "value": 0.0})
    scores = shared_scores(pd.DataFrame(rows))
    assert list(scores) == [
        "xquad (score, test, 10 of 11 languages)",
        "tatoeba (accuracy, test, 36 of 36 languages)",
        "mean of 2 tasks",
    ]
    assert scores.index.tolist() == [("none", 1, 1), ("stsb", 1, 1)]
    assert scores.to_numpy() == pytest.approx(np.array([[0.2, 0.1, 0.15], [0.4, 0.3, 0.35]]))


def test_a_run_without_one_of_the_tasks_has_no_mean_of_them():
    rows = scores_of({"xquad": 0.2, "tatoeba": 0.1}) + scores_of({"xquad": 0.4}, "stsb")
    scores = shared_scores(pd.DataFrame(rows))
    assert scores["mean of 2 tasks"].isna().tolist() == [False, True]
    assert shared_scores(pd.DataFrame([rows[0] | {"language": "qaa"}])).empty


def test_a_task_of_which_runs_share_no_language_is_left_out():
    rows = scores_of({"xquad": 0.2, "tatoeba": 0.1}) + scores_of({"tatoeba": 0.3}, "stsb")
    other = [row | {"condition": "stsb"} for row in scores_of({"xquad": 0.4})[:1]]
    first = [row for row in rows if row["target"] == "tatoeba" or row["language"] != "en"]
    assert other[0]["language"] == "en"
    scores = shared_scores(pd.DataFrame([*first, *other]))
    assert list(scores) == ["tatoeba (accuracy, test, 36 of 36 languages)", "mean of 1 tasks"]
