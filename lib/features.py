"""Turn examples into features: token ids, and labels as numbers.

One function per kind; each returns a list of features. A feature remembers its example (`example`),
so that a sentence split into pieces, or a context into windows, is put together again. Counts in
equal counts out: nothing is dropped without a word.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lib.batches import Feature
from lib.corpora import Example
from lib.errors import InputError
from lib.tasks import Task

SHORTEST = 8
RELATIONS = tuple(
    (
        "acl advcl advmod amod appos aux case cc ccomp clf compound conj cop csubj dep "
        "det discourse dislocated expl fixed flat goeswith iobj list mark nmod nsubj "
        "nummod obj obl orphan parataxis punct reparandum root vocative xcomp"
    ).split()
)


def make(
    task: Task, examples: Sequence[Example], tokenizer: Any, length: int, pair: str = "cross"
) -> list[Feature]:
    """Return the features of examples for a task, sequences of at most `length` subword tokens.

    What is longer is split (words, contexts), or cut with a line that counts it (pairs, choices,
    questions). Raises InputError for a label that the task does not have, and for an answer that
    is not where it should be.
    """
    longest = tokenizer.model_max_length
    if not SHORTEST <= length <= longest:
        raise InputError(f"max_sequence_length: found {length}, expected from {SHORTEST} to what "
                         f"the encoder reads, {longest:,}")  # fmt: skip
    if not examples:
        return []
    if task.kind in ("tagging", "parsing"):
        return _words(task, examples, tokenizer, length)
    if task.kind in ("regression", "classification"):
        return _pairs(task, examples, tokenizer, length, pair)
    if task.kind == "multiple_choice":
        return _choices(task, examples, tokenizer, length)
    if task.kind == "span":
        return _spans(task, examples, tokenizer, length)
    raise InputError(f"{task.name}: a {task.kind} task has no features of its own")


def with_labels(task: Task, examples: Sequence[Example]) -> Task:
    """Return the task with the tags of its training examples, where its labels are open."""
    if not task.open_labels:
        return task
    return replace(task, labels=tuple(sorted({tag for e in examples for tag in e["tags"]})))


def sentences(texts: Sequence[str], tokenizer: Any, length: int) -> list[Feature]:
    """Return one feature per sentence, for retrieval."""
    encoded = tokenizer(list(texts), truncation=True, max_length=length)
    _say_cut(encoded, "sentences", length)
    return [{"example": i, "input_ids": [ids]} for i, ids in enumerate(encoded["input_ids"])]


def split_words(
    words: Sequence[Sequence[str]], tokenizer: Any, length: int
) -> list[tuple[int, int, list[list[int]]]]:
    """Split sentences into pieces that fit: (sentence, first word, subword ids of each word).

    A word without any subword (zero-width characters, say) becomes the unknown token, so that every
    word keeps its label; a word longer than a whole piece is cut to it.
    """
    encoded = tokenizer(
        [list(sentence) or [""] for sentence in words],
        is_split_into_words=True,
        add_special_tokens=False,
    )
    pieces = []
    for number, sentence in enumerate(words):
        subwords: list[list[int]] = [[] for _ in sentence]
        for token, word in zip(encoded["input_ids"][number], encoded.word_ids(number), strict=True):
            if word is not None and sentence:
                subwords[word].append(token)
        subwords = [ids[: length - 2] or [tokenizer.unk_token_id] for ids in subwords]
        first, filled = 0, 0
        current: list[list[int]] = []
        for position, ids in enumerate(subwords):
            if current and filled + len(ids) > length - 2:
                pieces.append((number, first, current))
                first, filled, current = position, 0, []
            current.append(ids)
            filled += len(ids)
        if current:
            pieces.append((number, first, current))
    return pieces


def _words(task: Task, examples: Sequence[Example], tokenizer: Any, length: int) -> list[Feature]:
    features = []
    index = {label: i for i, label in enumerate(task.labels or RELATIONS)}
    for number, first, subwords in split_words([e["words"] for e in examples], tokenizer, length):
        example = examples[number]
        last = first + len(subwords)
        sizes = [len(ids) for ids in subwords]
        starts = np.concatenate([[1], 1 + np.cumsum(sizes)[:-1]]).tolist()
        feature: Feature = {
            "example": number,
            "first": first,
            "input_ids": [
                [
                    tokenizer.cls_token_id,
                    *(i for ids in subwords for i in ids),
                    tokenizer.sep_token_id,
                ]
            ],
            "starts": starts,
            "sizes": sizes,
        }
        if task.kind == "tagging":
            feature["labels"] = [
                # A tag that training never saw can be neither learned nor predicted.
                -100 if task.open_labels and tag not in index else _label(task, index, tag, example)
                for tag in example["tags"][first:last]
            ]
        else:
            # A head outside the piece cannot be learned from it: -100 leaves the arc out.
            heads = [
                head if head == 0 else head - first if first < head <= last else -100
                for head in example["heads"][first:last]
            ]
            names = [name.split(":")[0] for name in example["relations"][first:last]]
            feature["heads"] = heads
            feature["labels"] = [_label(task, index, name, example) for name in names]
        features.append(feature)
    return features


def _label(task: Task, index: dict[str, int], label: str, example: Example) -> int:
    if label not in index:
        raise InputError(f"{task.name}: example {example['id']}: label {label!r} is not one of "
                         f"{', '.join(index)}")  # fmt: skip
    return index[label]


def _say_cut(encoded: Any, what: str, length: int) -> None:
    """Say how many sequences were longer than the model reads, and lost their end."""
    full = [i for i, ids in enumerate(encoded["input_ids"]) if len(ids) >= length]
    number = sum(bool(encoded.encodings[i].overflowing) for i in full)
    if number:
        print(f"{number:,} of {len(encoded['input_ids']):,} {what} are longer than {length} "
              "subword tokens and are cut")  # fmt: skip


def _pairs(
    task: Task, examples: Sequence[Example], tokenizer: Any, length: int, pair: str
) -> list[Feature]:
    first = [example["sentence1"] for example in examples]
    alone = "sentence2" not in examples[0]
    second = None if alone else [example["sentence2"] for example in examples]
    if pair == "bi" and alone:
        raise InputError(f"{task.name}: pair: found 'bi', but it has single sentences: its columns "
                         "name no sentence2")  # fmt: skip
    if pair == "bi":
        sides = [tokenizer(side, truncation=True, max_length=length) for side in (first, second)]
        for encoded in sides:
            _say_cut(encoded, f"sentences of {task.name}", length)
        pairs = zip(*(encoded["input_ids"] for encoded in sides), strict=True)
        sequences = [list(both) for both in pairs]
    else:
        joined = tokenizer(first, second, truncation="longest_first", max_length=length)
        _say_cut(joined, f"{'sentences' if alone else 'pairs'} of {task.name}", length)
        sequences = [[ids] for ids in joined["input_ids"]]
    index = {label: i for i, label in enumerate(task.labels)}
    return [
        {
            "example": number,
            "input_ids": sequences[number],
            "labels": _share(task, example)
            if task.kind == "regression"
            else _label(task, index, str(example["label"]), example),
        }
        for number, example in enumerate(examples)
    ]


def _share(task: Task, example: Example) -> float:
    """Map a value on the task's scale to 0..1."""
    low, high = task.label_range
    try:
        value = float(example["label"])
    except (TypeError, ValueError):
        value = float("nan")
    if not low <= value <= high:
        raise InputError(f"{task.name}: example {example['id']}: label {example['label']!r} is not "
                         f"from {low:g} to {high:g}")  # fmt: skip
    return (value - low) / (high - low)


def _choices(task: Task, examples: Sequence[Example], tokenizer: Any, length: int) -> list[Feature]:
    """Pair what is given with each choice; where there is a context, the question goes with it.

    One sequence per choice, the longer side cut where both do not fit; the label is the place of
    the right choice.
    """
    index = {label: i for i, label in enumerate(task.labels)}
    given, offered = [], []
    for example in examples:
        question, context = example.get("question", ""), example.get("context", "")
        if len(example["choices"]) != len(index):
            raise InputError(f"{task.name}: example {example['id']} has {len(example['choices'])} "
                             f"choices, expected {len(index)}")  # fmt: skip
        for choice in example["choices"]:
            given.append(context or question)
            offered.append(f"{question} {choice}" if context and question else choice)
    encoded = tokenizer(given, offered, truncation="longest_first", max_length=length)
    _say_cut(encoded, f"choices of {task.name}", length)
    size = len(index)
    return [
        {
            "example": number,
            "input_ids": encoded["input_ids"][number * size : (number + 1) * size],
            "labels": _label(task, index, str(example["label"]), example),
        }
        for number, example in enumerate(examples)
    ]


def _spans(task: Task, examples: Sequence[Example], tokenizer: Any, length: int) -> list[Feature]:
    """Cut each context into overlapping windows; label the answer's first and last token.

    A feature says where in the context each token begins and ends, -1 outside of it. A window
    without the whole answer is labelled with position 0, the start token. An answer that
    no window holds whole, for its length, can be neither learned nor found: a line counts them.
    """
    room = length - length // 2 - tokenizer.num_special_tokens_to_add(pair=True)
    if room <= length // 4:
        raise InputError(f"max_sequence_length: {length} leaves {room} subword tokens beside a "
                         "question: too few for windows that overlap")  # fmt: skip
    questions = [" ".join(example["question"].split()) for example in examples]
    # A question may fill half of a window at most: the rest is for the context.
    cut = tokenizer(
        questions,
        add_special_tokens=False,
        truncation=True,
        max_length=length // 2,
        return_offsets_mapping=True,
    )
    _say_cut(cut, f"questions of {task.name}", length // 2)
    questions = [
        question[: ends[-1][1]] if ends else question
        for question, ends in zip(questions, cut["offset_mapping"], strict=True)
    ]
    encoded = tokenizer(
        questions,
        [example["context"] for example in examples],
        truncation="only_second",
        max_length=length,
        stride=length // 4,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    features = []
    for window, number in enumerate(encoded["overflow_to_sample_mapping"]):
        example = examples[number]
        context = [which == 1 for which in encoded.sequence_ids(window)]
        offsets = encoded["offset_mapping"][window]
        begins, ends = (
            [
                offset[side] if inside else -1
                for offset, inside in zip(offsets, context, strict=True)
            ]
            for side in (0, 1)
        )
        features.append(
            {
                "example": number,
                "input_ids": [encoded["input_ids"][window]],
                "begins": begins,
                "ends": ends,
                "labels": _answer_tokens(task, example, begins, ends),
            }
        )
    held = {feature["example"] for feature in features if feature["labels"] != [0, 0]}
    answered = [number for number, example in enumerate(examples) if example["answers"]]
    lost = len(set(answered) - held)
    if lost:
        print(f"{lost:,} of {len(answered):,} answers of {task.name} are in no window of {length} "
              "subword tokens")  # fmt: skip
    return features


def _answer_tokens(
    task: Task, example: Example, begins: Sequence[int], ends: Sequence[int]
) -> list[int]:
    if not example["answers"]:
        return [0, 0]
    begin = example["starts"][0]
    end = begin + len(example["answers"][0])
    if example["context"][begin:end] != example["answers"][0]:
        raise InputError(
            f"{task.name}: question {example.get('identifier', example['id'])}: the context holds "
            f"{example['context'][begin:end]!r} at {begin}, not {example['answers'][0]!r}"
        )
    # White space at an answer's edge is in no token, or in that of the next word.
    answer = example["answers"][0]
    begin += len(answer) - len(answer.lstrip())
    end -= len(answer) - len(answer.rstrip())
    tokens = zip(begins, ends, strict=True)
    touched = [i for i, (left, right) in enumerate(tokens) if left < end and right > begin]
    covered = touched and begins[touched[0]] <= begin and ends[touched[-1]] >= end
    return [touched[0], touched[-1]] if covered else [0, 0]
