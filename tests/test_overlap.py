"""What an intermediate task shares with a target is counted, kept, and leaves the answer."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from datasets import ClassLabel, List

from lib import corpora, overlap, profile, tasks, workflow
from lib.errors import InputError
from lib.overlap import Texts
from lib.profile import Profile

SENTENCE = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    return tmp_path / "results"


def counts(task: list[str], target: list[str]) -> dict[str, int]:
    return overlap.compare(Texts.of(task), Texts.of(target))


# Words, and texts that are the same


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“Ｈello”,  WORLD!", ["hello", "world"]),
        ("Straße №5", ["strasse", "no5"]),
        ("John's e-mail", ["john", "s", "e", "mail"]),
        ("``quoted'' $5", ["quoted", "5"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("我爱 NLP。", ["我", "爱", "nlp"]),
        (" … !", []),
    ],
)
def test_words_have_no_case_width_or_punctuation(text: str, expected: list[str]) -> None:
    assert overlap.words(text) == expected


def test_tokenised_and_raw_text_are_exactly_the_same() -> None:
    raw = ["He didn't say: “Go!”", "Nothing else."]
    assert counts(["he did n't say : \" go ! \""], raw) == {
        "n": 2, "exact": 1, "near": 0, "task_n": 1, "task_exact": 1,
    }  # fmt: skip


def test_a_repeated_text_counts_once_and_one_without_words_never() -> None:
    found = counts(["a b", "A b.", "c"], ["c", "C!", "...", "", "d", "d"])
    assert found == {"n": 2, "exact": 1, "near": 0, "task_n": 2, "task_exact": 1}


def test_nothing_shares_nothing() -> None:
    assert counts([], ["a"]) == {"n": 1, "exact": 0, "near": 0, "task_n": 0, "task_exact": 0}
    assert counts(["a"], ["..."]) == {"n": 0, "exact": 0, "near": 0, "task_n": 1, "task_exact": 0}


# Near: 14 words have ten 5-grams


def test_one_changed_word_in_the_middle_of_fourteen_leaves_a_near_match() -> None:
    assert counts([SENTENCE], [SENTENCE.replace("seven", "SEVENTY")])["near"] == 1


def test_six_broken_five_grams_of_ten_are_no_near_match() -> None:
    changed = SENTENCE.replace("five", "x").replace("six", "x")
    assert counts([SENTENCE], [changed])["near"] == 0


def test_a_text_copied_into_a_longer_one_is_near_but_not_the_other_way_round() -> None:
    context = f"{SENTENCE}. " + " ".join(f"word{i}" for i in range(40))
    assert counts([context], [SENTENCE])["near"] == 1
    assert counts([SENTENCE], [context])["near"] == 0


def test_a_text_under_five_words_can_only_match_exactly() -> None:
    found = counts([SENTENCE], ["one two three four", "one two three four five"])
    assert (found["exact"], found["near"]) == (0, 1)


def test_five_grams_do_not_run_from_one_text_into_the_next() -> None:
    assert counts(["one two three", "four five six"], ["two three four five six"])["near"] == 0


def test_counts_equal_those_of_plain_sets_whatever_the_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(1)

    def draw() -> list[str]:
        return [
            " ".join(rng.choices("abc", k=rng.randint(1, 9))) for _ in range(rng.randint(1, 40))
        ]

    def grams(text: str) -> list[str]:
        split = text.split()
        return [" ".join(split[i : i + 5]) for i in range(len(split) - 4)]

    def joined(texts: list[str]) -> dict[str, str]:
        # Where two texts differ in spaces only, the first is kept.
        return {text.replace(" ", ""): text for text in reversed(texts)}

    for size in (1, 3, 50_000):
        monkeypatch.setattr(overlap, "CHUNK", size)
        for _ in range(30):
            task, target = draw(), draw()
            known = {gram for text in joined(task).values() for gram in grams(text)}
            exact = joined(task).keys() & joined(target).keys()
            near = [
                text
                for key, text in joined(target).items()
                if key not in exact
                and grams(text)
                and 2 * sum(gram in known for gram in grams(text)) >= len(grams(text))
            ]
            assert counts(task, target) == {
                "n": len(joined(target)), "exact": len(exact), "near": len(near),
                "task_n": len(joined(task)), "task_exact": len(exact),
            }  # fmt: skip


# A profile's table


@pytest.fixture
def study(tmp_path: Path, micro_content: Callable[[], Any]) -> Profile:
    """Return the micro profile with a task that trains on a target's own data."""
    content = micro_content()
    content["conditions"]["mnli"] = {"task": "mnli"}
    content["conditions"]["both"] = {"task": "multitask", "tasks": ["stsb", "mnli"]}
    content["conditions"]["mlm_on_mnli"] = {"task": "mlm", "text_of": "mnli"}
    return saved(content, tmp_path / "shared.yaml")


def saved(content: dict[str, Any], file: Path) -> Profile:
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return profile.load(str(file))


def test_every_task_is_compared_with_every_target(study: Profile) -> None:
    found = overlap.table(study)
    pairs = {(row.task, row.target, row.part) for row in found.itertuples()}
    trained, evaluated = ("udpos", "xnli", "xquad"), ("udpos", "xnli", "xquad", "tatoeba")
    expected = {(task, target, "train") for task in ("ud_parsing", "stsb", "mnli")
                for target in trained}  # fmt: skip
    expected |= {(task, target, "evaluation") for task in ("ud_parsing", "stsb", "mnli")
                 for target in evaluated}  # fmt: skip
    expected |= {(task, target, "evaluation, source") for task in ("ud_parsing", "stsb", "mnli")
                 for target in trained}  # fmt: skip
    assert pairs == expected and len(found) == len(expected)
    # Two sides of 16 pairs in two languages; the English side is the same.
    (sides,) = found[found["target"] == "tatoeba"]["n"].unique()
    assert sides == 3 * 16


def test_data_of_one_name_are_the_same_data_and_the_worlds_other_texts_are_not(
    study: Profile,
) -> None:
    found = overlap.table(study).set_index(["task", "target", "part"])
    own = found.loc[("mnli", "xnli", "train")]
    assert own["same_source"] and own["exact"] == own["n"] == own["task_n"]
    others = found[[pair[:2] != ("mnli", "xnli") for pair in found.index]]
    assert not others["same_source"].any() and not others["same_data"].any()
    assert (others["exact"] == 0).all()


def test_a_mirror_is_counted_in_every_language_that_is_there(
    tmp_path: Path,
    write: Callable[..., None],
    micro_content: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tags = {"pos_tags": List(ClassLabel(names=["NOUN", "VERB"]))}

    def udpos(name: str, split: str, *sentences: str) -> None:
        tokens = [text.split() for text in sentences]
        rows = {"tokens": tokens, "pos_tags": [[i % 2 for i in range(len(t))] for t in tokens]}
        write("google/xtreme", f"udpos.{name}", split, rows, **tags)

    udpos("English", "train", "Dogs bark", "It doesn't rain", SENTENCE + " indeed", "Dogs bark")
    udpos("English", "test", "Cats sleep .", "dogs bark !")
    udpos("German", "test", "Hunde bellen", "Es regnet nicht")
    tree = {
        "tokens": [["Dogs", "bark", "."], ["It", "does", "n't", "rain"], SENTENCE.split(), ["No"]],
        "head": [["2", "0", "2"], ["4", "4", "4", "0"], ["0"] + 13 * ["1"], ["0"]],
    }
    tree |= {key: [["x"] * len(words) for words in tree["tokens"]] for key in ("deprel", "upos")}
    write("commul/universal_dependencies", "en_ewt", "train", tree)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    content = micro_content() | {"world": None, "languages": ["en", "de", "fr"]}
    content["conditions"] = {"none": {}, "random": {}, "ud_parsing": {"task": "ud_parsing"}}
    content["targets"] = {"udpos": content["targets"]["udpos"]}
    found = overlap.table(saved(content, tmp_path / "mirror.yaml"))
    assert found.to_dict("records") == [
        {"task": "ud_parsing", "target": "udpos", "part": part, "n": n, "exact": exact,
         "near": near, "task_n": 4, "task_exact": exact, "same_source": False, "same_data": True}
        for part, n, exact, near in (
            ("train", 3, 2, 1), ("evaluation", 4, 1, 0), ("evaluation, source", 2, 1, 0)
        )
    ]  # fmt: skip
    assert "test has no fr" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("exact", "n", "task_exact", "task_n", "same"),
    [(5, 1000, 5, 9000, True), (4, 1000, 4, 9000, False), (4, 1000, 4, 800, True),
     (0, 0, 0, 0, False)],
)  # fmt: skip
def test_half_a_per_cent_of_either_side_is_the_same_data(
    micro: Profile, monkeypatch: pytest.MonkeyPatch,
    exact: int, n: int, task_exact: int, task_n: int, same: bool,
) -> None:  # fmt: skip
    none = {"near": 0, "same_source": False}
    rows = [
        {"task": "stsb", "target": "xnli", "part": "train", "exact": exact, "n": n,
         "task_exact": task_exact, "task_n": task_n} | none,
        {"task": "stsb", "target": "xnli", "part": "evaluation", "exact": 0, "n": 10,
         "task_exact": 0, "task_n": task_n} | none,
    ]  # fmt: skip
    monkeypatch.setattr(overlap, "_rows", lambda settings: rows)
    assert overlap.table(micro)["same_data"].tolist() == [same, same]


@pytest.mark.parametrize(("of_source", "same"), [(150, True), (10, True), (9, False)])
def test_what_is_trained_on_of_the_sources_evaluation_is_not_thinned_by_other_languages(
    micro: Profile, monkeypatch: pytest.MonkeyPatch, of_source: int, same: bool
) -> None:
    whole = {
        "task": "stsb", "target": "xnli", "part": "evaluation", "exact": of_source, "near": 0,
        "n": 40_000, "task_n": 40_000, "task_exact": of_source, "same_source": False,
    }  # fmt: skip
    source = whole | {"part": "evaluation, source", "n": 1000}
    monkeypatch.setattr(overlap, "_rows", lambda settings: [whole, source])
    assert overlap.table(micro)["same_data"].tolist() == [same, same]


def test_the_table_is_counted_once_and_anew_where_the_profile_reads_other_data(
    study: Profile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = overlap.table(study)
    counted = overlap._rows
    monkeypatch.setattr(overlap, "_rows", lambda settings: pytest.fail("counted twice"))
    pd.testing.assert_frame_equal(overlap.table(study), first)
    assert "counted anew" not in capsys.readouterr().out
    monkeypatch.setattr(overlap, "_rows", counted)
    xnli = study.targets["xnli"].model_copy(update={"train_examples": 10})
    fewer = study.model_copy(update={"targets": study.targets | {"xnli": xnli}})
    found = overlap.table(fewer).set_index(["task", "target", "part"])
    assert found.loc[("stsb", "xnli", "train"), "n"] <= 20
    assert capsys.readouterr().out.count("counted anew") == 1


def test_changed_data_are_counted_anew_and_absent_ones_are_not_missed(
    study: Profile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = overlap.table(study)
    with monkeypatch.context() as patch:
        patch.setattr(corpora, "fingerprint", lambda root, dataset, config: "other")
        overlap.table(study)
        assert "has changed" in capsys.readouterr().out
    monkeypatch.setenv("WORLDS_ROOT", "/nowhere")
    monkeypatch.setattr(overlap, "_rows", lambda settings: pytest.fail("read absent data"))
    pd.testing.assert_frame_equal(overlap.table(study), first)


def test_the_workflow_leaves_the_table_alone(study: Profile, store: Path) -> None:
    overlap.table(study)
    workflow.check_existing(study)
    assert (store / "shared/overlap/seed=0/run.json").is_file()


def test_a_task_whose_data_are_missing_is_refused(
    write: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"tokens": [["Yes"]], "head": [["0"]], "deprel": [["root"]], "upos": [["INTJ"]]}
    write("commul/universal_dependencies", "en_ewt", "train", rows)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    with pytest.raises(InputError, match="nyu-mll/glue: no configuration 'stsb'"):
        overlap.table(profile.load("small_cpu"))


# What follows


def test_scores_are_marked_by_the_tasks_of_their_condition(study: Profile) -> None:
    pairs = [(name, target) for name in study.conditions for target in ("udpos", "xnli")]
    scores = pd.DataFrame(pairs, columns=["condition", "target"])
    marked = overlap.mark(scores, study, overlap.table(study)).set_index(["condition", "target"])
    same = marked.index[marked["same_data"]]
    assert set(same) == {("mnli", "xnli"), ("both", "xnli"), ("mlm_on_mnli", "xnli")}


def test_shared_text_excludes_a_target_whatever_the_data_are_called(
    study: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = pd.DataFrame(
        [{"task": "ud_parsing", "target": target, "part": "train", "n": 100, "exact": exact,
          "task_n": 80, "same_source": False, "same_data": exact > 0}
         for target, exact in (("udpos", 50), ("xnli", 0))]
    )  # fmt: skip
    declared = study.model_copy(update={"clean_targets": ["udpos", "xnli"]})
    assert overlap.clean_targets(declared, shared, ["ud_parsing"]) == ["xnli"]
    assert "50 of its 100 texts (train) are among the 80 of ud_parsing" in capsys.readouterr().out
    scores = pd.DataFrame({"condition": "ud_parsing", "target": ["udpos", "xnli"]})
    assert overlap.mark(scores, declared, shared)["same_data"].tolist() == [True, False]


def test_a_clean_target_that_shares_data_leaves_with_a_reason(
    study: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = study.model_copy(update={"clean_targets": ["xnli", "udpos"]})
    found = overlap.table(declared)
    capsys.readouterr()
    assert overlap.clean_targets(declared, found, ["ud_parsing", "stsb"]) == ["xnli", "udpos"]
    assert not capsys.readouterr().out
    assert overlap.clean_targets(declared, found, ["ud_parsing", "both"]) == ["udpos"]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("xnli leaves the primary result, for it shares data with both: ")
    only = study.model_copy(update={"clean_targets": ["xnli"]})
    with pytest.raises(InputError, match="every one shares data with mnli or stsb"):
        overlap.clean_targets(only, found, ["mnli", "stsb"])


def test_the_shown_table_marks_the_same_data(study: Profile) -> None:
    shown = overlap.shown(overlap.table(study))
    assert list(shown.columns) == list(study.targets)
    cells = shown.stack().to_dict()
    assert cells["mnli", "train", "xnli"] == "100.00 + 0.00 *"
    assert cells["mnli", "evaluation", "xnli"].endswith(" *")
    assert cells["mnli", "train", "tatoeba"] == "–"
    assert not cells["stsb", "train", "udpos"].endswith("*")


def test_a_translation_is_other_text_of_the_same_data(
    tmp_path: Path, micro_content: Callable[[], Any]
) -> None:
    content = micro_content()
    content["world"] |= {"xnli_translated": 1}
    for name, codes in (("english", []), ("translated", ["qaa", "qab"]), ("every", ["all"])):
        content["conditions"][name] = {"task": "mnli", "translated": codes}
    study = saved(content, tmp_path / "translated.yaml")
    found = overlap.table(study)
    train = found[(found["target"] == "xnli") & (found["part"] == "train")].set_index("task")
    assert train.loc["mnli", "exact"] == train.loc["mnli", "n"]
    assert train.loc["mnli (qaa, qab)", "exact"] == 0
    assert 0 < train.loc["mnli (all)", "exact"] < train.loc["mnli", "n"]
    assert train.loc[["mnli", "mnli (qaa, qab)", "mnli (all)"], "same_source"].all()
    scores = pd.DataFrame({"condition": ["translated", "none"], "target": "xnli"})
    assert overlap.mark(scores, study, found)["same_data"].tolist() == [True, False]


# Real data; numbers counted by others


@pytest.fixture
def texts(mirror: Path) -> Callable[[str], list[str]]:
    """Return a reader of the texts of training data on the mirror."""
    study = profile.load("small_cpu")

    def read(*names: str) -> list[str]:
        return [
            text
            for name in names
            for text in overlap.texts_of(corpora.load(study, tasks.TRAINING[name]))
        ]

    return read


def test_ewt_is_half_of_english_udpos(texts: Callable[..., list[str]]) -> None:
    ewt, udpos = texts("ewt"), texts("udpos_en")
    # Word by word, 82.6 % of EWT's sentences stand there. The rest are split otherwise: "do n't" is
    # two words in EWT's tree and one in XTREME's file.
    alike = set(ewt) & set(udpos)
    assert round(len(alike) / len(set(ewt)), 3) == 0.826
    assert round(len(alike) / len(set(udpos)), 2) == 0.46
    found = counts(ewt, udpos)
    assert found["task_exact"] == found["task_n"]
    assert 0.55 < found["exact"] / found["n"] < 0.57


@pytest.mark.parametrize(
    ("names", "counted"), [(["mrpc"], 217), (["snli_validation", "snli_test"], 107)]
)
def test_stsb_shares_sentences_with_its_sources(
    texts: Callable[..., list[str]], names: list[str], counted: int
) -> None:
    stsb, other = texts("stsb"), texts(*names)
    without_stop = [{text.lower().strip(" .") for text in side} for side in (stsb, other)]
    assert len(without_stop[0] & without_stop[1]) == counted
    plain = [
        {"".join(filter(str.isalnum, text.casefold())) for text in side} for side in (stsb, other)
    ]
    found = counts(stsb, other)
    assert found["exact"] == len(plain[0] & plain[1]) >= counted
