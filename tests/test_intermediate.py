"""Every intermediate task of the table loads, trains and is scored; bad data are one line."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, List, Value

from lib import (
    batches,
    corpora,
    encoder,
    evaluation,
    examples,
    features,
    heads,
    intermediate,
    profile,
    tasks,
    training,
)
from lib.errors import InputError
from lib.profile import Condition, Profile
from lib.tasks import Source

ROWS = [name for name in tasks.intermediate() if name != "mlm"]
WORDS = "rain snow wind cloud river stone leaf bird fox deer moss fern".split()
NLI, WHETHER = (
    ClassLabel(names=list(tasks.INFERENCE)),
    ClassLabel(names=["not_duplicate", "duplicate"]),
)
Write = Callable[..., None]


# Each task on a hub of a few lines: fabricated, with the hub's columns and class labels


def line(i: int) -> str:
    return f"the {WORDS[i % 12]} and the {WORDS[(5 * i + 1) % 12]}"


def pairs(n: int, first: str, second: str, label: str, values: Any) -> dict[str, Any]:
    return {
        first: [line(i) for i in range(n)],
        second: [line(i + 3) for i in range(n)],
        label: [values[i % len(values)] for i in range(n)],
    }


def questions(n: int, unanswerable: bool = False) -> dict[str, Any]:
    answers = [{"text": [WORDS[i % 12]], "answer_start": [4]} for i in range(n)]
    if unanswerable:
        answers[::3] = [{"text": [], "answer_start": []}] * len(answers[::3])
    return {"id": [f"q{i}" for i in range(n)], "title": ["t"] * n,
            "context": [line(i) for i in range(n)], "question": ["what is there"] * n,
            "answers": answers}  # fmt: skip


def endings(n: int) -> dict[str, Any]:
    return {"ctx": [line(i) for i in range(n)], "endings": [WORDS[:4]] * n,
            "label": [str(i % 4) for i in range(n)]}  # fmt: skip


def answers(n: int) -> dict[str, Any]:
    return {"context": [line(i) for i in range(n)], "question": ["which"] * n,
            **{f"answer{k}": [WORDS[k]] * n for k in range(4)},
            "label": [i % 4 for i in range(n)]}  # fmt: skip


def letters_of(n: int) -> dict[str, Any]:
    choices = {"label": list("ABCDE"), "text": WORDS[:5]}
    return {"question": [line(i) for i in range(n)], "choices": [choices] * n,
            "answerKey": ["ABCDE"[i % 5] for i in range(n)]}  # fmt: skip


def trees(n: int) -> dict[str, Any]:
    return {"tokens": [line(i).split() for i in range(n)], "head": [["2", "0", "5", "5", "2"]] * n,
            "deprel": [["det", "root", "cc", "det", "conj"]] * n,
            "upos": [["DET", "NOUN", "CCONJ", "DET", "NOUN"]] * n}  # fmt: skip


def write_ccgbank(folder: Path, n: int, single: bool = False) -> None:
    """Write AUTO files: n sentences to train on, half as many to validate on."""
    for section, size in (("02", n), ("00", n // 2)):
        derivations = []
        for i in range(size):
            tags = ["NP/N", "N", "conj", "NP/N", "N" if i % 2 else "N/N"]
            leaves = zip(["N"] * 5 if single else tags, line(i).split(), strict=True)
            inside = " ".join(f"(<L {tag} X X {word} {tag}>)" for tag, word in leaves)
            derivations.append(
                f"ID=wsj_{section}01.{i} PARSER=GOLD NUMPARSE=1\n(<T NP 0 2> {inside} )"
            )
        file = folder / "ccgbank" / "data" / "AUTO" / section / f"wsj_{section}01.auto"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(derivations), encoding="utf-8")


SPANS = {"text": List(Value("string")), "answer_start": List(Value("int32"))}


def made_up(repository: str, config: str, n: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return rows of a dataset, and the columns whose type the rows do not tell."""
    glue = {
        "stsb": (pairs(n, "sentence1", "sentence2", "label", [0.0, 2.5, 5.0, 3.2]), {}),
        "qqp": (pairs(n, "question1", "question2", "label", [0, 1]), {"label": WHETHER}),
        "mrpc": (
            pairs(n, "sentence1", "sentence2", "label", [0, 1]),
            {"label": ClassLabel(names=["not_equivalent", "equivalent"])},
        ),
    }
    nli = (pairs(n, "premise", "hypothesis", "label", [0, 1, 2, -1]), {"label": NLI})
    return {
        "sick": (pairs(n, "sentence_A", "sentence_B", "relatedness_score", [1.0, 5.0, 3.6]), {}),
        "nyu-mll/glue": glue.get(config),
        "google-research-datasets/paws": (
            pairs(n, "sentence1", "sentence2", "label", [0, 1]),
            {"label": ClassLabel(names=["0", "1"])},
        ),
        "nyu-mll/multi_nli": nli,
        "facebook/anli": nli,
        "stanfordnlp/snli": nli,
        "rajpurkar/squad": (questions(n), {}),
        "squadshifts": (questions(n), {}),
        "rajpurkar/squad_v2": (questions(n, unanswerable=True), {"answers": SPANS}),
        "Rowan/hellaswag": (endings(n), {}),
        "allenai/cosmos_qa": (answers(n), {}),
        "tau/commonsense_qa": (letters_of(n), {}),
        "commul/universal_dependencies": (
            trees(n),
            {"upos": List(ClassLabel(names=["DET", "NOUN", "CCONJ"]))},
        ),
    }[repository]  # type: ignore[return-value]


def sources(name: str) -> list[Source]:
    row = tasks.get(name)
    assert row.validation is not None
    return [*(tasks.TRAINING[source] for source in row.train), row.validation]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write) -> Profile:
    """Return a profile that trains each row for two updates on fabricated data."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    write_ccgbank(tmp_path, 24)
    trained = [tasks.TRAINING[source] for name in ROWS for source in tasks.get(name).train]
    for source in dict.fromkeys(each for name in ROWS if name != "ccg" for each in sources(name)):
        size = 24 if source in trained else 12
        rows, kinds = made_up(source.dataset, source.config, size)
        write(source.dataset, source.config, source.split, rows, **kinds)
    small = profile.load("small_cpu")
    budget = small.intermediate.model_copy(update={"updates": 2, "batch_tokens": 256})
    conditions = {name: Condition(task=name) for name in ROWS}
    conditions |= {f"text-{name}": Condition(task="mlm", text_of=name) for name in ROWS}
    conditions |= {f"{name}-bi": Condition(task=name, pair="bi") for name in ("sick", "qqp")}
    return small.model_copy(update={"conditions": conditions, "intermediate": budget})


def test_a_baseline_gets_a_quarter_of_four_choices_that_come_in_turn(settings: Profile) -> None:
    scores = intermediate.run_one(settings, "hellaswag", 1).scores.set_index(["moment", "metric"])
    floor = scores.loc["most_frequent", "value"].to_dict()
    # F1 of the label that is always said: 2 · 3 / (3 + 12); of the other three, 0.
    assert floor == pytest.approx({"accuracy": 1 / 4, "macro_f1": 0.4 / 4})


@pytest.mark.parametrize("name", ROWS)
def test_a_placebo_continues_mlm_on_the_text_of_every_row(settings: Profile, name: str) -> None:
    text = examples.text_of(intermediate.examples_of(settings, name, Condition(), 1))
    assert len(text) >= 24 and all(text)
    assert any("the rain and the snow" in sentence for sentence in text)
    if name == "hellaswag":
        assert set(WORDS[:4]) < set(text)


@pytest.mark.parametrize("condition", ["sick-bi", "qqp-bi"])
def test_sentence_pairs_of_every_task_may_be_read_as_two_vectors(
    settings: Profile, condition: str
) -> None:
    assert intermediate.run_one(settings, condition, 1).facts["head"].startswith("Bi")


# Bad data


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def broken(settings: Profile, write: Write) -> Callable[..., str]:
    """Return a function that changes the training data of a row and gives the refusal."""

    def change(name: str, edit: Callable[[dict[str, Any]], Any]) -> str:
        for source in sources(name)[:-1]:
            rows, kinds = made_up(source.dataset, source.config, 24)
            edit(rows)
            kept = {column: kind for column, kind in kinds.items() if column in rows}
            write(source.dataset, source.config, source.split, rows, **kept)
        corpora._table.cache_clear()
        return refused(lambda: intermediate.run_one(settings, name, 1))

    return change


@pytest.mark.parametrize("name", [name for name in ROWS if name != "ccg"])
def test_a_renamed_column_of_any_row_is_named(broken: Callable[..., str], name: str) -> None:
    source = sources(name)[0]
    column = list(source.columns.values())[-1].partition(".")[0]
    message = broken(name, lambda rows: rows.update(renamed=rows.pop(column)))
    assert column in message and "renamed" in message
    assert source.dataset in message and source.split in message


@pytest.mark.parametrize(
    ("name", "column", "label"),
    [
        ("sick", "relatedness_score", 0.5),
        ("stsb", "label", 5.5),
        ("hellaswag", "label", "4"),
        ("cosmos_qa", "label", 7),
        ("commonsense_qa", "answerKey", "F"),
    ],
)
def test_a_label_outside_the_declared_set_is_named(
    broken: Callable[..., str], name: str, column: str, label: Any
) -> None:
    message = broken(name, lambda rows: rows[column].__setitem__(5, label))
    assert name in message and str(label) in message


SINGLE = {
    "stsb": ("label", 2.5), "sick": ("relatedness_score", 2.5), "qqp": ("label", 1),
    "paws": ("label", 1), "mnli": ("label", 2), "anli": ("label", 2),
    "squad_v2": ("answers", {"text": [], "answer_start": []}), "hellaswag": ("label", "0"),
    "cosmos_qa": ("label", 0), "commonsense_qa": ("answerKey", "A"),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_labels_of_a_single_value_teach_nothing(broken: Callable[..., str], name: str) -> None:
    column, value = SINGLE[name]
    message = broken(name, lambda rows: rows.update({column: [value] * 24}))
    assert name in message and "every training label is" in message


def test_supertags_of_a_single_value_teach_nothing(settings: Profile, tmp_path: Path) -> None:
    write_ccgbank(tmp_path, 24, single=True)
    message = refused(lambda: intermediate.run_one(settings, "ccg", 1))
    assert message == "ccg: every training label is 'N'"


def test_another_size_than_the_published_one_is_a_line_with_both(
    settings: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    row = tasks.get("anli")
    corpora.load_training(settings, row, row.train, 0)
    assert "anli: 90 training examples; published: 1,104,934" in capsys.readouterr().out
    corpora.load_training(settings, row, row.train, 10)
    assert "published" not in capsys.readouterr().out


# Real data


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return encoder.load_tokenizer(profile.encoder_path(profile.load("small_cpu")))


@pytest.fixture
def found(mirror: Path) -> Iterator[Callable[[str], tuple[list[Any], list[Any]]]]:
    """Return a loader of training and validation examples; one stands in for a missing other."""
    real = profile.load("small_cpu")

    def load(name: str) -> tuple[list[Any], list[Any]]:
        row = tasks.get(name)
        *_, validation = sources(name)
        try:
            held_out = corpora.load(real, validation, limit=100)
        except InputError as error:
            pytest.skip(str(error))
        try:
            return corpora.load_training(real, row, row.train, 200), held_out
        except InputError:
            return held_out, held_out

    yield load


@pytest.mark.parametrize("name", ROWS)
def test_every_row_goes_through_two_updates_on_real_data_and_loses_no_example(
    found: Any, name: str, tokenizer: Any, small_encoder: Any, tmp_path: Path
) -> None:
    train, held_out = found(name)
    task = features.with_labels(tasks.get(name), train)
    made = features.make(task, train, tokenizer, 128)
    assert {feature["example"] for feature in made} == set(range(len(train)))
    head = heads.make(task, small_encoder(vocabulary=len(tokenizer), layers=1))
    lengths = [batches.number_of_tokens(feature) for feature in made]
    plan = batches.plan_updates(lengths, 1024, 2, 1)
    data = batches.Batches(made, plan, partial(head.collate, pad_id=tokenizer.pad_token_id))
    log = training.train(head, data, tmp_path, learning_rate=1e-3, warmup_ratio=0.1,
                         weight_decay=0.0, seed=1, what=name)  # fmt: skip
    assert len(log) == 2 and np.isfinite([entry["loss"] for entry in log]).all()
    scores, predictions = evaluation.evaluate(
        head, task, held_out, tokenizer, length=128, batch_tokens=4096
    )
    assert len(predictions) == scores.n == len(held_out) == 100
    assert np.isfinite(scores.values[task.reported])
    if task.kind in ("classification", "multiple_choice"):
        assert set(predictions) <= set(task.labels)
