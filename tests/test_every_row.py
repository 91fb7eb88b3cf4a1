"""Every row of the table and every condition goes through all phases and loses no example."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from lib import (
    encoder,
    examples,
    intermediate,
    inventory,
    plan,
    profile,
    results,
    tasks,
    transfer,
    workflow,
)
from lib.errors import InputError
from lib.profile import Profile
from lib.results import Cell
from lib.tasks import Source, Task

# Of what stands in where a mirror lacks a training set, no world has data: `test_intermediate`.
STAND_INS = ("mrpc", "snli_small", "squadshifts")
ROWS = [name for name in tasks.intermediate() if name not in ("mlm", *STAND_INS)]
BOTH = ["ud_parsing", "stsb"]
OPTIONS: dict[str, dict[str, Any]] = {
    "ud_parsing_shuffled": {"task": "ud_parsing", "shuffled": True},
    "ud_parsing-deep": {"task": "ud_parsing", "parser": "deep_biaffine"},
    "stsb-bi": {"task": "stsb", "pair": "bi"},
    "mnli-bi": {"task": "mnli", "pair": "bi"},
    "stsb-first": {"task": "stsb", "pair": "bi", "pooling": "first"},
    "hellaswag-first": {"task": "hellaswag", "pooling": "first"},
    "mnli-translated": {"task": "mnli", "translated": ["all"]},
    "mnli-in-qaa": {"task": "mnli", "translated": ["qaa"]},
    "stsb-epochs": {"task": "stsb", "budget": {"epochs": 1.0, "batch_examples": 20}},
    "stsb-joint": {"task": "stsb", "joint_mlm": 0.5},
    "multitask": {"task": "multitask", "tasks": ROWS, "cap": 30, "temperature": 2.0},
    "multitask-joint": {"task": "multitask", "tasks": BOTH, "joint_mlm": 0.4},
    "multitask-bi-deep": {"task": "multitask", "tasks": BOTH, "pair": "bi",
                          "parser": "deep_biaffine"},
}  # fmt: skip
CONDITIONS: dict[str, dict[str, Any]] = {
    "none": {}, "random": {"random_encoder": True},
    **{name: {"task": name} for name in ROWS},
    **{f"mlm_on_{name}_text": {"task": "mlm", "text_of": name} for name in ROWS},
    **OPTIONS,
}  # fmt: skip
BASELINES = {"parsing": {"right_arc", "left_arc"}, "regression": {"bag_of_words"}, "span": set(),
             "tagging": {"most_frequent"}, "classification": {"most_frequent"},
             "multiple_choice": {"most_frequent"}}  # fmt: skip


# What the files hold, counted without `lib`


def number_of_rows(root: Path, folder: str, split: str) -> int:
    return sum(pq.read_metadata(file).num_rows for file in (root / folder).glob(f"{split}-*"))


def in_files(root: Path, target: str, split: str) -> Counter[str]:
    """Count a target's evaluation examples by language, under the files' own names for it."""
    xtreme = root / "google" / "xtreme"
    if target == "bucc" and not (root / "mteb").is_dir():
        gold = (root / "bucc2018").glob("*.gold")
        return Counter({f.name.partition("-")[0]: f.read_text().count("\n") for f in gold})
    if target == "bucc":
        pairs = {file: pq.read_table(file) for file in (root / "mteb" / "BUCC").rglob("test-*")}
        return Counter(
            {f.parent.name.partition("-")[0]: len(t["gold"][0]) for f, t in pairs.items()}
        )
    if target == "xnli":
        (file,) = (xtreme / "XNLI").glob(f"{split}-*")
        return Counter(pq.read_table(file)["language"].to_pylist())
    if target == "tydiqa":
        (file,) = (xtreme / "tydiqa").glob(f"{split}-*")
        return Counter(name.partition("-")[0] for name in pq.read_table(file)["id"].to_pylist())
    named = {"panx": "PAN-X", "pawsx": "PAWS-X", "xquad": "XQuAD", "mlqa": "MLQA"}
    found = xtreme.glob(f"{named.get(target, target)}.*/{split}-*")
    return Counter({f.parent.name.partition(".")[2]: pq.read_metadata(f).num_rows for f in found})


SPLITS = {"tatoeba": "validation", "xquad": "validation", "tydiqa": "validation"}


def complete(run: results.Run, root: Path, split: str = "") -> None:
    """Check a cell of phase 3: its record, scores and predictions are whole and agree."""
    target = run.cell.target
    counted = in_files(root, target, split or SPLITS.get(target, "test"))
    record = json.loads((run.cell.folder / "run.json").read_text(encoding="utf-8"))
    assert record["parameters_hash"] == profile.digest(record["parameters"]) and record["data"]
    assert all(np.isfinite(entry["loss"]) for entry in record.get("log", []))
    names = [*(record["parameters"]["target"]["train"] or tasks.get(target).train)]
    assert record.get("trained_on", names) == names
    scores = pd.read_parquet(run.cell.folder / "scores.parquet")
    reported = scores[scores["reported"]].set_index("language")
    assert reported.index.is_unique and len(reported) == len(counted)
    assert sorted(reported["n"]) == sorted(counted.values())
    assert reported["value"].between(0, 1).all()
    assert scores.drop(columns="layer").notna().all(axis=None)
    predictions = pd.read_parquet(run.cell.folder / "predictions.parquet")
    assert (
        not predictions.duplicated(["language", "id"]).any() and predictions["value"].notna().all()
    )
    assert predictions.groupby("language").size().to_dict() == reported["n"].to_dict()
    assert {file.name for file in run.cell.work.rglob("*") if file.is_file()} <= {".lock"}


# Through all phases


@pytest.fixture(scope="module")
def settings(
    every_row: Callable[..., Profile], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Profile]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESULTS_ROOT", str(tmp_path_factory.mktemp("rows")))
        yield every_row("every_row", conditions=CONDITIONS)


@pytest.fixture(scope="module")
def root(settings: Profile) -> Path:
    from lib import corpora

    folder = corpora.prepare(settings)
    assert folder is not None
    return folder


@pytest.mark.parametrize("target", tasks.targets())
def test_every_target_loads_trains_evaluates_and_stores_every_example(
    settings: Profile, root: Path, target: str
) -> None:
    (run,) = transfer.run(settings, "none", target, 1)
    complete(run, root)
    source = {"en"} if tasks.get(target).kind != "retrieval" else set()
    assert set(run.scores["language"]) == source | {"qaa", "qab"}
    trained = [f"{tasks.TRAINING[name].dataset}" for name in tasks.get(target).train]
    assert run.facts.get("updates", 0) == (2 if trained else 0)
    for name in tasks.get(target).train:
        source_of = tasks.TRAINING[name]
        folder = f"{source_of.dataset}/{source_of.config}"
        assert folder in run.facts["data"]
        if not source_of.identifier_prefix:
            assert run.facts["examples"] == number_of_rows(root, folder, source_of.split)


@pytest.mark.parametrize("number", range(len(CONDITIONS)), ids=list(CONDITIONS))
def test_every_condition_hands_its_encoder_to_a_target(
    settings: Profile, root: Path, number: int
) -> None:
    condition = list(CONDITIONS)[number]
    # Targets in turn: each follows several conditions, without the product of both.
    target = tasks.targets()[number % len(tasks.targets())]
    (run,) = transfer.run(settings, condition, target, 1)
    complete(run, root)
    assert set(run.scores["condition"]) == {condition}
    earlier = Cell(settings.name, "intermediate", 1, condition)
    assert earlier.run_file.is_file() == ("task" in CONDITIONS[condition])
    if earlier.run_file.is_file():
        facts = intermediate.run_one(settings, condition, 1).facts
        assert facts["updates"] == 2 and facts["tokens"] > 0 and facts["data"]
        trained = facts.get("updates_of", {})
        assert all(
            (trained.get(name, 0) > 0) == (n > 0) for name, n in facts.get("tokens_of", {}).items()
        )
        assert facts["log"] and all(np.isfinite(entry["loss"]) for entry in facts["log"])
        assert (earlier.folder / "encoder" / "model.safetensors").is_file()


@pytest.mark.parametrize("name", ROWS)
def test_every_row_reads_all_its_files_and_is_scored_before_and_after(
    settings: Profile, root: Path, name: str
) -> None:
    row = tasks.get(name)
    run = intermediate.run_one(settings, name, 1)
    assert row.validation is not None
    sources = [*(tasks.TRAINING[source] for source in row.train), row.validation]
    if name == "ccg":
        sections = {path: path.parent.name for path in (root / "ccgbank").rglob("*.auto")}
        trees = {path: path.read_text().count("ID=") for path in sections}
        held_out = sum(trees[path] for path in trees if sections[path] == "00")
        train = sum(trees[path] for path in trees if "02" <= sections[path] <= "21")
    else:
        *parts, held_out = [
            number_of_rows(root, f"{each.dataset}/{each.config}", each.split) for each in sources
        ]
        train = sum(parts)
    assert run.facts["examples"] == train > 0
    scores = run.scores[run.scores["metric"] == row.reported].set_index("moment")
    assert set(scores.index) == {"before", "after"} | BASELINES[row.kind]
    assert set(scores["n"]) == {held_out} and scores["value"].between(-1, 1).all()
    assert {f"{each.dataset}/{each.config}" for each in sources} == set(run.facts["data"])
    shown = examples.look_at(run)
    if row.kind == "parsing":
        assert shown.empty and run.samples
    else:
        assert {"gold", "predicted"} <= set(shown) and len(shown) >= min(held_out, 12)


WAYS = [
    ("pawsx", {"pair": "bi"}, ""), ("xnli", {"pooling": "first"}, ""),
    ("xnli", {"split": "validation"}, "validation"), ("bucc", {"pooling": "first"}, ""),
    ("xquad", {"train": ["squad", "tydiqa_en"], "train_examples": 30}, ""),
    ("tatoeba", {"pooling": "first"}, ""), ("panx", {"split": "validation"}, "validation"),
]  # fmt: skip


@pytest.mark.parametrize(("target", "change", "split"), WAYS)
def test_every_option_of_a_target_goes_through(
    settings: Profile,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    change: dict[str, Any],
    split: str,
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    budget = settings.targets[target].model_copy(update=change)
    changed = settings.model_copy(update={"targets": {target: budget}})
    (run,) = transfer.run(changed, "random", target, 1)
    complete(run, root, split)
    assert run.facts["parameters"]["target"].items() >= change.items()
    assert run.facts.get("examples", 30) == 30 or "train_examples" not in change


# A row more


RHYMES = {"sentence1": "left", "sentence2": "right", "label": "rhymes"}
VOWELS = {"words": "letters", "tags": "kinds"}
ROWS_MORE = (
    Task(
        name="rhyme", family="semantic similarity", kind="classification", train=("rhyme",),
        validation=Source("toy/rhymes", "default", "validation", RHYMES),
        reported="accuracy", licence="none", labels=("no", "yes"), published_size=24,
    ),
    Task(
        name="vowels", family="text", kind="tagging", train=("vowels_en",),
        validation=Source("toy/vowels", "en", "validation", VOWELS),
        evaluation=Source("toy/vowels", "{code}", "test", VOWELS),
        reported="f1", licence="none", labels=("B-VOWEL", "O"), languages=("en", "de", "el"),
        published_size=20,
    ),
)  # fmt: skip
TRAINING_MORE = {
    "rhyme": Source("toy/rhymes", "default", "train", RHYMES),
    "vowels_en": Source("toy/vowels", "en", "train", VOWELS),
}
STUDY = {
    "summary": "A row more.", "languages": ["en", "de", "el"], "pretraining": {"block_tokens": 16},
    "intermediate": {"updates": 2, "batch_tokens": 64},
    "conditions": {
        "none": {}, "random": {"random_encoder": True}, "rhyme": {"task": "rhyme"},
        "rhyme-bi": {"task": "rhyme", "pair": "bi"},
        "text": {"task": "mlm", "text_of": "rhyme"},
    },
    "targets": {"vowels": {"updates": 2, "batch_tokens": 64}}, "clean_targets": ["vowels"],
    "seeds": {1: 1},
}  # fmt: skip


def write_toys(write: Callable[..., None]) -> None:
    ends = ["at", "og", "ish"]
    for split, n in (("train", 24), ("validation", 9)):
        rows = {"left": [f"c{ends[i % 3]}" for i in range(n)],
                "right": [f"d{ends[i // 3 % 3]}" for i in range(n)]}  # fmt: skip
        same = [a[1:] == b[1:] for a, b in zip(rows["left"], rows["right"], strict=True)]
        write("toy/rhymes", "default", split, rows | {"rhymes": [["no", "yes"][s] for s in same]})
    for code, split, n in (("en", "train", 20), ("en", "validation", 6), ("en", "test", 7),
                           ("de", "test", 5)):  # fmt: skip
        letters = [list("abecidofu"[i % 4 :]) for i in range(n)]
        kinds = [["B-VOWEL" if c in "aeiou" else "O" for c in word] for word in letters]
        write("toy/vowels", code, split, {"letters": letters, "kinds": kinds})


def test_adding_a_task_is_adding_a_row(
    write: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_encoder: Any,
    letters: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for row in ROWS_MORE:
        monkeypatch.setitem(tasks.TASKS, row.name, row)
    for name, source in TRAINING_MORE.items():
        monkeypatch.setitem(tasks.TRAINING, name, source)
    write_toys(write)
    encoder.save(small_encoder(mlm=True), letters, tmp_path / "encoder")
    content = STUDY | {"encoder": {"path": str(tmp_path / "encoder")}}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    settings = profile.load(str(tmp_path / "toy.yaml"))
    inventory.check(settings)
    # Two updates of 64 tokens each: three conditions that train, and the target under all five.
    assert plan.make(str(tmp_path / "toy.yaml")).total().tokens == (3 + 5) * 2 * 64
    runs = transfer.run(settings, "all", "all", 0)
    assert [run.cell.condition for run in runs] == list(settings.conditions)
    for run in runs:
        reported = run.scores[run.scores["reported"]].set_index("language")
        assert reported["n"].to_dict() == {"en": 7, "de": 5}
        assert run.facts["not_found"] == ["el"] and run.facts["examples"] == 20
        predictions = pd.read_parquet(run.cell.folder / "predictions.parquet")
        assert predictions.groupby("language").size().to_dict() == {"en": 7, "de": 5}
    trained = intermediate.run_one(settings, "rhyme", 1)
    assert set(trained.scores["n"]) == {9} and trained.facts["examples"] == 24
    assert workflow.check_existing(settings)[0] == []
    assert set(results.collect(settings)["target"]) == {"vowels"}
    assert "published" not in capsys.readouterr().out


# Real data


QUESTIONS = {"train": ["squadshifts_wiki", "tydiqa_en"], "train_examples": 200}
REAL: dict[str, dict[str, Any]] = {
    "udpos": {"train_examples": 200},
    "panx": {"train_examples": 200, "split": "validation"},
    "xnli": {"train": ["snli_validation"], "train_examples": 200, "split": "validation"},
    "pawsx": {"train": ["mrpc"], "train_examples": 200, "split": "validation"},
    "xquad": QUESTIONS, "mlqa": QUESTIONS | {"split": "validation"}, "tydiqa": QUESTIONS,
    "bucc": {"split": "validation"}, "tatoeba": {},
}  # fmt: skip
# Conneau et al. 2018, section 3.1; Artetxe et al. 2020, section 4: parallel, so alike for all.
PARALLEL = {"xnli": 2_490, "xquad": 1_190}


def any_answer(root: Path) -> bool:
    (file,) = (root / "google" / "xtreme" / "tydiqa").glob("validation-*")
    return any(any(row["text"]) for row in pq.read_table(file)["answers"].to_pylist())


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the encoder of small_cpu without its upper layers: its scores are not looked at."""
    settings = profile.load("small_cpu")
    path = profile.encoder_path(settings)
    model = encoder.load_for_mlm(path, "", settings.encoder)
    model.base_model.encoder.layer = model.base_model.encoder.layer[:1]
    model.config.num_hidden_layers = 1
    folder = tmp_path_factory.mktemp("shallow")
    encoder.save(model, encoder.load_tokenizer(path), folder)
    return folder


@pytest.mark.parametrize("target", REAL)
def test_every_target_evaluates_every_example_of_every_real_language(
    mirror: Path, shallow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    settings = profile.load("small_cpu")
    row, split = tasks.get(target), REAL[target].get("split", "")
    budget = {} if row.kind == "retrieval" else {"updates": 2, "batch_tokens": 4096}
    changed = settings.model_copy(
        update={
            "name": "real",
            "encoder": settings.encoder.model_copy(update={"path": str(shallow)}),
            "languages": list(settings.language_table.index),
            "all_languages": {},
            "targets": {target: profile.Target(**budget, **REAL[target])},
        }
    )
    if target == "tydiqa" and not any_answer(mirror):
        with pytest.raises(InputError, match="tydiqa"):  # nothing to score against: trap of XTREME
            transfer.run(changed, "none", target, 1)
        pytest.skip("this mirror's TyDiQA has questions without their answers: it was refused")
    (run,) = transfer.run(changed, "none", target, 1)
    complete(run, mirror, split)
    reported = run.scores[run.scores["reported"]]
    assert set(reported["language"]) <= set(row.languages)
    missing = set(row.languages) - set(reported["language"])
    assert missing == set(run.facts["not_found"]) - {"en"}
    if target in PARALLEL:
        assert set(reported["n"]) == {PARALLEL[target]}
