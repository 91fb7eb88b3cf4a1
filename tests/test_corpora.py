"""Examples come the same way from any root; what cannot be right is refused in one line."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as parquet
import pytest
from datasets import ClassLabel, List

from lib import corpora, profile, tasks
from lib.errors import InputError
from lib.profile import Profile
from lib.tasks import Source

XTREME, UD = "google/xtreme", "commul/universal_dependencies"
TAGS = List(ClassLabel(names=["NOUN", "VERB", "PUNCT"]))
Write = Callable[..., None]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a cache of its own, so that none reads what another wrote."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """Return a profile of real languages whose mirror is the test's own folder."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    return profile.load("small_cpu")


def evaluation(name: str) -> Source:
    source = tasks.get(name).evaluation
    assert source is not None
    return source


# Loading


def test_class_labels_come_as_names(real: Profile, write: Write) -> None:
    rows = {"tokens": [["Katze", "schläft", "."], ["Ja"]], "pos_tags": [[0, 1, 2], [0]]}
    write(XTREME, "udpos.German", "test", rows, pos_tags=TAGS)
    assert corpora.load(real, evaluation("udpos"), "de") == [
        {"id": "0", "words": ["Katze", "schläft", "."], "tags": ["NOUN", "VERB", "PUNCT"]},
        {"id": "1", "words": ["Ja"], "tags": ["NOUN"]},
    ]


def test_a_configuration_that_mixes_languages_is_filtered(real: Profile, write: Write) -> None:
    rows = {
        "language": ["de", "en", "de"],
        "sentence1": ["a", "b", "c"],
        "sentence2": ["x", "y", "z"],
        "gold_label": ["neutral", "entailment", "contradiction"],
    }
    write(XTREME, "XNLI", "test", rows)
    found = corpora.load(real, evaluation("xnli"), "de")
    assert [(e["id"], e["sentence1"], e["label"]) for e in found] == [
        ("0", "a", "neutral"), ("2", "c", "contradiction")
    ]  # fmt: skip
    assert corpora.load(real, evaluation("xnli"), "fr", required=False) == []


def test_a_mixture_that_only_ids_tell_apart_is_filtered_by_prefix(
    real: Profile, write: Write
) -> None:
    answer = {"text": ["b"], "answer_start": [2]}
    rows = {"id": ["english-1-0", "korean-1-0", "english-7-1"], "context": ["a b"] * 3,
            "question": ["q1", "q2", "q3"], "answers": [answer] * 3}  # fmt: skip
    write(XTREME, "tydiqa", "train", rows)
    found = corpora.load(real, tasks.TRAINING["tydiqa_en"])
    assert [e["question"] for e in found] == ["q1", "q3"]
    assert [(e["answers"], e["starts"]) for e in found] == [(["b"], [2])] * 2


def test_tydiqa_gives_each_language_its_own_questions(real: Profile, write: Write) -> None:
    answer = {"text": ["b"], "answer_start": [2]}
    ids = ["korean-1-0", "telugu-1-0", "korean-2-1", "english-3-0"]
    rows = {"id": ids, "context": ["a b"] * 4, "question": ids, "answers": [answer] * 4}
    write(XTREME, "tydiqa", "validation", rows)
    found = {
        code: [e["question"] for e in corpora.load(real, evaluation("tydiqa"), code)]
        for code in ("ko", "te", "en")
    }
    assert found == {"ko": [ids[0], ids[2]], "te": [ids[1]], "en": [ids[3]]}
    assert corpora.load(real, evaluation("tydiqa"), "fi", required=False) == []


def bucc_files(folder: Path, name: str = "dev", **changed: str) -> None:
    """Write a Chinese-English split of three and four sentences as the shared task does."""
    sides = {
        "zh": "zh-01\t一\u2028二\nzh-02\t三\nzh-03\t四\n",
        "en": "en-7\tone\nen-8\tfour\nen-9\tnine\nen-10\tten\n",
        "gold": "zh-03\ten-8\nzh-01\ten-7\n",
    }
    folder.mkdir(exist_ok=True)
    for part, text in (sides | changed).items():
        (folder / f"zh-en.{name}.{part}").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", ["dev", "sample"])
def test_the_shared_tasks_files_read_like_mtebs_rows(
    real: Profile, write: Write, tmp_path: Path, name: str
) -> None:
    bucc_files(tmp_path / "bucc2018", name)
    row = tasks.get("bucc")
    source = corpora.evaluation_source(row, "validation")
    with corpora.recording() as record:
        (found,) = corpora.load(real, source, "zh")
    assert found["sources"] == ["一\u2028二", "三", "四"]
    assert found["targets"] == ["one", "four", "nine", "ten"]
    assert found["gold"] == [[3, 2], [1, 1]]
    assert list(record) == ["bucc2018/zh-en"]
    # mteb/BUCC: one row a pair of languages.
    rows = {"sentence1": [["x", "y"]], "sentence2": [["u", "v"]], "gold": [[[2, 1]]]}
    write("mteb/BUCC", "zh-en", "test", rows)
    (test,) = corpora.load(real, corpora.evaluation_source(row, ""), "zh")
    assert test == {"id": "0", "sources": ["x", "y"], "targets": ["u", "v"], "gold": [[2, 1]]}


def test_a_changed_file_of_the_shared_task_has_another_hash(real: Profile, tmp_path: Path) -> None:
    hashes = []
    for text in ("en-7\tone\nen-8\tfour\n", "en-7\tone\nen-8\tfive\n"):
        bucc_files(tmp_path / "bucc2018", en=text)
        hashes.append(corpora.fingerprint(tmp_path, "bucc2018", "zh-en"))
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"zh": "zh-01\t一\nzh-02 二\n"}, r"zh-en\.dev\.zh:2.*expected an id, a tab"),
        ({"en": "en-7\tone\nen-8\t \n"}, r"zh-en\.dev\.en:2"),
        ({"en": "en-7\tone\nen-7\ttwo\n"}, r"zh-en\.dev\.en: 1 ids come twice"),
        ({"en": ""}, r"zh-en\.dev\.en:1"),
        ({"gold": "zh-03\ten-8\nzh-03\ten-8\n"}, "2 gold pairs, 1 different"),
        ({"gold": "zh-03\ten-8\nzh-01\ten-77\n"}, r"zh-en\.dev\.gold:2.*en-77"),
    ],
)
def test_a_line_of_the_shared_task_that_cannot_be_is_named(
    real: Profile, tmp_path: Path, changed: dict[str, str], named: str
) -> None:
    bucc_files(tmp_path / "bucc2018", **changed)
    with pytest.raises(InputError, match=named):
        corpora.load(real, corpora.evaluation_source(tasks.get("bucc"), "validation"), "zh")


def test_a_file_in_another_encoding_is_named(real: Profile, tmp_path: Path) -> None:
    bucc_files(tmp_path / "bucc2018")
    (tmp_path / "bucc2018" / "zh-en.dev.en").write_bytes("en-7\tcafé\n".encode("latin-1"))
    message = refused(
        lambda: corpora.load(real, corpora.evaluation_source(tasks.get("bucc"), "validation"), "zh")
    )
    assert message.endswith("zh-en.dev.en: byte 8 is not UTF-8")


def test_only_a_line_feed_ends_a_line(real: Profile, tmp_path: Path) -> None:
    bucc_files(tmp_path / "bucc2018")
    lines = "en-7\tone\rmore\r\nen-8\tfour\r\nen-9\tnine\r\nen-10\tten\r\n"
    (tmp_path / "bucc2018" / "zh-en.dev.en").write_bytes(lines.encode())
    source = corpora.evaluation_source(tasks.get("bucc"), "validation")
    (found,) = corpora.load(real, source, "zh")
    assert found["targets"] == ["one\rmore", "four", "nine", "ten"]


def test_a_side_that_is_missing_is_no_split(real: Profile, tmp_path: Path) -> None:
    bucc_files(tmp_path / "bucc2018")
    (tmp_path / "bucc2018" / "zh-en.dev.gold").unlink()
    source = corpora.evaluation_source(tasks.get("bucc"), "validation")
    assert corpora.load(real, source, "zh", required=False) == []
    with pytest.raises(InputError, match="'zh-en'"):
        corpora.load(real, source, "zh")


@pytest.mark.parametrize("nothing", ["None", "_", "", None])
def test_multiword_tokens_and_empty_nodes_are_no_words(
    real: Profile, write: Write, nothing: str | None
) -> None:
    # 1-2 zum = zu + dem, 8.1 an elided verb: lines of the file, but no words of the tree.
    rows = {"tokens": [["zum", "zu", "dem", "Haus", "geht", "er"]],
            "head": [[nothing, "3", "3", "0", nothing, "3"]],
            "deprel": [["_", "case", "det", "root", "_", "nsubj"]],
            "upos": [["_", "ADP", "DET", "NOUN", "_", "PRON"]]}  # fmt: skip
    write(UD, "en_ewt", "train", rows)
    (found,) = corpora.load(real, tasks.TRAINING["ewt"])
    assert found["words"] == ["zu", "dem", "Haus", "er"]
    assert found["heads"] == [3, 3, 0, 3]
    assert found["relations"] == ["case", "det", "root", "nsubj"]
    assert found["upos"] == ["ADP", "DET", "NOUN", "PRON"]


@pytest.mark.parametrize(
    ("code", "iso3"), [("de", "deu"), ("zh", "cmn"), ("ar", "ara"), ("sw", "swh")]
)
def test_retrieval_is_found_by_tatoebas_own_codes(
    real: Profile, write: Write, code: str, iso3: str
) -> None:
    rows = {"source_sentence": ["s"], "target_sentence": ["t"], "source_lang": [iso3],
            "target_lang": ["eng"]}  # fmt: skip
    write(XTREME, f"tatoeba.{iso3}", "validation", rows)
    assert corpora.load(real, evaluation("tatoeba"), code) == [
        {"id": "0", "source": "s", "target": "t"}
    ]


def test_examples_without_a_label_are_left_out_and_counted(
    real: Profile, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"premise": ["a", "b", "c", "d"], "hypothesis": ["x"] * 4, "label": [0, -1, 2, 1]}
    names = ClassLabel(names=["entailment", "neutral", "contradiction"])
    write("stanfordnlp/snli", "plain_text", "validation", rows, label=names)
    found = corpora.load(real, tasks.TRAINING["snli_validation"])
    assert [(e["id"], e["label"]) for e in found] == [
        ("0", "entailment"), ("2", "contradiction"), ("3", "neutral")
    ]  # fmt: skip
    assert capsys.readouterr().out == (
        "stanfordnlp/snli plain_text validation: 1 of 4 examples have no label and are left out\n"
    )


def test_graded_pairs_without_a_grade_are_left_out(real: Profile, write: Write) -> None:
    rows = {"sentence1": ["a", "b", "c"], "sentence2": ["x", "y", "z"], "label": [0.0, -1.0, 4.5]}
    write("nyu-mll/glue", "stsb", "train", rows)
    found = corpora.load(real, tasks.TRAINING["stsb"])
    assert [(e["id"], e["label"]) for e in found] == [("0", 0.0), ("2", 4.5)]


def text(write: Write, number: int) -> Source:
    write("multilingual-text", "de", "train",
          {"text": [f"t{i}" for i in range(number)], "source": ["s"] * number})  # fmt: skip
    return tasks.TEXT


def test_a_limit_keeps_the_same_mixture_each_time(real: Profile, write: Write) -> None:
    source = text(write, 200)
    ten, twenty, every = (corpora.load(real, source, "de", n) for n in (10, 20, 0))
    assert [e["text"] for e in every] == [f"t{i}" for i in range(200)]
    assert len(ten) == 10 and ten == twenty[:10]
    assert len({e["id"] for e in twenty}) == 20
    assert all(e["text"] == f"t{e['id']}" for e in twenty)
    # A fixed shuffle, not the head of a file that may be sorted.
    assert max(int(e["id"]) for e in ten) > 100


def test_training_sets_are_joined(real: Profile, write: Write) -> None:
    names = ClassLabel(names=["entailment", "neutral", "contradiction"])
    for split, label in (("validation", 0), ("test", 1)):
        rows = {"premise": [split] * 3, "hypothesis": ["x"] * 3, "label": [label] * 3}
        write("stanfordnlp/snli", "plain_text", split, rows, label=names)
    sources = ["snli_validation", "snli_test"]
    found = corpora.load_training(real, tasks.get("xnli"), sources, 0)
    assert sorted((e["sentence1"], e["label"]) for e in found) == [
        *[("test", "neutral")] * 3, *[("validation", "entailment")] * 3
    ]  # fmt: skip
    assert corpora.load_training(real, tasks.get("xnli"), sources, 4) == found[:4]


NLI = ClassLabel(names=["entailment", "neutral", "contradiction"])


def translations(write: Write, **sizes: int) -> None:
    """Write a translated training set; example i has label i % 3 in every language."""
    for code, n in sizes.items():
        rows = {"premise": [f"{code} {i}" for i in range(n)], "hypothesis": ["x"] * n,
                "label": [i % 3 for i in range(n)]}  # fmt: skip
        write("facebook/xnli", code, "train", rows, label=NLI)


def test_each_translated_example_comes_once_in_one_of_the_languages(
    real: Profile, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    translations(write, en=60, de=60, zh=60)
    mnli = tasks.get("mnli")
    found = corpora.load_training(real, mnli, mnli.train, 0, ["all"])
    said = [e["sentence1"].split() for e in found]
    assert sorted(int(i) for _, i in said) == list(range(60))
    assert {code: sum(of == code for of, _ in said) for code in ("en", "de", "zh")} == {
        "en": 20, "de": 20, "zh": 20
    }  # fmt: skip
    assert all(e["label"] == tasks.INFERENCE[int(e["sentence1"].split()[1]) % 3] for e in found)
    # What is not there is said, and so is another size than MNLI's.
    assert "facebook/xnli has no fr, es, el, vi, ar, tr" in capsys.readouterr().out
    german = corpora.load_training(real, mnli, mnli.train, 0, ["de"])
    assert {e["sentence1"] for e in german} == {f"de {i}" for i in range(60)}
    assert corpora.load_training(real, mnli, mnli.train, 0, ["all"]) == found


def test_translations_that_are_not_of_each_other_are_refused(real: Profile, write: Write) -> None:
    translations(write, de=60, zh=59)
    mnli = tasks.get("mnli")
    message = refused(lambda: corpora.load_training(real, mnli, mnli.train, 0, ["de", "zh"]))
    assert "facebook/xnli: zh has 59 examples, de 60" in message
    message = refused(lambda: corpora.load_training(real, mnli, mnli.train, 0, ["fr"]))
    assert "facebook/xnli" in message and "'fr'" in message


# Refusals; `test_bad_input` has the table of what files may hold


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_configuration_is_named_with_id_and_folder(
    real: Profile, write: Write, tmp_path: Path
) -> None:
    write(XTREME, "udpos.French", "validation", {"tokens": [["a"]], "pos_tags": [[0]]})
    for code, name in (("de", "udpos.German"), ("fr", "udpos.French")):
        message = refused(lambda code=code: corpora.load(real, evaluation("udpos"), code))
        for part in (XTREME, name, "'test'", str(tmp_path)):
            assert part in message
        assert corpora.load(real, evaluation("udpos"), code, required=False) == []


def test_text_that_is_on_no_hub_says_how_to_build_it(
    real: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATA_ROOT")
    message = refused(lambda: corpora.load(real, tasks.TEXT, "de"))
    assert "multilingual-text" in message and "DATA_ROOT" in message


def test_a_fingerprint_follows_the_bytes(real: Profile, write: Write, tmp_path: Path) -> None:
    text(write, 3)
    before = corpora.fingerprint(tmp_path, "multilingual-text", "de")
    assert corpora.fingerprint(tmp_path, "multilingual-text", "de") == before
    text(write, 4)
    assert corpora.fingerprint(tmp_path, "multilingual-text", "de") != before


def test_two_roots_with_the_same_card_are_two_sets_of_data(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    text(write, 3)
    shutil.copytree(tmp_path / "multilingual-text", tmp_path / "other" / "multilingual-text")
    text(write, 5)
    found = []
    for root in (tmp_path, tmp_path / "other"):
        monkeypatch.setenv("DATA_ROOT", str(root))
        found.append(len(corpora.load(profile.load("small_cpu"), tasks.TEXT, "de")))
    assert found == [5, 3]


def test_a_file_that_was_replaced_is_read_anew(real: Profile, write: Write) -> None:
    assert len(corpora.load(real, text(write, 3), "de")) == 3
    corpora._table.cache_clear()
    assert len(corpora.load(real, text(write, 5), "de")) == 5


def test_two_worlds_do_not_share_their_sentences(micro: Profile) -> None:
    other = micro.model_copy(update={"world": micro.world | {"seed": 2}})
    texts = [
        {e["sentence1"] for e in corpora.load(settings, tasks.TRAINING["stsb"])}
        for settings in (micro, other)
    ]
    files = []
    for settings in (micro, other):
        root = corpora.prepare(settings)
        assert root is not None
        (file,) = (root / "nyu-mll" / "glue" / "stsb").glob("train-*")
        files.append(set(parquet.read_table(file)["sentence1"].to_pylist()))
    assert files[0] != files[1]
    assert texts == files


# The world


def test_every_target_loads_from_the_world_in_every_language(micro: Profile) -> None:
    sizes = {"udpos": 16, "panx": 16, "xnli": 18, "pawsx": 10, "xquad": 16, "tatoeba": 16}
    for name, size in sizes.items():
        for code in ("qaa", "qab"):
            found = corpora.load(micro, evaluation(name), code)
            assert len(found) == size, (name, code)
            assert set(evaluation(name).columns) | {"id"} <= set(found[0])


def test_every_training_set_loads_from_the_world(micro: Profile) -> None:
    for name in ("ud_parsing", "stsb", "udpos", "panx", "xnli", "pawsx", "xquad"):
        row = tasks.get(name)
        found = corpora.load_training(micro, row, row.train, 0)
        assert len(found) >= 20, name
        labels = {label for e in found for label in e.get("tags", [e.get("label")])}
        assert not row.labels or labels <= set(row.labels), name


def test_answers_of_the_world_stand_where_they_are_said_to(micro: Profile) -> None:
    for code in ("en", "qaa", "qab"):
        for e in corpora.load(micro, evaluation("xquad"), code):
            for answer, start in zip(e["answers"], e["starts"], strict=True):
                assert e["context"][start : start + len(answer)] == answer


def test_a_world_is_written_once(micro: Profile) -> None:
    root = corpora.prepare(micro)
    assert root is not None
    before = {file: file.stat().st_mtime_ns for file in root.rglob("*.parquet")}
    assert before
    assert corpora.prepare(micro) == root
    assert {file: file.stat().st_mtime_ns for file in root.rglob("*.parquet")} == before
    assert not list(root.parent.glob(".writing-*"))


# Real data


@pytest.fixture
def settings(mirror: Path) -> Profile:
    return profile.load("small_cpu")


@pytest.mark.parametrize(
    ("name", "size"),
    [("ewt", 12_543), ("stsb", 5_749), ("panx_en", 20_000), ("tydiqa_en", 3_696)],
)
def test_training_sets_have_their_published_sizes(settings: Profile, name: str, size: int) -> None:
    examples = corpora.load(settings, tasks.TRAINING[name])
    assert len(examples) == size
    if name == "ewt":
        assert sum(len(e["words"]) for e in examples) == 204_585
        assert all(e["heads"].count(0) == 1 for e in examples)


def test_xnli_has_2490_validation_pairs_per_language_in_balance(settings: Profile) -> None:
    source = corpora.evaluation_source(tasks.get("xnli"), "validation")
    for code in ("en", "sw", "th"):
        labels = [e["label"] for e in corpora.load(settings, source, code)]
        assert {label: labels.count(label) for label in set(labels)} == dict.fromkeys(
            tasks.INFERENCE, 830
        )


def test_real_answers_stand_where_they_are_said_to(settings: Profile) -> None:
    for code in ("en", "zh", "ar"):
        examples = corpora.load(settings, evaluation("xquad"), code)
        assert len(examples) == 1_190
        for e in examples:
            assert e["context"][e["starts"][0] :].startswith(e["answers"][0])


def test_real_tags_are_the_tasks_labels(settings: Profile) -> None:
    for name, split in (("udpos", "test"), ("panx", "validation")):
        source = corpora.evaluation_source(tasks.get(name), split)
        for code in ("de", "hi"):
            tags = {tag for e in corpora.load(settings, source, code) for tag in e["tags"]}
            assert tags <= set(tasks.get(name).labels)
            assert len(tags) > 5


def test_retrieval_has_a_thousand_pairs_or_what_there_is(settings: Profile) -> None:
    sizes = {code: len(corpora.load(settings, evaluation("tatoeba"), code))
             for code in ("de", "jv", "sw", "kk")}  # fmt: skip
    assert sizes == {"de": 1_000, "jv": 205, "sw": 390, "kk": 575}


# Languages and questions of the mirror's files, counted with pandas.
QUESTIONS = {
    "mlqa": {"ar": 517, "de": 512, "en": 1_148, "es": 500, "hi": 507, "zh": 504},
    "tydiqa": {"ar": 921, "bn": 113, "en": 440, "fi": 782, "id": 565, "ko": 276, "ru": 812,
               "sw": 499, "te": 669},
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_of_every_language_is_there_with_its_answer(
    settings: Profile, name: str
) -> None:
    row = tasks.get(name)
    source = corpora.evaluation_source(row, "validation")
    try:
        found = {code: corpora.load(settings, source, code, required=False)
                 for code in row.languages}  # fmt: skip
    except InputError as error:
        assert "an answer without text" in str(error)
        pytest.skip(f"this mirror's answers are stripped: {error}")
    assert {code: len(examples) for code, examples in found.items() if examples} == QUESTIONS[name]
    for code, examples in found.items():
        assert len({e["identifier"] for e in examples}) == len(examples), code
        for e in examples:
            assert e["answers"]
            for answer, start in zip(e["answers"], e["starts"], strict=True):
                assert e["context"][start : start + len(answer)] == answer, e["identifier"]


def test_no_question_of_the_mixture_is_lost(settings: Profile, mirror: Path) -> None:
    (file,) = (mirror / XTREME / "tydiqa").glob("validation-*")
    assert parquet.read_table(file).num_rows == sum(QUESTIONS["tydiqa"].values())


def test_the_mined_sides_are_whole_and_hold_their_gold_pairs(
    settings: Profile, mirror: Path
) -> None:
    source = corpora.evaluation_source(tasks.get("bucc"), "validation")
    (found,) = corpora.load(settings, source, "zh")
    sizes = {part: len(found[part]) for part in ("sources", "targets", "gold")}
    lines = {
        part: (mirror / "bucc2018" / f"zh-en.dev.{name}").read_bytes().count(b"\n")
        for part, name in (("sources", "zh"), ("targets", "en"), ("gold", "gold"))
    }
    assert sizes == lines == {"sources": 8_624, "targets": 13_589, "gold": 257}
    # Ids are numbered from 1 in the order of the lines.
    text = (mirror / "bucc2018" / "zh-en.dev.gold").read_text(encoding="utf-8")
    ids = [[int(part[3:]) for part in line.split("\t")] for line in text.splitlines()]
    assert found["gold"] == ids
    assert [code for code in ("de", "fr", "ru")
            if corpora.load(settings, source, code, required=False)] == []  # fmt: skip
