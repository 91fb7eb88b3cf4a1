"""Predict without a model: the trivial baselines that stand beside every real score."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from lib import scoring
from lib.errors import InputError
from lib.scoring import Scores, score_classification, score_parsing, without_subtype
from lib.tasks import Task

Key = TypeVar("Key", bound=Hashable)
Label = TypeVar("Label", bound=Hashable)


# What the metrics of a target are called here that need no encoder.
NAMES = ("character_ngram_", "most_frequent_")


def parse_baselines(
    train_trees: Iterable[Mapping[str, Any]], test_trees: Iterable[Mapping[str, Any]]
) -> dict[str, Scores]:
    """Score two chains as parses of the test trees: `left_arc` and `right_arc`.

    Trees are rows with the columns `upos`, `head` (1-based, 0 is the root; numbers or digits) and
    `deprel`, one entry per word. `left_arc` hangs every word on the word before it, and the first
    on the root; `right_arc` on the word after it, and the last on the root. The word on the root
    is `root`; any other takes the most frequent relation, other than root and without subtype, of
    its UPOS in training, or of all training words where that UPOS was never seen.
    Returns `uas` and `las` as `lib.scoring.score_parsing` does.
    Raises InputError where a head is no whole number or nothing can be learnt.
    """
    majority, fallback = _majority_by_key(
        (upos, without_subtype(relation))
        for tree in train_trees
        for upos, relation in zip(tree["upos"], tree["deprel"], strict=True)
        if without_subtype(relation) != "root"
    )
    test_trees = list(test_trees)
    gold_heads = [_whole_heads(tree["head"], index) for index, tree in enumerate(test_trees)]
    gold_relations = [tree["deprel"] for tree in test_trees]
    chains = {
        "left_arc": [list(range(len(heads))) for heads in gold_heads],
        "right_arc": [[*range(2, len(heads) + 1), 0][: len(heads)] for heads in gold_heads],
    }
    scores = {}
    for name, chain in chains.items():
        relations = [
            [
                "root" if head == 0 else majority.get(upos, fallback)
                for upos, head in zip(tree["upos"], heads, strict=True)
            ]
            for tree, heads in zip(test_trees, chain, strict=True)
        ]
        scores[name] = score_parsing(gold_heads, gold_relations, chain, relations)
    return scores


def most_frequent_label(train_labels: Iterable[Label], test_labels: Sequence[Label]) -> Scores:
    """Score the most frequent training label as the answer to every test example."""
    return score_classification(test_labels, [_majority_class(train_labels)] * len(test_labels))


def most_frequent_tags(
    train: Iterable[tuple[Sequence[str], Sequence[str]]], test_words: Iterable[Sequence[str]]
) -> list[list[str]]:
    """Return each test word's most frequent tag in training, or the overall one if it is new.

    `train` holds words and tags, sentence by sentence.
    """
    by_word, fallback = _majority_by_key(
        pair for words, tags in train for pair in zip(words, tags, strict=True)
    )
    return [[by_word.get(word, fallback) for word in words] for words in test_words]


def bag_of_words_similarity(pairs: Iterable[tuple[str, str]]) -> np.ndarray:
    """Return the cosine of two sentences' word counts, float64 [pairs], 0 to 1.

    Words are lower-cased runs of letters and digits. A sentence without words is similar to none.
    """
    return np.array([_cosine(_word_counts(first), _word_counts(second)) for first, second in pairs])


def character_ngram_neighbours(
    source_sentences: Sequence[str], target_sentences: Sequence[str]
) -> np.ndarray:
    """Return the index of each source sentence's nearest target sentence, int64 [sources].

    Cosine of tf-idf weighted character 1- to 4-grams within words; document frequencies come from
    the very sentences compared, both sides, without labels. Ties go to the lowest index.
    Raises InputError where a side has no sentence or nothing but whitespace.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    for name, sentences in (("source", source_sentences), ("target", target_sentences)):
        if not any(sentence.strip() for sentence in sentences):
            raise InputError(f"{name}_sentences: no text, expected at least one sentence")
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4))
    vectorizer.fit([*source_sentences, *target_sentences])
    sources = vectorizer.transform(source_sentences)
    similarity = sources @ vectorizer.transform(target_sentences).T
    return np.round(similarity.toarray(), 10).argmax(axis=1)


def _majority_class(train_labels: Iterable[Label]) -> Label:
    """Return the most frequent label, of equals the one seen first. InputError without labels."""
    counts = Counter(train_labels)
    if not counts:
        raise InputError("training labels: none, expected at least one")
    return counts.most_common(1)[0][0]


def _majority_by_key(pairs: Iterable[tuple[Key, Label]]) -> tuple[dict[Key, Label], Label]:
    pairs = list(pairs)
    by_key: defaultdict[Key, list[Label]] = defaultdict(list)
    for key, label in pairs:
        by_key[key].append(label)
    majority = {key: _majority_class(labels) for key, labels in by_key.items()}
    return majority, _majority_class(label for _, label in pairs)


def _whole_heads(heads: Sequence[int | str], tree: int) -> list[int]:
    try:
        return [int(head) for head in heads]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"test_trees: heads of tree {tree} are {list(heads)}: expected whole numbers "
            "(multiword-token lines and empty nodes dropped)"
        ) from error


def _word_counts(sentence: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", sentence.lower()))


def _cosine(first: Counter[str], second: Counter[str]) -> float:
    product = sum(count * second[word] for word, count in first.items())
    lengths = math.hypot(*first.values()) * math.hypot(*second.values())
    return product / lengths if product else 0.0


def of_task(
    task: Task, examples: Sequence[dict[str, Any]], validation: Sequence[dict[str, Any]]
) -> dict[str, Scores]:
    """Score what needs no encoder on a task's validation set; question answering has none."""
    if task.kind == "parsing":
        train, test = (
            [{"upos": e["upos"], "head": e["heads"], "deprel": e["relations"]} for e in part]
            for part in (examples, validation)
        )
        return parse_baselines(train, test)
    if task.kind == "regression":
        pairs = [(example["sentence1"], example["sentence2"]) for example in validation]
        gold = [float(example["label"]) for example in validation]
        similarity = bag_of_words_similarity(pairs).tolist()
        return {"bag_of_words": scoring.score_regression(gold, similarity)}
    if task.kind in ("classification", "multiple_choice"):
        train_labels, labels = ([str(e["label"]) for e in part] for part in (examples, validation))
        return {"most_frequent": most_frequent_label(train_labels, labels)}
    if task.kind == "tagging":
        tagged = ((example["words"], example["tags"]) for example in examples)
        tags = most_frequent_tags(tagged, [example["words"] for example in validation])
        return {"most_frequent": scoring.score_tagging([e["tags"] for e in validation], tags)}
    return {}


def shown(scores: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the means of what needs no encoder, in the source language and over the others.

    `scores` are those of a study; a row per target and metric, values from 0 to 1.
    """
    rows = scores[scores["metric"].str.startswith(NAMES)]
    where = np.where(rows["language"] == source, "source", "zero-shot")
    return rows.assign(where=where).pivot_table("value", ["target", "metric"], "where", sort=False)
