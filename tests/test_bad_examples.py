"""Every bad input has one outcome: a refusal in one line, or all of it kept, with equal counts.

Each task of the tables below is one kind: tagging, parsing, pairs, choices, questions, retrieval,
mining. Its files are good but for one thing, and whole phases run over them.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
import yaml
from datasets import ClassLabel, List, Value
from pyarrow import parquet

from lib import (
    corpora,
    encoder,
    evaluation,
    features,
    heads,
    intermediate,
    paths,
    profile,
    tasks,
    transfer,
)
from lib.errors import InputError
from lib.profile import Profile
from lib.tasks import Source

Rows = dict[str, list[Any]]
Edit = Callable[[Rows], Any]
Write = Callable[..., None]
NLI = ClassLabel(names=list(tasks.INFERENCE))
POS = List(ClassLabel(names=list(tasks.UPOS)))
SPANS = {"text": List(Value("string")), "answer_start": List(Value("int32"))}
INTERMEDIATE = ("ud_parsing", "stsb", "cosmos_qa", "hellaswag", "commonsense_qa", "squad_v2")
TARGETS = ("udpos", "xnli", "xquad", "tatoeba", "bucc")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, letters: Any) -> Path:
    """Return the folder of a small encoder whose tokens are letters."""
    folder = tmp_path_factory.mktemp("encoder")
    sizes = profile.Encoder(
        layers=1, hidden_size=16, attention_heads=2, feed_forward_size=32, dropout=0.0
    )
    encoder.save(encoder.new(sizes, 31), letters, folder)
    return folder


@pytest.fixture
def real(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    saved: Path,
) -> Profile:
    """Return a profile of real languages over the test's own folder; a training is one update."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    budget = {"updates": 1, "batch_tokens": 64, "max_sequence_length": 24}
    content = {
        "summary": "One update.", "languages": ["en", "de", "zh"],
        "encoder": {"path": str(saved)}, "pretraining": {}, "intermediate": budget,
        "conditions": {"none": {}, "random": {"random_encoder": True}}
        | {name: {"task": name} for name in INTERMEDIATE},
        "targets": {name: budget for name in TARGETS[:3]} | {name: {} for name in TARGETS[3:]},
        "clean_targets": [], "seeds": {1: 1},
    }  # fmt: skip
    file = tmp_path_factory.mktemp("profiles") / "bad_input.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return profile.load(str(file))


# Good files


def good(name: str, moment: str) -> tuple[Rows, dict[str, Any]]:
    """Return the rows that a task is trained or evaluated on, and columns of declared types."""
    pair = {"sentence1": list("abcd"), "sentence2": list("efgh")}
    asked = {"id": list("pqrs"), "context": [f"{x}a bb" for x in "abcd"], "question": list("qrst")}
    answers = [{"text": ["bb"], "answer_start": [3]}] * 4
    if name == "udpos":
        tags = [[7, 15], [7], [15, 7], [7]]
        return {"tokens": [["a", "b"], ["c"], ["d", "e"], ["f"]], "pos_tags": tags}, {
            "pos_tags": POS
        }
    if name == "ud_parsing":
        return {
            "tokens": [["a", "b"], ["c", "d"], ["e"], ["f"]],
            "head": [["0", "1"], ["2", "0"], ["0"], ["0"]],
            "deprel": [["root", "obj"], ["det", "root"], ["root"], ["root"]],
            "upos": [["VERB", "NOUN"], ["DET", "NOUN"], ["X"], ["X"]],
        }, {}
    if name == "xnli" and moment == "training":
        return {"premise": list("abcd"), "hypothesis": list("efgh"), "label": [0, 1, 2, 0]}, {
            "label": NLI
        }
    if name == "xnli":
        labels = ["neutral", "entailment", "neutral", "contradiction"]
        return pair | {"language": ["de"] * 4, "gold_label": labels}, {}
    if name == "stsb":
        return pair | {"label": [0.0, 5.0, 2.5, 1.0]}, {}
    if name == "cosmos_qa":
        given = {"context": list("abcd"), "question": list("qrst"), "label": [0, 1, 2, 3]}
        return given | {f"answer{i}": list("efgh") for i in range(4)}, {}
    if name == "hellaswag":
        return {"ctx": list("abcd"), "endings": [list("efgh")] * 4, "label": list("0123")}, {}
    if name == "commonsense_qa":
        choices = {"label": list("ABCDE"), "text": list("efghi")}
        return {"question": list("abcd"), "choices": [choices] * 4, "answerKey": list("ABCD")}, {}
    if name in ("xquad", "squad_v2"):
        return asked | {"answers": answers}, {"answers": SPANS}
    if name == "tatoeba":
        return {"source_sentence": list("abcd"), "target_sentence": list("efgh")}, {}
    words = ["abc", "de", "fgh", "ij", "kl"]
    gold = [[i, i] for i in range(1, 6)]
    return {"sentence1": [words], "sentence2": [words], "gold": [gold]}, {}


def source_of(name: str, moment: str) -> Source:
    """Return the source itself, its configuration filled in for German (Chinese in mining)."""
    row = tasks.get(name)
    if moment == "training":
        return tasks.TRAINING[row.train[0]]
    source = row.evaluation or row.validation
    assert source is not None
    code = "zh" if name == "bucc" else "de"
    config = source.config.format(code=code, iso3="deu", name="German")
    return Source(source.dataset, config, source.split, source.columns)


def put(write: Write, name: str, moment: str, edit: Edit = lambda rows: None) -> None:
    rows, kinds = good(name, moment)
    types = {column: type(rows[column][0]) for column in kinds}
    edit(rows)
    source = source_of(name, moment)
    kinds = {
        column: kind
        for column, kind in kinds.items()
        if column in rows and type(rows[column][0]) is types[column]
    }
    write(source.dataset, source.config, source.split, rows, **kinds)
    corpora._table.cache_clear()


def put_good(write: Write, name: str) -> None:
    for moment in ("training", "evaluation") if tasks.get(name).train else ("evaluation",):
        put(write, name, moment)


def run(settings: Profile, name: str) -> Any:
    if name in INTERMEDIATE:
        return intermediate.run_one(settings, name, 1)
    return transfer.run(settings, "none", name, 1)[0]


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", [*INTERMEDIATE, *TARGETS])
def test_the_good_files_run(real: Profile, write: Write, name: str) -> None:
    put_good(write, name)
    done = run(real, name)
    assert done.scores["value"].between(-1, 1).all()
    assert set(done.scores["n"]) == {5 if name == "bucc" else 4}


# Refused: the table


def set_(column: str, value: Any) -> Edit:
    """Change one value: that of example 1."""
    return lambda rows: rows[column].__setitem__(1, value)


def all_(column: str, value: Any) -> Edit:
    return lambda rows: rows.update({column: [value] * len(rows[column])})


def renamed(column: str) -> Edit:
    return lambda rows: rows.update(other=rows.pop(column))


def side(column: str, edit: Callable[[list[Any]], Any]) -> Edit:
    """Change a list of mining: a side, or the gold pairs."""
    return lambda rows: edit(rows[column][0])


def twice(rows: Rows) -> None:
    for values in rows.values():
        values += values


@dataclass(frozen=True)
class Bad:
    """Say what is wrong, in which of a task's files, and what the line must hold."""

    name: str
    what: str
    edit: Edit = field(hash=False, repr=False)
    said: tuple[str, ...]
    moments: tuple[str, ...] = ("training", "evaluation")


TRAINING, EVALUATION = ("training",), ("evaluation",)
NO_ANSWER: dict[str, list[Any]] = {"text": [], "answer_start": []}
TABLE = [
    # Tagging
    Bad("udpos", "renamed words", renamed("tokens"), ("no column 'tokens'", "'other'")),
    Bad("udpos", "renamed tags", renamed("pos_tags"), ("no column 'pos_tags'", "'other'")),
    Bad("udpos", "text for a list", all_("tokens", "ab cd"), ("'ab cd', expected a list",)),
    Bad("udpos", "no sentence", set_("tokens", None), ("example 1", "tokens is None")),
    Bad("udpos", "no word", set_("tokens", [None]), ("example 1", "[None], expected text")),
    Bad("udpos", "no tags", set_("pos_tags", None), ("example 1", "pos_tags is None")),
    Bad("udpos", "tag without token", set_("pos_tags", [7, 7]), ("1: 1 tokens, 2 pos_tags",)),
    Bad("udpos", "token without tag", set_("tokens", ["c", "d"]), ("1: 2 tokens, 1 pos_tags",)),
    Bad("udpos", "a tag of -1", set_("pos_tags", [-1]), ("example 1", "[-1]")),
    Bad("udpos", "one tag alone", lambda rows: rows.update(
        pos_tags=[[7] * len(words) for words in rows["tokens"]]), ("label is 'NOUN'",)),
    Bad("udpos", "empty sentences alone", lambda rows: rows.update(
        tokens=[[]] * 4, pos_tags=[[]] * 4), ("every example has empty tokens",)),
    # Parsing
    *(Bad("ud_parsing", f"renamed {column}", renamed(column), (column, "other"))
      for column in ("tokens", "head", "deprel")),
    Bad("ud_parsing", "text for a list", all_("head", "01"), ("head string",)),
    Bad("ud_parsing", "no relations", set_("deprel", None), ("example 1", "deprel is None")),
    Bad("ud_parsing", "word without head", set_("head", ["2"]), ("1: 2 tokens, 1 head",)),
    Bad("ud_parsing", "relation without head", set_("head", ["2", "_"]),
        ("example 1", "'d' has a relation but no head")),
    Bad("ud_parsing", "head beyond the end", set_("head", ["3", "0"]), ("example 1", "0 to 2")),
    Bad("ud_parsing", "negative head", set_("head", ["-1", "0"]), ("example 1", "0 to 2")),
    Bad("ud_parsing", "head of itself", set_("head", ["1", "0"]), ("example 1", "itself")),
    Bad("ud_parsing", "head that is no number", set_("head", ["x", "0"]), ("example 1", "'x'")),
    Bad("ud_parsing", "undeclared relation", set_("deprel", ["subject", "root"]),
        ("example 1", "'subject' is not one of acl, ")),
    Bad("ud_parsing", "stripped trees", lambda rows: rows.update(
        head=[["_"] * len(r) for r in rows["head"]], deprel=[["_"] * len(r) for r in rows["head"]]),
        ("every example has empty tokens",)),
    # Pairs
    Bad("xnli", "renamed sentence", renamed("premise"), ("no column 'premise'",), TRAINING),
    Bad("xnli", "no sentence", set_("premise", None), ("1: premise is None",), TRAINING),
    Bad("xnli", "blank sentences alone", all_("premise", " "), ("blank premise",), TRAINING),
    Bad("xnli", "one label alone", all_("label", 1), ("label is 'neutral'",), TRAINING),
    Bad("xnli", "stripped labels", all_("label", -1), ("no example has a label",), TRAINING),
    Bad("xnli", "renamed label", renamed("gold_label"), ("no column 'gold_label'",), EVALUATION),
    Bad("xnli", "renamed language", renamed("language"), ("no column 'language'",), EVALUATION),
    Bad("xnli", "no sentence", set_("sentence2", None), ("1: sentence2 is None",), EVALUATION),
    Bad("xnli", "undeclared label", set_("gold_label", "maybe"),
        ("xnli: example 1", "'maybe' is not one of"), EVALUATION),
    Bad("xnli", "one label alone", all_("gold_label", "neutral"), ("every label is 'neutral'",),
        EVALUATION),
    *(Bad("xnli", f"stripped labels {nothing!r}", all_("gold_label", nothing),
          ("no example has a label",), EVALUATION) for nothing in ("", "-1", -1, None)),
    Bad("xnli", "a number for text", all_("premise", 7), ("premise is 7, expected text",),
        TRAINING),
    Bad("stsb", "label off its scale", set_("label", 5.5), ("example 1", "5.5", "from 0 to 5")),
    Bad("stsb", "label that is no number", set_("label", float("nan")), ("example 1", "nan")),
    Bad("stsb", "text for a number", lambda rows: rows.update(label=["0", "5", "2", "high"]),
        ("example 3: label 'high' is not from 0 to 5",), TRAINING),
    Bad("stsb", "text for a number", all_("label", "high"), ("label string",), EVALUATION),
    Bad("stsb", "one value alone", all_("label", 2.5), ("label is 2.5",)),
    Bad("stsb", "stripped labels", all_("label", -1.0), ("no example has a label",)),
    # Choices
    Bad("cosmos_qa", "renamed choice", renamed("answer2"), ("answer2", "other")),
    Bad("cosmos_qa", "no choice", set_("answer2", None), ("example 1", "answer2 is None")),
    Bad("cosmos_qa", "undeclared label", set_("label", 4), ("example 1", "'4' is not one of 0,")),
    Bad("cosmos_qa", "one label alone", all_("label", 2), ("label is 2",)),
    Bad("hellaswag", "too few choices", set_("endings", ["e"]), ("1 has 1 choices, expected 4",)),
    Bad("hellaswag", "text for a list", all_("endings", "efgh"), ("endings string",)),
    Bad("hellaswag", "no choice", set_("endings", ["e", None, "g", "h"]), ("1: endings is ['e',",)),
    Bad("hellaswag", "stripped labels", all_("label", ""), ("no example has a label",)),
    Bad("commonsense_qa", "no choices", set_("choices", None), ("example 1", "'text'")),
    Bad("commonsense_qa", "renamed field", all_("choices", {"texts": list("efghi")}),
        ("choices struct<texts", "label: list")),
    # Questions
    *(Bad(name, *rest) for name in ("xquad", "squad_v2") for rest in (
        ("renamed context", renamed("context"), ("context", "other")),
        ("no context", set_("context", None), ("1: context is None",)),
        ("no question", set_("question", None), ("1: question is None",)),
        ("context without its answer", set_("answers", {"text": ["cc"], "answer_start": [3]}),
         ("question q", "'bb' at 3, not 'cc'")),
        ("answer before the context", set_("answers", {"text": ["b"], "answer_start": [-1]}),
         ("question q", "at -1, not 'b'")),
        ("answer without text", set_("answers", {"text": [" "], "answer_start": [2]}),
         ("1: an answer without text",)),
        ("answer without a place", set_("answers", {"text": ["bb"], "answer_start": []}),
         ("example 1", "as many `text` as `answer_start`")),
        ("stripped answers", all_("answers", {"text": [""], "answer_start": [0]}),
         ("an answer without text, one of 4",)),
        ("no answer at all", all_("answers", NO_ANSWER), ("label is 'no answer'",)),
    )),
    Bad("xquad", "text for answers", all_("answers", "bb"), ("answers is 'bb', expected",)),
    Bad("xquad", "a question without an answer", set_("answers", NO_ANSWER),
        ("xquad: question q has no answer",), EVALUATION),
    # Retrieval
    Bad("tatoeba", "renamed side", renamed("source_sentence"), ("no column 's",), EVALUATION),
    Bad("tatoeba", "no sentence", set_("target_sentence", None), ("1: target_s",), EVALUATION),
    Bad("tatoeba", "blank side", all_("source_sentence", ""), ("every example has",), EVALUATION),
    # Mining
    Bad("bucc", "renamed pairs", renamed("gold"), ("no column 'gold'",), EVALUATION),
    Bad("bucc", "text for a side", all_("sentence1", "abc"), ("'abc', expected a",), EVALUATION),
    Bad("bucc", "no sentence", side("sentence1", lambda s: s.__setitem__(0, None)),
        ("expected text alone",), EVALUATION),
    Bad("bucc", "empty side", all_("sentence2", []), ("empty sentence2",), EVALUATION),
    Bad("bucc", "no gold pair", all_("gold", []), ("no gold pair",), EVALUATION),
    Bad("bucc", "gold beyond a side", side("gold", lambda gold: gold.append([1, 6])),
        ("gold pair [1, 6]: expected places from 1 to 5 and 5",), EVALUATION),
    Bad("bucc", "gold from 0", side("gold", lambda gold: gold.append([0, 1])), ("[0, 1]",),
        EVALUATION),
    Bad("bucc", "gold of three", side("gold", lambda gold: gold.append([1, 2, 3])), ("[1, 2, 3]",),
        EVALUATION),
    Bad("bucc", "gold twice", side("gold", lambda gold: gold.append([5, 5])),
        ("6 gold pairs, 5 different",), EVALUATION),
    Bad("bucc", "two rows", twice, ("2 rows, expected one",), EVALUATION),
]  # fmt: skip


def each(table: Iterable[Bad]) -> Any:
    cases = [(bad, moment) for bad in table for moment in bad.moments]
    names = [f"{bad.name}-{bad.what}-{moment}".replace(" ", "_") for bad, moment in cases]
    return pytest.mark.parametrize(("bad", "moment"), cases, ids=names)


@each(TABLE)
def test_what_cannot_be_is_refused_in_one_line_that_names_it(
    real: Profile, write: Write, bad: Bad, moment: str
) -> None:
    put_good(write, bad.name)
    put(write, bad.name, moment, bad.edit)
    message = refused(lambda: run(real, bad.name))
    for part in bad.said:
        assert part in message
    source = source_of(bad.name, moment)
    assert bad.name in message or (source.dataset in message and source.config in message)
    phase = "intermediate" if bad.name in INTERMEDIATE else "transfer"
    assert not list((paths.results(real.name) / phase).rglob("run.json"))


# Refused: files and languages


def file_of(root: Path, name: str, moment: str) -> Path:
    source = source_of(name, moment)
    return root / source.dataset / source.config / f"{source.split}-00000-of-00001.parquet"


def cut_in_half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def point_elsewhere(file: Path) -> None:
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def without_rows(file: Path) -> None:
    parquet.write_table(parquet.read_table(file).slice(0, 0), file)


BROKEN = [
    (cut_in_half, "-00000-of-00001.parquet: not a whole parquet file"),
    (point_elsewhere, "-00000-of-00001.parquet: not a whole parquet file"),
    (without_rows, "-00000-of-00001.parquet: no row"),
]


@pytest.mark.parametrize(("damage", "said"), BROKEN)
@pytest.mark.parametrize(
    ("name", "moment"), [("udpos", "training"), ("udpos", "evaluation"), ("ud_parsing", "training"),
                         ("tatoeba", "evaluation"), ("bucc", "evaluation")],
)  # fmt: skip
def test_a_damaged_file_is_named(
    real: Profile, write: Write, tmp_path: Path, name: str, moment: str, damage: Any, said: str
) -> None:
    put_good(write, name)
    damage(file_of(tmp_path, name, moment))
    message = refused(lambda: run(real, name))
    source = source_of(name, moment)
    assert source.dataset in message and source.config in message and said in message


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_that_no_language_has_is_refused(real: Profile, write: Write, name: str) -> None:
    if tasks.get(name).train:
        put(write, name, "training")
    message = refused(lambda: run(real, name))
    assert message.startswith(f"{name}: no language of the profile has")


@pytest.mark.parametrize("name", ["udpos", "xquad", "tatoeba"])
def test_a_configuration_without_the_split_is_a_line_and_the_rest_runs(
    real: Profile, write: Write, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    put_good(write, name)
    source = tasks.get(name).evaluation
    assert source is not None
    config = source.config.format(code="zh", iso3="cmn", name="Chinese")
    rows, kinds = good(name, "evaluation")
    write(source.dataset, config, "other", rows, **kinds)
    done = run(real, name)
    assert set(done.scores["language"]) == {"de"}
    assert "zh" in done.facts["not_found"]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if " has no " in line]
    assert name in line and source.dataset in line and "zh" in line


@pytest.mark.parametrize("name", [*INTERMEDIATE, "udpos", "xnli", "xquad"])
def test_training_data_that_are_not_there_are_named(
    real: Profile, write: Write, tmp_path: Path, name: str
) -> None:
    put(write, name, "evaluation")
    message = refused(lambda: run(real, name))
    source = source_of(name, "training")
    for part in (source.dataset, source.config, repr(source.split), str(tmp_path)):
        assert part in message


def test_validation_data_that_are_not_there_are_named(real: Profile, write: Write) -> None:
    put(write, "ud_parsing", "training")
    message = refused(lambda: run(real, "ud_parsing"))
    assert "en_ewt" in message and "'validation'" in message


def test_an_unknown_language_is_refused_with_those_there_are(real: Profile) -> None:
    source = tasks.get("udpos").evaluation
    assert source is not None
    message = refused(lambda: corpora.load(real, source, "xx"))
    assert "'xx'" in message and "de" in message


def test_a_language_that_xtreme_does_not_list_for_a_task_is_not_evaluated(
    real: Profile, write: Write
) -> None:
    # Tagalog is of the 40, and no language of XNLI: a file that has it all the same is not read.
    put_good(write, "xnli")
    rows, _ = good("xnli", "evaluation")
    both = {column: values * 2 for column, values in rows.items()}
    write("google/xtreme", "XNLI", "test", both | {"language": ["de"] * 4 + ["tl"] * 4})
    corpora._table.cache_clear()
    more = real.model_copy(update={"languages": ["en", "de", "tl"]})
    assert set(run(more, "xnli").scores["language"]) == {"de"}


def test_the_hubs_own_refusals_are_ours(
    real: Profile, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The mirror stands for the hub: `load_dataset` says the same of a folder.
    put(write, "tatoeba", "evaluation")
    source = source_of("tatoeba", "evaluation")
    original = datasets.load_dataset

    def hub(name: str, config: str, split: str, revision: str) -> Any:
        assert revision
        return original(str(tmp_path / name), config, split=split)

    monkeypatch.setattr(datasets, "load_dataset", hub)
    monkeypatch.delenv("DATA_ROOT")
    corpora._table.cache_clear()
    assert len(corpora.load(real, source)) == 4
    for changed in ({"split": "train"}, {"config": "tatoeba.xxx"}):
        absent = replace(source, **changed)
        assert corpora.load(real, absent, required=False) == []
        message = refused(lambda absent=absent: corpora.load(real, absent))
        assert "google/xtreme" in message and next(iter(changed.values())) in message
    corpora._table.cache_clear()


# Kept: as many out as in

ZERO_WIDTH = "\u200b"
WORDS = [
    [],
    ["abcde"] * 40,
    [ZERO_WIDTH],
    [ZERO_WIDTH, "b", ZERO_WIDTH],
    ["xyz" * 99, "a"],
    ["É a"],
]


def add(rows: Rows, **more: list[Any]) -> None:
    for column, values in more.items():
        rows[column] += values


def awkward_tags(rows: Rows) -> None:
    add(rows, tokens=WORDS, pos_tags=[[i % 17 for i, _ in enumerate(words)] for words in WORDS])


def awkward_trees(rows: Rows) -> None:
    heads = [[str(i) for i, _ in enumerate(words)] for words in WORDS]
    relations = [["root", *["obj"] * len(words)][: len(words)] for words in WORDS]
    add(rows, tokens=WORDS, head=heads, deprel=relations, upos=[["X"] * len(w) for w in WORDS])


def awkward_pairs(rows: Rows) -> None:
    first, second = list(rows)[:2]
    add(rows, **{first: ["", "abc " * 40, ZERO_WIDTH, " "], second: ["e", "de " * 40, "", " "]})
    for column in list(rows)[2:]:
        rows[column] += rows[column][:4]


def awkward_choices(rows: Rows) -> None:
    for column, values in rows.items():
        longer = {
            "answer1": ["", "z" * 90],
            "context": ["", "a" * 90],
            "ctx": ["", "a" * 90],
            "question": ["", "q" * 90],
            "endings": [["", "e", "f", "g"], ["z" * 90] * 4],
        }
        values += longer.get(column, values[:2])  # fmt: skip


def awkward_questions(rows: Rows) -> None:
    long = "ab " * 200 + "bb"
    add(rows, id=["t", "u", "v"], context=[long, long, "a bb"], question=["q" * 90, "", "q"],
        answers=[{"text": ["bb"], "answer_start": [600]},
                 {"text": [long[:90]], "answer_start": [0]},
                 {"text": ["bb", "b"], "answer_start": [2, 3]}])  # fmt: skip


def awkward_questions_or_none(rows: Rows) -> None:
    awkward_questions(rows)
    add(rows, id=["w", "x", "y"], context=["", ZERO_WIDTH, "ab " * 200], question=["q", "", "r"],
        answers=[NO_ANSWER] * 3)  # fmt: skip


def awkward_translations(rows: Rows) -> None:
    add(rows, source_sentence=["", "a", "a" * 700, ZERO_WIDTH],
        target_sentence=["", "e", "e" * 700, "e"])  # fmt: skip


def kept(number: int, of: int, what: str) -> str:
    return f"{number} of {of} examples have {what} and are kept"


def cut(number: int, of: int, what: str, length: int = 24) -> str:
    return f"{number} of {of} {what} are longer than {length} subword tokens and are cut"


KEPT: list[tuple[str, Edit, list[str]]] = [
    ("udpos", awkward_tags, [kept(1, 10, "empty tokens")]),
    ("ud_parsing", awkward_trees, [kept(1, 10, "empty tokens")]),
    ("xnli", awkward_pairs, [kept(2, 8, "blank premise"), cut(1, 8, "pairs of xnli")]),
    ("stsb", awkward_pairs, [kept(2, 8, "blank sentence1"), cut(1, 8, "pairs of stsb")]),
    ("cosmos_qa", awkward_choices, [kept(1, 6, "blank context"),
                                    cut(4, 24, "choices of cosmos_qa")]),
    ("hellaswag", awkward_choices, [kept(1, 6, "blank ctx"), cut(4, 24, "choices of hellaswag")]),
    ("xquad", awkward_questions, [kept(1, 7, "blank question"), cut(1, 7, "questions of xquad", 12),
                                  "1 of 7 answers of xquad are in no window of 24"]),
    ("squad_v2", awkward_questions_or_none, [kept(1, 10, "blank context"),
                                             "1 of 7 answers of squad_v2 are in no window of 24"]),
    ("tatoeba", awkward_translations, [kept(1, 8, "blank source_sentence"),
                                       cut(1, 8, "sentences", 512)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "edit", "lines"), KEPT, ids=[name for name, *_ in KEPT])
def test_as_many_come_out_as_went_in(
    real: Profile, write: Write, capsys: pytest.CaptureFixture[str], name: str, edit: Edit,
    lines: list[str],
) -> None:  # fmt: skip
    for moment in ("training", "evaluation") if tasks.get(name).train else ("evaluation",):
        put(write, name, moment, edit)
    size = parquet.read_table(file_of(Path(os.environ["DATA_ROOT"]), name, "evaluation")).num_rows
    done = run(real, name)
    assert set(done.scores["n"]) == {size}
    assert done.scores["value"].notna().all()
    if name in TARGETS:
        predictions = pd.read_parquet(done.cell.folder / "predictions.parquet")
        assert predictions["id"].tolist() == [str(i) for i in range(size)]
        assert predictions["value"].between(0, 1).all()
    if tasks.get(name).train:
        assert done.facts["examples"] == size
    said = capsys.readouterr().out
    for line in lines:
        assert line in said


@pytest.mark.parametrize("name", ["udpos", "ud_parsing", "squad_v2"])
def test_each_word_and_each_question_has_one_prediction(
    real: Profile, write: Write, letters: Any, saved: Path, name: str
) -> None:
    edit = {row: change for row, change, _ in KEPT}[name]
    put(write, name, "evaluation", edit)
    examples = corpora.load(real, source_of(name, "evaluation"))
    head = heads.make(tasks.get(name), encoder.load(saved))
    scores, predictions = evaluation.evaluate(
        head, tasks.get(name), examples, letters, length=24, batch_tokens=96
    )
    assert len(predictions) == len(examples) == scores.n
    if name == "squad_v2":
        pairs = list(zip(examples, predictions, strict=True))
        assert all(said in example["context"] for example, said in pairs)
        blank = [said for e, said in pairs if not e["context"].strip(ZERO_WIDTH)]
        assert blank == ["", ""]
        return
    sizes = [len(each) if name == "udpos" else len(each[0]) for each in predictions]
    assert sizes == [len(example["words"]) for example in examples]
    assert 0 in sizes and max(sizes) == 40


def mined(real: Profile, write: Write, first: list[str], second: list[str], gold: Any) -> Any:
    rows = {"sentence1": [first], "sentence2": [second], "gold": [gold]}
    write("mteb/BUCC", "zh-en", "test", rows)
    corpora._table.cache_clear()
    return run(real, "bucc")


def test_every_gold_pair_is_scored_though_a_side_repeats_itself(
    real: Profile, write: Write
) -> None:
    words = ["abc", "de", "abc", "", "ghij" * 200, "kl", ZERO_WIDTH]
    done = mined(real, write, words, words[::-1], [[i, 8 - i] for i in range(1, 8)])
    assert set(done.scores["n"]) == {7}
    predictions = pd.read_parquet(done.cell.folder / "predictions.parquet")
    assert predictions["id"].tolist() == [f"{i}-{8 - i}" for i in range(1, 8)]
    # "abc" stands twice on both sides: which of them is meant, nobody can say.
    assert predictions["value"].tolist()[0] == predictions["value"].tolist()[2] == 0


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_side_of_fewer_sentences_than_neighbours_is_mined(
    real: Profile, write: Write, size: int
) -> None:
    words = ["abc", "de", "fghij"]
    done = mined(
        real, write, words[:size], [*words, "kl", "mn"], [[i + 1, i + 1] for i in range(size)]
    )
    best = done.scores[done.scores["metric"] == "f1_best_threshold"]["value"]
    assert set(done.scores["n"]) == {size} and best.max() == 1.0


@pytest.mark.parametrize("length", [7, 16, 65])
def test_a_length_that_no_window_can_have_is_refused(
    letters: Any, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    example = {"id": "0", "identifier": "q", "context": "a bb", "question": "q" * 30,
               "answers": ["bb"], "starts": [2]}  # fmt: skip
    monkeypatch.setattr(letters, "model_max_length", 64)
    message = refused(lambda: features.make(tasks.get("xquad"), [example], letters, length))
    assert message.startswith("max_sequence_length: ") and str(length) in message
