"""Features lose no word and no answer, and say what the labels say."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lib import corpora, encoder, evaluation, features, heads, parsers, profile, tasks
from lib.errors import InputError
from lib.examples import permute_tree

UDPOS, XNLI, STSB, XQUAD, PARSING = map(tasks.get, ("udpos", "xnli", "stsb", "xquad", "ud_parsing"))
SICK, SWAG, COSMOS, COMMON, CCG = map(
    tasks.get, ("sick", "hellaswag", "cosmos_qa", "commonsense_qa", "ccg")
)
NOUN, VERB, PUNCT = map(UDPOS.labels.index, ("NOUN", "VERB", "PUNCT"))


def letter_ids(text: str) -> list[int]:
    """Say by hand what the letters tokenizer gives: `a` is 4."""
    return [ord(letter) - 93 for letter in text if letter != " "]


def tagged(*words: str, tag: str = "NOUN") -> dict[str, Any]:
    return {"id": "0", "words": list(words), "tags": [tag] * len(words)}


def tree(words: list[str], governors: list[int], relations: list[str]) -> dict[str, Any]:
    return {"id": "0", "words": words, "heads": governors, "relations": relations}


def question(context: str, answer: str, start: int | None = None) -> dict[str, Any]:
    place = context.index(answer) if start is None else start
    return {"id": "0", "identifier": "q7", "question": "who is it", "context": context,
            "answers": [answer], "starts": [place]}  # fmt: skip


class Oracle(torch.nn.Module):
    """Answer with the labels, so that only cutting and putting together are tested."""

    def __init__(self, kind: type[heads.Head]) -> None:
        super().__init__()
        self.collate = kind.collate
        self.anchor = torch.nn.Parameter(torch.zeros(1))

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        labels = batch["labels"]
        if "context" in batch:
            length = batch["input_ids"].shape[1]
            logits = torch.nn.functional.one_hot(labels, length).transpose(1, 2) * 10.0
            return {"predictions": logits}
        if "heads" in batch:
            return {"predictions": torch.stack([batch["heads"].clamp(min=0), labels], dim=-1)}
        return {"predictions": labels}


class Constant(Oracle):
    """Answer with the first label, whatever is asked."""

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"predictions": torch.zeros_like(batch["labels"])}


def evaluate(head: Any, task: tasks.Task, examples: list[Any], tokenizer: Any, length: int) -> Any:
    return evaluation.evaluate(
        head, task, examples, tokenizer, length=length, batch_tokens=40
    )  # fmt: skip


# Words


def test_words_carry_their_labels_at_their_first_subword(letters: Any) -> None:
    example = {"id": "0", "words": ["ab", "c", "def"], "tags": ["NOUN", "VERB", "PUNCT"]}
    (feature,) = features.make(UDPOS, [example], letters, 16)
    assert feature["input_ids"] == [[0, *letter_ids("abcdef"), 2]]
    assert feature["starts"] == [1, 3, 4]
    assert feature["sizes"] == [2, 1, 3]
    assert feature["labels"] == [NOUN, VERB, PUNCT]


def test_a_word_without_subwords_becomes_the_unknown_token_and_keeps_its_label(
    letters: Any,
) -> None:
    assert letters("\u200b", add_special_tokens=False)["input_ids"] == []
    example = {"id": "0", "words": ["ab", "\u200b", "c"], "tags": ["NOUN", "PUNCT", "VERB"]}
    (feature,) = features.make(UDPOS, [example], letters, 16)
    assert feature["input_ids"] == [[0, *letter_ids("ab"), 3, *letter_ids("c"), 2]]
    assert feature["starts"] == [1, 3, 4]
    assert feature["labels"] == [NOUN, PUNCT, VERB]


def test_a_long_sentence_is_cut_between_words_and_loses_none(letters: Any) -> None:
    words = ["abc", "de", "f", "ghij", "k", "lmnopqrstuvwxyz", "a"]
    example = tagged(*words) | {"tags": ["NOUN", "VERB", "NOUN", "VERB", "PUNCT", "NOUN", "VERB"]}
    made = features.make(UDPOS, [example], letters, 8)
    assert [feature["first"] for feature in made] == [0, 3, 5, 6]
    bodies = [feature["input_ids"][0][1:-1] for feature in made]
    # The word longer than a piece is cut to the six tokens that fit.
    assert bodies == [letter_ids(text) for text in ("abcdef", "ghijk", "lmnopq", "a")]
    labels = [label for feature in made for label in feature["labels"]]
    assert labels == [UDPOS.labels.index(tag) for tag in example["tags"]]


AWKWARD = [
    tagged("\u200b"),
    tagged("a", "\u200b", "\u200b", "b", tag="VERB"),
    tagged(*["abcde"] * 40, tag="PUNCT"),
    tagged("abcdefghijklmnopqrstuvwxyz" * 9, "a", tag="DET"),
    tagged("ab", "ÀÉ", "a b"),
]


def test_every_word_of_every_sentence_gets_one_tag(letters: Any, small_encoder: Any) -> None:
    head = heads.make(UDPOS, small_encoder())
    scores, tags = evaluate(head, UDPOS, AWKWARD, letters, 12)
    assert [len(row) for row in tags] == [len(example["words"]) for example in AWKWARD]
    assert scores.n > 0


def test_tags_of_cut_sentences_are_put_back_in_place(letters: Any) -> None:
    rng = np.random.default_rng(0)
    examples = [
        example | {"tags": rng.choice(UDPOS.labels, len(example["words"])).tolist()}
        for example in AWKWARD
    ]
    _, tags = evaluate(Oracle(heads.Tagger), UDPOS, examples, letters, 12)
    assert tags == [example["tags"] for example in examples]


def test_an_unknown_label_is_an_error_that_names_it(letters: Any) -> None:
    with pytest.raises(InputError, match=r"udpos.*'NOMEN'"):
        features.make(UDPOS, [tagged("a", tag="NOMEN")], letters, 16)
    pair = {"id": "0", "sentence1": "a", "sentence2": "b", "label": "maybe"}
    with pytest.raises(InputError, match=r"xnli.*'maybe'"):
        features.make(XNLI, [pair], letters, 16)


def test_open_labels_are_those_of_the_training_data(letters: Any) -> None:
    train = [tagged("a", "b", tag="N"), tagged("c", tag="NP/N")]
    task = features.with_labels(CCG, train)
    assert task.labels == ("N", "NP/N")
    assert features.with_labels(UDPOS, train) is UDPOS
    # A supertag that training never saw cannot be predicted: it counts, as a miss.
    unseen = [tagged("a", "b") | {"tags": ["N", "S\\NP"]}]
    (feature,) = features.make(task, unseen, letters, 16)
    assert feature["labels"] == [0, -100]
    constant = Constant(heads.Tagger)
    scores, tags = evaluate(constant, task, unseen, letters, 16)
    assert tags == [["N", "N"]]
    assert scores.values == {"accuracy": 0.5}


# Trees


def test_relations_lose_their_subtypes(letters: Any) -> None:
    example = tree(["a", "b", "c"], [2, 0, 2], ["nsubj:pass", "root", "obl:x"])
    (feature,) = features.make(PARSING, [example], letters, 16)
    assert feature["heads"] == [2, 0, 2]
    assert [features.RELATIONS[i] for i in feature["labels"]] == ["nsubj", "root", "obl"]


def test_an_arc_that_leaves_its_piece_is_not_learned(letters: Any) -> None:
    # Pieces of two words: 1-2, 3-4. Arcs from 2 to 4 and from 3 to 2 cross the border.
    example = tree(["abc", "def", "ghi", "jkl"], [2, 4, 2, 0], ["det", "obj", "det", "root"])
    made = features.make(PARSING, [example], letters, 8)
    assert [feature["heads"] for feature in made] == [[2, -100], [-100, 0]]


def test_trees_come_back_as_they_went_in(letters: Any) -> None:
    examples = [
        tree(["a", "bc", "\u200b"], [2, 0, 2], ["det", "root", "punct"]),
        tree(["abc"], [0], ["root"]),
    ]
    scores, trees = evaluate(Oracle(parsers.BiaffineParser), PARSING, examples, letters, 12)
    assert trees == [(example["heads"], example["relations"]) for example in examples]
    assert scores.values["las"] == scores.values["uas"] == pytest.approx(1.0)


def test_a_tree_in_pieces_is_one_tree_again(letters: Any) -> None:
    # Pieces 1-2 and 3-4, each with a root of its own: that of the second hangs on the first's.
    example = tree(["abc", "def", "ghi", "jkl"], [0, 1, 4, 1], ["root", "obj", "det", "conj"])
    _, trees = evaluate(Oracle(parsers.BiaffineParser), PARSING, [example], letters, 8)
    assert trees == [([0, 1, 4, 1], ["root", "obj", "det", "conj"])]


def depths(example: dict[str, Any]) -> list[int]:
    """Return each word's distance from the root; an endless walk would be a cycle."""
    found = []
    for word in range(1, len(example["heads"]) + 1):
        steps = 0
        while word:
            word = example["heads"][word - 1]
            steps += 1
            assert steps <= len(example["heads"]), "a cycle"
        found.append(steps)
    return found


def shape(example: dict[str, Any]) -> Counter[Any]:
    children = Counter(example["heads"])
    rows = zip(depths(example), example["relations"], strict=True)
    return Counter((*row, children[i + 1]) for i, row in enumerate(rows))


def test_a_permuted_tree_keeps_its_shape_and_loses_its_words() -> None:
    rng = np.random.default_rng(3)
    relations = np.array(["nsubj", "obj", "det", "amod", "conj"])
    moved = 0
    for number in [1, 2, 3, *rng.integers(4, 30, 40)]:
        # A random tree: each word hangs on an earlier one of a random order.
        order = rng.permutation(number)
        governors = np.zeros(number, dtype=int)
        for i in range(1, number):
            governors[order[i]] = order[rng.integers(i)] + 1
        names = rng.choice(relations, number)
        names[order[0]] = "root"
        example = tree([f"w{i}" for i in range(number)], governors.tolist(), names.tolist())
        permuted = permute_tree(example, rng)
        assert permuted["words"] == example["words"]
        assert permuted["heads"].count(0) == 1
        assert permuted["relations"][permuted["heads"].index(0)] == "root"
        assert shape(permuted) == shape(example)
        moved += permuted["heads"] != example["heads"]
    assert moved > 35


# Pairs


def test_a_pair_is_read_together_or_apart(letters: Any) -> None:
    pair = {"id": "0", "sentence1": "ab", "sentence2": "cde", "label": 2.5}
    (cross,) = features.make(STSB, [pair], letters, 16)
    assert cross["input_ids"] == [[0, *letter_ids("ab"), 2, 2, *letter_ids("cde"), 2]]
    assert cross["labels"] == 0.5
    (bi,) = features.make(STSB, [pair], letters, 16, "bi")
    assert bi["input_ids"] == [[0, *letter_ids("ab"), 2], [0, *letter_ids("cde"), 2]]


def test_a_row_without_a_second_sentence_classifies_single_ones(letters: Any) -> None:
    row = dataclasses.replace(tasks.get("xnli"), name="sentiment", labels=("good", "bad"))
    examples = [{"id": "1", "sentence1": "ab", "label": "bad"}]
    (made,) = features.make(row, examples, letters, 16)
    assert made["input_ids"] == [letters("ab")["input_ids"]] and made["labels"] == 1
    with pytest.raises(InputError, match="sentiment: pair: found 'bi', but it has single"):
        features.make(row, examples, letters, 16, "bi")


def test_of_a_pair_too_long_the_longer_sentence_is_cut(letters: Any) -> None:
    pair = {"id": "0", "sentence1": "ab", "sentence2": "cdefghijklmnop", "label": "neutral"}
    (feature,) = features.make(XNLI, [pair], letters, 10)
    assert feature["input_ids"] == [[0, *letter_ids("ab"), 2, 2, *letter_ids("cdef"), 2]]
    assert feature["labels"] == XNLI.labels.index("neutral")


def related(label: float) -> dict[str, Any]:
    return {"id": "0", "sentence1": "ab", "sentence2": "c", "label": label}


def test_a_relatedness_of_1_to_5_is_rescaled_and_comes_back(letters: Any) -> None:
    examples = [related(value) for value in (1.0, 2.0, 3.0, 5.0)]
    made = features.make(SICK, examples, letters, 16)
    assert [feature["labels"] for feature in made] == [0.0, 0.25, 0.5, 1.0]
    scores, values = evaluate(Oracle(heads.PairRegressor), SICK, examples, letters, 16)
    assert values == [1.0, 2.0, 3.0, 5.0]
    assert scores.values["pearson"] == pytest.approx(1.0)


@pytest.mark.parametrize(("task", "label"), [(SICK, 0.5), (SICK, 5.1), (STSB, -0.1)])
def test_a_label_off_its_scale_is_refused(letters: Any, task: tasks.Task, label: float) -> None:
    with pytest.raises(InputError, match=rf"{task.name}.*{label:g}.*from .* to 5"):
        features.make(task, [related(label)], letters, 16)


# Choices


def test_every_choice_is_read_with_what_is_given(letters: Any) -> None:
    swag = {"id": "0", "context": "ab", "choices": ["c", "d", "e", "f"], "label": "2"}
    cosmos = {"id": "0", "context": "ab", "question": "q", "choices": list("cdef"), "label": 3}
    common = {"id": "0", "question": "q", "choices": list("cdefg"), "label": "B"}
    for task, example, given, question, right in (
        (SWAG, swag, "ab", "", 2),
        (COSMOS, cosmos, "ab", "q", 3),
        (COMMON, common, "q", "", 1),
    ):
        (feature,) = features.make(task, [example], letters, 16)
        assert feature["labels"] == right
        assert feature["input_ids"] == [
            [0, *letter_ids(given), 2, 2, *letter_ids(question + choice), 2]
            for choice in example["choices"]
        ]


def test_of_a_choice_too_long_for_its_context_the_longer_is_cut(letters: Any) -> None:
    example = {"id": "0", "context": "abcdefghijkl", "choices": ["m", "n", "o", "p"], "label": "0"}
    (feature,) = features.make(SWAG, [example], letters, 10)
    assert feature["input_ids"][1] == [0, *letter_ids("abcde"), 2, 2, *letter_ids("n"), 2]


def test_choices_come_back_by_name_and_in_order(letters: Any) -> None:
    examples = [
        {"id": str(i), "question": "q" * (1 + i % 3), "choices": list("cdefg"), "label": label}
        for i, label in enumerate("DACEB")
    ]
    scores, names = evaluate(Oracle(heads.ChoiceScorer), COMMON, examples, letters, 16)
    assert names == list("DACEB")
    assert scores.values["accuracy"] == 1.0 and scores.n == 5


@pytest.mark.parametrize(("label", "choices"), [("4", list("abcd")), ("1", list("abc"))])
def test_a_choice_that_is_not_there_is_refused(letters: Any, label: str, choices: Any) -> None:
    example = {"id": "17", "context": "ab", "choices": choices, "label": label}
    with pytest.raises(InputError, match="hellaswag") as error:
        features.make(SWAG, [example], letters, 16)
    assert "'4'" in str(error.value) or "17 has 3 choices, expected 4" in str(error.value)


# Questions

LONG = " ".join(f"{a}{b} {b}{a}x" for a in "bcdfg" for b in "aeiou")
ANSWERS = [LONG[:2], "gu ugx", "do odx du", LONG[-3:], "bi"]


@pytest.mark.parametrize("answer", ANSWERS)
def test_windows_cover_the_context_and_hold_the_answer(letters: Any, answer: str) -> None:
    made = features.make(XQUAD, [question(LONG, answer)], letters, 48)
    assert len(made) > 2
    seen = set()
    found = []
    for feature in made:
        assert len(feature["input_ids"][0]) <= 48
        offsets = list(zip(feature["begins"], feature["ends"], strict=True))
        inside = [offset for offset in offsets if offset != (-1, -1)]
        for (left, right), token in zip(offsets, feature["input_ids"][0], strict=True):
            if left >= 0:
                assert letter_ids(LONG[left:right]) == [token]
        seen |= {place for left, right in inside for place in range(left, right)}
        first, last = feature["labels"]
        begin, end = LONG.index(answer), LONG.index(answer) + len(answer)
        whole = inside[0][0] <= begin and inside[-1][1] >= end
        if whole:
            text = LONG[feature["begins"][first] : feature["ends"][last]]
            found.append(text)
        else:
            assert (first, last) == (0, 0)
    assert seen == {place for place, letter in enumerate(LONG) if letter != " "}
    assert found and set(found) == {answer}


def test_answers_are_read_from_the_right_window(letters: Any) -> None:
    examples = [question(LONG, answer) for answer in ANSWERS]
    scores, answers = evaluate(Oracle(heads.SpanFinder), XQUAD, examples, letters, 48)
    assert answers == ANSWERS
    assert scores.values["exact_match"] == pytest.approx(1.0)


def test_answers_longer_than_any_that_is_given_are_counted(
    letters: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    context = "a" * 30 + " " + "b" * 31
    examples = [question(context, "a" * 30), question(context, "b" * 31)]
    evaluate(Oracle(heads.SpanFinder), XQUAD, examples, letters, 96)
    assert capsys.readouterr().out == (
        "xquad, en: 1 of 2 answers are longer than 30 subword tokens, the longest that is given\n"
    )


def test_no_answer_scores_what_it_does_where_it_scores_least() -> None:
    # Devlin et al. 2019: an answer in one window is not outvoted by the empty windows beside it.
    examples = [{"context": "ab"}]
    window = {"example": 0, "begins": [-1, 0, 1], "ends": [-1, 1, 2]}
    of_window = [np.array([[start, start], [1.0, 0.0], [0.0, 2.0]]) for start in (4.0, -1.0)]
    answers, margins = evaluation._answers(examples, [window] * 2, of_window)
    assert answers == ["ab"] and margins == [pytest.approx(-2.0 - 3.0)]


def test_a_question_without_an_answer_gets_none_and_others_keep_theirs(letters: Any) -> None:
    # Several windows each: most of an answered question's hold no answer, and say so.
    answerable = question(LONG, "gu ugx")
    nothing = answerable | {"answers": [], "starts": []}
    row = dataclasses.replace(XQUAD, answer_rules="squad_v2")
    examples = [answerable, nothing]
    scores, answers = evaluate(Oracle(heads.SpanFinder), row, examples, letters, 48)
    assert answers == ["gu ugx", ""]
    assert scores.values["f1"] == scores.values["best_exact_match"] == 1.0
    with pytest.raises(InputError, match="question q7 has no answer"):
        evaluate(Oracle(heads.SpanFinder), XQUAD, examples, letters, 48)


class OneWordEarly(Oracle):
    """Begin the answer three tokens too early."""

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return super().forward(**batch | {"labels": batch["labels"] - torch.tensor([3, 0])})


def test_mlqa_forgives_an_article_of_the_examples_language(letters: Any) -> None:
    example = question("das ist die katze", "katze", 12)
    found = {}
    for name, language in (("mlqa", "de"), ("mlqa", "es"), ("xquad", "de")):
        scores, answers = evaluation.evaluate(
            OneWordEarly(heads.SpanFinder), tasks.get(name), [example], letters, length=48,
            batch_tokens=48, language=language,
        )  # fmt: skip
        assert answers == ["die katze"]
        found[name, language] = scores.values["exact_match"]
    assert found == {("mlqa", "de"): 1.0, ("mlqa", "es"): 0.0, ("xquad", "de"): 0.0}


def test_the_second_of_two_equal_words_is_found_by_its_offset(letters: Any) -> None:
    (feature,) = features.make(XQUAD, [question("aa bb aa", "aa", 6)], letters, 48)
    first, last = feature["labels"]
    assert (feature["begins"][first], feature["ends"][first]) == (6, 7)
    assert (feature["begins"][last], feature["ends"][last]) == (7, 8)


def test_an_answer_that_is_not_where_it_should_be_is_an_error(letters: Any) -> None:
    with pytest.raises(InputError, match="q7") as error:
        features.make(XQUAD, [question("aa bb", "bb", 1)], letters, 48)
    assert "'a '" in str(error.value) and "'bb'" in str(error.value)


@pytest.mark.parametrize("answer", [" bb", "bb ", " bb  "])
def test_white_space_around_an_answer_is_no_part_of_it(answer: str, letters: Any) -> None:
    context = "aa bb  cc"
    plain, spaced = features.make(
        XQUAD, [question(context, "bb", 3), question(context, answer, context.index(answer))],
        letters, 48,
    )  # fmt: skip
    assert spaced["labels"] == plain["labels"] != [0, 0]


def test_a_question_without_an_answer_trains_on_the_start_token(letters: Any) -> None:
    unanswerable = question("aa bb", "aa") | {"answers": [], "starts": []}
    made = features.make(tasks.get("squad_v2"), [unanswerable, question("aa", "aa")], letters, 48)
    labels = [feature["labels"] for feature in made]
    assert labels[0] == [0, 0] and labels[1] != [0, 0]


def test_no_examples_make_no_features(letters: Any) -> None:
    assert features.make(XQUAD, [], letters, 48) == []


def test_retrieval_sentences_are_cut_to_the_length(letters: Any) -> None:
    made = features.sentences(["abcdef", "a"], letters, 5)
    assert [feature["input_ids"] for feature in made] == [
        [[0, *letter_ids("abc"), 2]],
        [[0, *letter_ids("a"), 2]],
    ]


@pytest.mark.parametrize("letters_in_question", [30, 60])
def test_a_question_that_fills_the_window_is_cut_or_refused_in_one_line(
    letters: Any, letters_in_question: int
) -> None:
    example = question("aa bb " * 30, "bb") | {"question": "z" * letters_in_question}
    try:
        made = features.make(XQUAD, [example], letters, 40)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert max(len(feature["input_ids"][0]) for feature in made) <= 40


# Real data


@pytest.fixture(scope="module")
def unigram() -> Any:
    """Return a tokenizer of our own kind, trained on a little text of several scripts."""
    settings = profile.load("small_cpu")
    codes = ("en", "ar", "hi", "ru", "th", "zh")
    lines = [e["text"] for c in codes for e in corpora.load(settings, tasks.TEXT, c)[:400]]
    return encoder.train_tokenizer(lines, 4000)


@pytest.mark.parametrize("code", ["en", "ar", "hi", "ja", "th", "vi", "zh"])
def test_every_word_of_real_text_has_a_subword(mirror: Path, request: Any, code: str) -> None:
    tokenizer = request.getfixturevalue("unigram")
    source = corpora.evaluation_source(UDPOS)
    examples = corpora.load(profile.load("small_cpu"), source, code, 500)
    made = features.make(UDPOS, examples, tokenizer, 64)
    words = Counter[int]()
    for feature in made:
        assert len(feature["input_ids"][0]) <= 64
        assert min(feature["sizes"]) >= 1
        assert len(feature["starts"]) == len(feature["labels"]) == len(feature["sizes"])
        words[feature["example"]] += len(feature["labels"])
    assert words == {i: len(example["words"]) for i, example in enumerate(examples)}


@pytest.mark.parametrize("code", ["en", "ar", "hi", "zh"])
def test_every_real_answer_is_in_a_window(mirror: Path, request: Any, code: str) -> None:
    tokenizer = request.getfixturevalue("unigram")
    source = corpora.evaluation_source(XQUAD)
    examples = corpora.load(profile.load("small_cpu"), source, code, 200)
    found: dict[int, list[str]] = {}
    for feature in features.make(XQUAD, examples, tokenizer, 256):
        first, last = feature["labels"]
        if first:
            left, right = feature["begins"][first], feature["ends"][last]
            context = examples[feature["example"]]["context"]
            found.setdefault(feature["example"], []).append(context[left:right])
    # An answer over a quarter of a window long may fall between two of them.
    assert len(found) >= 0.99 * len(examples)
    for number, texts in found.items():
        answer = examples[number]["answers"][0]
        # Tokens may reach beyond the answer, by a part of a word or a mark.
        assert all(answer in text for text in texts)
