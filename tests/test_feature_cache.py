"""Features from the disk are those that would be made anew."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib import feature_cache, features, paths, tasks
from lib.errors import InputError
from lib.tasks import Task

PAIRS = [{"id": str(i), "sentence1": "ab c", "sentence2": "d" * (8 * i + 1), "label": label}
         for i, label in enumerate(("neutral", "entailment", "contradiction"))]  # fmt: skip
WORDS = [{"id": "0", "words": ["ab", "c"], "heads": [2, 0], "relations": ["det", "root"],
          "tags": ["DET", "NOUN"]}]  # fmt: skip
QUESTIONS = [{"id": "0", "question": "a b", "context": "cd ef gh " * 9, "answers": ["ef"],
              "starts": [3]}]  # fmt: skip
SCORED = [{"id": "0", "sentence1": "a", "sentence2": "b", "label": 1.7}]
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "xnli": PAIRS, "ud_parsing": WORDS, "udpos": WORDS, "xquad": QUESTIONS, "stsb": SCORED,
}  # fmt: skip


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the features of each test in a folder of its own."""
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    return tmp_path / ".features"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the tasks whose features were made, as they are made."""
    names: list[str] = []
    make = features.make

    def counted(task: Task, *arguments: Any) -> Any:
        names.append(task.name)
        return make(task, *arguments)

    monkeypatch.setattr(features, "make", counted)
    return names


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_was_made_once_is_read_and_is_the_same(
    name: str, letters: Any, made: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = tasks.get(name), EXAMPLES[name], letters, 20
    expected = features.make(*arguments)
    said = capsys.readouterr().out
    made.clear()
    for _ in range(2):
        assert feature_cache.make(*arguments) == expected
        assert capsys.readouterr().out == said
    assert made == [name]


def test_a_line_about_what_was_cut_is_said_again(
    letters: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        feature_cache.make(tasks.get("xnli"), PAIRS, letters, 12)
        assert "2 of 3 pairs of xnli are longer than 12" in capsys.readouterr().out


def test_whatever_changes_the_features_makes_them_anew(
    letters: Any, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    xnli = tasks.get("xnli")
    feature_cache.make(xnli, PAIRS, letters, 24)
    turned = replace(xnli, labels=xnli.labels[::-1])
    others = [
        (turned, PAIRS, letters, 24), (xnli, PAIRS[:2], letters, 24), (xnli, PAIRS, letters, 23),
        (xnli, PAIRS, letters, 24, "bi"),
    ]  # fmt: skip
    for number, arguments in enumerate(others):
        feature_cache.make(*arguments)
        assert len(made) == number + 2
    # A call that cut its batch leaves that setting in the tokenizer; the tokenizer is the same.
    letters("abc", truncation=True, max_length=2)
    feature_cache.fingerprint.cache_clear()
    feature_cache.make(xnli, PAIRS, letters, 24)
    assert len(made) == 5
    monkeypatch.setattr(feature_cache, "_version", lambda: "another")
    feature_cache.make(xnli, PAIRS, letters, 24)
    assert len(made) == 6


def test_another_tokenizer_is_another_key(letters: Any, made: list[str]) -> None:
    wider = deepcopy(letters)
    wider.add_tokens(["ab"])
    for tokenizer in (letters, wider, letters):
        feature_cache.make(tasks.get("udpos"), WORDS, tokenizer, 20)
    assert len(made) == 2


@pytest.mark.parametrize("content", [b"", b'{"said": "", "featu', b"[]", b"\xff\xfe"])
def test_a_damaged_file_is_made_anew(
    content: bytes, letters: Any, made: list[str], store: Path
) -> None:
    arguments = tasks.get("udpos"), WORDS, letters, 20
    expected = feature_cache.make(*arguments)
    (file,) = store.glob("*.json")
    file.write_bytes(content)
    assert feature_cache.make(*arguments) == expected
    assert json.loads(file.read_bytes())["features"] == expected
    assert len(made) == 2


def test_a_wrong_label_is_refused_each_time_and_nothing_is_kept(letters: Any, store: Path) -> None:
    wrong = [PAIRS[0] | {"label": "maybe"}]
    for _ in range(2):
        with pytest.raises(InputError, match="label 'maybe' is not one of"):
            feature_cache.make(tasks.get("xnli"), wrong, letters, 24)
    assert not store.exists()


def test_what_was_said_before_a_refusal_is_said(
    letters: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [*PAIRS[:2], PAIRS[2] | {"label": "maybe"}]
    with pytest.raises(InputError):
        feature_cache.make(tasks.get("xnli"), wrong, letters, 12)
    assert "2 of 3 pairs of xnli are longer than 12" in capsys.readouterr().out


def test_without_a_place_to_keep_them_features_are_made_all_the_same(
    letters: Any, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write_text("a file where the folder should be")
    arguments = tasks.get("xnli"), PAIRS, letters, 24
    assert feature_cache.make(*arguments) == features.make(*arguments)
    assert f"{paths.features()}: features are not kept" in capsys.readouterr().err
