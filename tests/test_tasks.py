"""The table is complete, consistent with itself, and pinned wherever a hub can be."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from lib import corpora, profile, results, revisions, tasks, transfer
from lib.errors import InputError
from lib.results import Cell
from lib.tasks import Source

EVERY = [
    *tasks.TRAINING.values(),
    *(row.validation for row in tasks.TASKS.values() if row.validation),
    *(row.evaluation for row in tasks.TASKS.values() if row.evaluation),
]
UNPINNED = {"squadshifts", "ccgbank", "bucc2018"}  # on no hub


def test_the_intermediate_tasks_are_those_of_the_study() -> None:
    # Phang et al. 2020, table 1, with UD parsing, STS-B, SICK-R and PAWS for the question.
    assert set(tasks.intermediate()) >= set(
        "ud_parsing ccg stsb sick qqp paws mnli anli squad squad_v2 hellaswag cosmos_qa "
        "commonsense_qa".split()
    )


@pytest.mark.parametrize("dataset", sorted({source.dataset for source in EVERY} - UNPINNED))
def test_what_the_hub_has_is_read_at_a_fixed_revision(dataset: str) -> None:
    revision = revisions.REVISIONS[revisions.HUB_IDS.get(dataset, dataset)]
    assert re.fullmatch(r"[0-9a-f]{40}|\d\.\d+|refs/convert/parquet", revision)


def test_a_branch_is_read_at_the_commit_that_it_points_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "_commit", lambda name, branch: f"{name} at {branch}")
    found = [corpora.fingerprint(None, name, "") for name in ("sick", "some/where")]
    assert found == ["RobZamp/sick at refs/convert/parquet", "some/where at main"]
    pinned = corpora.fingerprint(None, "facebook/anli", "plain_text")
    assert pinned == revisions.REVISIONS["facebook/anli"]


@pytest.mark.parametrize("name", [name for name in tasks.intermediate() if name != "mlm"])
def test_a_row_says_all_that_phase_2_needs(name: str) -> None:
    row = tasks.get(name)
    assert row.train and set(row.train) <= set(tasks.TRAINING)
    assert row.validation is not None and row.published_size > 1000 and row.licence
    assert bool(row.labels) == (row.kind in ("classification", "multiple_choice"))
    assert row.kind != "regression" or row.label_range[1] == 5
    columns = [set(source.columns) for source in (tasks.TRAINING[row.train[0]], row.validation)]
    assert columns[0] == columns[1]


def test_anli_with_mnli_and_snli_is_the_sum_of_its_parts() -> None:
    # The hub's own counts; of SNLI's 550,152 pairs 785 have no gold label.
    rounds = 16_946 + 45_460 + 100_459
    mnli, snli = tasks.get("mnli").published_size, 550_152 - 785
    assert tasks.get("anli").published_size == rounds + mnli + snli


def test_no_two_sources_are_one_under_two_names() -> None:
    def key(source: Source) -> tuple[str, ...]:
        return (source.dataset, source.config, source.split, source.identifier_prefix)

    keys = [key(source) for source in tasks.TRAINING.values()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("key", "value"), [("reported", "acc"), ("validation", None), ("train", ())]
)
def test_a_row_that_nothing_could_be_reported_or_trained_by_is_refused(
    key: str, value: Any
) -> None:
    with pytest.raises(InputError, match=rf"lib/tasks\.py: mnli\.{key}: found"):
        dataclasses.replace(tasks.get("mnli"), **{key: value})


def recorded(study: str = "tiny") -> dict[str, Any]:
    return transfer.parameters(profile.load(study, whole=True), "stsb", "xnli", 1)


CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "task.evaluation.split = 'test', asked for 'train'": (
        "xnli",
        {"evaluation": dataclasses.replace(tasks.TASKS["xnli"].evaluation, split="train")},  # type: ignore[type-var]
    ),
    "task.open_labels = None, asked for True": ("xnli", {"open_labels": True}),
    "task.train.snli.columns.label = None, asked for 'label'": (
        "xnli",
        {"train": ("snli", "mnli")},
    ),
    "tasks.stsb.label_range = [0.0, 5.0], asked for [0.0, 4.0]": (
        "stsb",
        {"label_range": (0.0, 4.0)},
    ),
}


@pytest.mark.parametrize("said", CHANGES)
def test_a_result_of_a_row_that_has_changed_since_is_refused_and_named(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, changes = CHANGES[said]
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    cell = Cell("tiny", "transfer", 1, "stsb", "xnli")
    results.finish(cell, recorded(), {}, started=0.0)
    assert results.read(cell, recorded()) is not None
    monkeypatch.setitem(tasks.TASKS, name, dataclasses.replace(tasks.get(name), **changes))
    with pytest.raises(InputError, match=re.escape(said)):
        results.read(cell, recorded())


def test_a_result_of_a_column_that_is_read_otherwise_since_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = recorded()
    source = tasks.TRAINING["stsb"]
    columns = source.columns | {"sentence1": "sentence2", "sentence2": "sentence1"}
    monkeypatch.setitem(tasks.TRAINING, "stsb", dataclasses.replace(source, columns=columns))
    assert recorded()["tasks"] != before["tasks"] and recorded()["task"] == before["task"]


def test_words_about_a_row_and_languages_of_other_studies_change_no_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, real = recorded(), recorded("small_cpu")
    row = tasks.get("xnli")
    other = {"licence": "ours", "published_size": 7, "languages": (*row.languages, "fo")}
    monkeypatch.setitem(tasks.TASKS, "xnli", dataclasses.replace(row, **other))  # type: ignore[arg-type]
    assert recorded() == before and recorded("small_cpu") == real
    fewer = dataclasses.replace(row, languages=("en", "de"))
    monkeypatch.setitem(tasks.TASKS, "xnli", fewer)
    assert recorded() == before and recorded("small_cpu") != real
