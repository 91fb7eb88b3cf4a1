"""Work the baselines by hand, or compare them with scikit-learn's."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from lib.baselines import (
    bag_of_words_similarity,
    character_ngram_neighbours,
    most_frequent_label,
    most_frequent_tags,
    parse_baselines,
)
from lib.errors import InputError

TRAIN_TREES = [
    {"upos": ["DET", "NOUN", "VERB"], "head": [2, 3, 0], "deprel": ["det", "nsubj", "root"]},
    {"upos": ["NOUN", "NOUN"], "head": [0, 1], "deprel": ["root", "nmod:poss"]},
    {"upos": ["NOUN", "VERB"], "head": [2, 0], "deprel": ["nmod", "root"]},
]


def test_chains_are_scored_with_the_majority_relation_of_each_tag():
    # Majority: DET det; NOUN nmod (subtypes pooled, roots left out); VERB none but root, so the
    # most frequent relation of all, nmod.
    tree = {
        "upos": ["DET", "NOUN", "VERB", "NOUN"],
        "head": [2, 3, 0, 3],
        "deprel": ["det", "nsubj", "root", "nmod"],
    }
    scores = parse_baselines(TRAIN_TREES, [tree])
    # Left arcs 0 1 2 3 as root nmod nmod nmod; right arcs 2 3 4 0 as det nmod nmod root.
    assert scores["left_arc"].values == {"uas": 1 / 4, "las": 1 / 4}
    assert scores["right_arc"].values == {"uas": 2 / 4, "las": 1 / 4}


def test_a_tag_without_relations_takes_the_most_frequent_of_all():
    tree = {"upos": ["VERB", "VERB"], "head": [0, 1], "deprel": ["root", "nmod"]}
    assert parse_baselines(TRAIN_TREES, [tree])["left_arc"].values == {"uas": 1, "las": 1}


def test_a_sentence_without_words_is_no_arc_of_any_chain():
    trees = [{"upos": [], "head": [], "deprel": []},
             {"upos": ["NOUN", "NOUN"], "head": [0, 1], "deprel": ["root", "nmod"]}]  # fmt: skip
    scores = parse_baselines(TRAIN_TREES, trees)
    assert {name: each.values["uas"] for name, each in scores.items()} == {
        "left_arc": 1, "right_arc": 0
    }  # fmt: skip
    assert scores["left_arc"].n == 2


def test_heads_may_be_digits_as_in_the_hub_but_not_underscores():
    tree = {"upos": ["NOUN", "NOUN"], "head": ["2", "0"], "deprel": ["nmod", "root"]}
    assert parse_baselines(TRAIN_TREES, [tree])["right_arc"].values == {"uas": 1, "las": 1}
    with pytest.raises(InputError, match="heads of tree 0"):
        parse_baselines(TRAIN_TREES, [tree | {"head": ["_", "0"]}])


def test_bag_of_words_similarity_is_the_cosine_of_scikit_learns_counts():
    words = np.array(["the", "a", "cat", "dog", "sees", "red"])
    random = np.random.default_rng(0)
    sentences = [" ".join(random.choice(words, size=random.integers(1, 9))) for _ in range(60)]
    pairs = list(zip(sentences[::2], sentences[1::2], strict=True))
    counts = CountVectorizer(token_pattern=r"\S+").fit_transform(sentences)
    expected = np.diag(cosine_similarity(counts[::2], counts[1::2]))
    assert bag_of_words_similarity(pairs) == pytest.approx(expected)


def test_bag_of_words_similarity_of_hand_made_pairs():
    pairs = [("A cat sleeps.", "a CAT sleeps"), ("cat", "dog"), ("!", "!"), ("a a b", "a c")]
    # The last: counts (2, 1, 0) and (1, 0, 1), so 2 / (sqrt 5 * sqrt 2).
    assert bag_of_words_similarity(pairs) == pytest.approx([1, 0, 0, 2 / 10**0.5])


def test_character_ngrams_find_the_sentence_with_the_shared_name():
    sources = ["Berlin ist groß", "Anna schläft"]
    targets = ["it rains", "Anna sleeps", "Berlin is big"]
    assert character_ngram_neighbours(sources, targets).tolist() == [2, 1]


def test_character_ngrams_find_every_copy_and_the_first_of_equals():
    random = np.random.default_rng(1)
    sentences = ["".join(random.choice(list("abcdefgh "), size=30)) for _ in range(40)]
    order = random.permutation(40)
    targets = [sentences[index] for index in order]
    found = character_ngram_neighbours(sentences, targets + targets)
    assert found.tolist() == np.argsort(order).tolist()


def test_blank_sentences_are_refused_only_where_a_side_has_nothing_else():
    assert character_ngram_neighbours(["", "Anna"], ["Berlin", "Anna"]).tolist() == [0, 1]
    with pytest.raises(InputError, match="target_sentences"):
        character_ngram_neighbours(["Anna"], [" "])


def test_the_most_frequent_label_is_that_of_training():
    scores = most_frequent_label(["a", "b", "b"], ["a", "b", "a", "c"])
    assert scores.values["accuracy"] == 1 / 4
    assert scores.per_example.tolist() == [0, 1, 0, 0]


def test_a_word_takes_its_most_frequent_tag_and_a_new_word_the_overall_one():
    train = [(["the", "saw", "saw"], ["D", "N", "V"]), (["saw", "dog", "cat"], ["V", "N", "N"])]
    assert most_frequent_tags(train, [["saw", "dog"], ["the", "fish"]]) == [["V", "N"], ["D", "N"]]
