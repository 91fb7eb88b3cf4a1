"""A cell is complete when its run.json stands, and never silently another than asked for."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lib import profile, results
from lib.errors import InputError
from lib.profile import Condition
from lib.results import Cell

PARAMETERS = {"encoder": {"layers": 2, "pretraining": {"tokens": 100}}, "seed": 1, "names": ["a"]}


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    return tmp_path


SMALL = profile.load("tiny").model_copy(
    update={
        "name": "small",
        "languages": ["en", "de"],
        "conditions": {"none": Condition(), "stsb": Condition(task="stsb", seeds=[1, 2])},
        "seeds": {1: 1, 2: 1, 3: 1},
    }
)


@pytest.fixture
def cell() -> Cell:
    return Cell("small", "transfer", 1, "stsb", "udpos")


def scores(**changes: Any) -> pd.DataFrame:
    row = {"condition": "stsb", "target": "udpos", "language": "de", "metric": "f1",
           "value": 0.5, "n": 10, "seed": 1, "encoder_seed": 1, "split": "test", "layer": None,
           "reported": True}  # fmt: skip
    return pd.DataFrame([row | changes])


def finish(cell: Cell, parameters: Any = PARAMETERS, **tables: Any) -> results.Run:
    return results.finish(cell, parameters, {"tokens": 7}, started=time.perf_counter(), **tables)


def refused(cell: Cell, parameters: Any = PARAMETERS) -> str:
    with pytest.raises(InputError) as error:
        results.read(cell, parameters)
    message = str(error.value)
    assert "\n" not in message
    assert str(cell.run_file) in message
    return message


def test_a_cell_has_one_folder_per_phase_condition_target_and_seed(store: Path, cell: Cell) -> None:
    assert cell.run_file == store / "small/transfer/stsb/udpos/seed=1/run.json"
    assert Cell("small", "pretrain", 3).folder == store / "small/pretrain/seed=3"
    assert (
        Cell("small", "intermediate", 2, "stsb").folder == store / "small/intermediate/stsb/seed=2"
    )
    assert cell.work == store / "small/.work/transfer/stsb/udpos/seed=1"


def test_the_record_holds_the_checksum_of_every_file_of_the_result(cell: Cell) -> None:
    (cell.work / "encoder").mkdir(parents=True)
    (cell.work / "encoder" / "model.safetensors").write_bytes(b"weights")
    (cell.work / "head.safetensors").write_bytes(b"head")
    cell.folder.mkdir(parents=True)
    (cell.folder / "notebook.ipynb").write_text("{}")
    made = finish(cell, scores=scores())
    # RFC 6234's function, by another implementation.
    said = subprocess.run(
        ["sha256sum", "encoder/model.safetensors", "head.safetensors", "scores.parquet"],
        cwd=cell.folder, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    expected = {line.split()[1]: line.split()[0] for line in said.splitlines()}
    assert made.facts["files"] == expected == results.checksums(cell.folder)


def test_a_finished_cell_is_read_back(cell: Cell) -> None:
    assert results.read(cell, PARAMETERS) is None
    table = scores()
    made = finish(cell, scores=table, predictions=pd.DataFrame({"id": ["0"], "value": [1.0]}))
    assert made.fresh
    read = results.read(cell, dict(reversed(PARAMETERS.items())))
    assert read is not None and not read.fresh
    assert read.facts == made.facts
    assert read.facts["tokens"] == 7
    assert {"parameters", "commit", "packages", "device", "seconds"} <= set(read.facts)
    assert read.scores["value"].tolist() == [0.5]
    assert sorted(path.name for path in cell.folder.iterdir()) == [
        "predictions.parquet", "run.json", "scores.parquet"
    ]  # fmt: skip
    assert cell.key in read.summary() and "there already" in read.summary()
    assert "made now" in made.summary()


def test_the_record_is_written_after_everything_else(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cell.work / "encoder").mkdir(parents=True)
    (cell.work / "encoder" / "weights").write_text("w")
    (cell.work / "checkpoint-5").mkdir()
    seen: list[set[str]] = []
    replace = results.os.replace

    def spy(source: Any, target: Any) -> None:
        if Path(target) == cell.run_file:
            seen.append({path.name for path in cell.folder.iterdir() if path.name[0] != "."})
        replace(source, target)

    monkeypatch.setattr(results.os, "replace", spy)
    finish(cell, scores=scores())
    assert seen == [{"scores.parquet", "encoder"}]
    assert (cell.folder / "encoder" / "weights").read_text() == "w"
    assert not (cell.work / "checkpoint-5").exists()


def test_a_cell_that_died_before_its_record_is_not_finished(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "provenance", die)
    with pytest.raises(KeyboardInterrupt):
        finish(cell, scores=scores())
    assert (cell.folder / "scores.parquet").is_file()
    assert results.read(cell, PARAMETERS) is None
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"seed": 2}, ["seed = 1", "2"]),
        ({"encoder": {"layers": 3, "pretraining": {"tokens": 100}}}, ["encoder.layers = 2", "3"]),
        (
            {"encoder": {"layers": 2, "pretraining": {"tokens": 200}}},
            ["encoder.pretraining.tokens = 100", "200"],
        ),
        ({"names": ["a", "b"]}, ["names = ['a']", "['a', 'b']"]),
        ({"new": 5}, ["new = None", "5"]),
    ],
)
def test_another_value_of_a_parameter_is_an_error_that_names_it(
    cell: Cell, changed: dict[str, Any], named: list[str]
) -> None:
    finish(cell)
    before = cell.run_file.read_bytes()
    message = refused(cell, PARAMETERS | changed)
    for part in named:
        assert part in message
    assert cell.run_file.read_bytes() == before


NO_RECORD = ["", "{", '{"tokens": 7}', "[]", "3", '{"parameters": {}}']


@pytest.mark.parametrize("text", NO_RECORD)
def test_a_damaged_record_is_an_error_that_names_the_file(cell: Cell, text: str) -> None:
    finish(cell)
    cell.run_file.write_text(text)
    assert str(cell.folder) in refused(cell)


def test_a_record_cut_in_the_middle_is_an_error(cell: Cell) -> None:
    finish(cell)
    whole = cell.run_file.read_text()
    cell.run_file.write_text(whole[: len(whole) // 2])
    refused(cell)


def test_the_tidy_table_holds_finished_cells_only(cell: Cell) -> None:
    finish(cell, scores=scores())
    other = Cell("small", "transfer", 2, "stsb", "udpos")
    finish(other, scores=scores(seed=2, value=0.75, extra="column"))
    unfinished = Cell("small", "transfer", 3, "stsb", "udpos")
    unfinished.folder.mkdir(parents=True)
    scores(seed=3).to_parquet(unfinished.folder / "scores.parquet")
    finish(Cell("small", "intermediate", 1, "stsb"), scores=pd.DataFrame({"metric": ["las"]}))
    finish(Cell("small", "transfer", 1, "stsb", "all"))
    finish(Cell("other", "transfer", 1, "stsb", "udpos"), scores=scores(value=0.1))
    table = results.collect(SMALL)
    assert list(table.columns) == results.SCORES
    assert sorted(zip(table["seed"], table["value"], strict=True)) == [(1, 0.5), (2, 0.75)]


@pytest.mark.parametrize(
    "beyond", [{"condition": "ccg"}, {"target": "mlqa"}, {"seed": 4}, {"language": "el"}]
)
def test_the_tidy_table_has_what_the_profile_lists(cell: Cell, beyond: dict[str, Any]) -> None:
    both = pd.concat([scores(), scores(condition="none", seed=3), scores(**beyond)])
    finish(cell, scores=both)
    table = results.collect(SMALL)
    assert list(zip(table["condition"], table["seed"], strict=True)) == [("stsb", 1), ("none", 3)]
    everywhere = results.collect(SMALL, everywhere=True)
    assert len(everywhere) == (3 if "language" in beyond else 2)


def test_a_record_of_several_cells_stands_for_just_these_and_their_parameters(cell: Cell) -> None:
    together = Cell("small", "transfer", 1, "all", "all")
    run = finish(cell)
    wanted = {cell.key: run.facts["parameters_hash"]}
    results.finish_together(together, [run], started=0.0)
    assert results.stands_for(together, wanted)
    assert results.read(cell, PARAMETERS) is not None
    assert not results.stands_for(together, {cell.key: "another"})
    assert not results.stands_for(together, {})
    assert not results.stands_for(Cell("small", "transfer", 2, "all", "all"), wanted)


def test_a_store_without_a_finished_cell_is_one_line(store: Path) -> None:
    with pytest.raises(InputError, match="no finished cell"):
        results.collect(SMALL)


def test_a_record_is_plain_json(cell: Cell) -> None:
    finish(cell)
    record = json.loads(cell.run_file.read_text(encoding="utf-8"))
    assert record["parameters"] == PARAMETERS
    assert record["cell"] == cell.key


def test_cells_that_were_not_made_alike_are_counted_in_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = [{"precision": "bfloat16", "attention": "packed"}] * 2 + [{}]
    for seed, of_cell in enumerate(facts, 1):
        cell = Cell("small", "transfer", seed, "stsb", "udpos")
        results.finish(cell, PARAMETERS, of_cell, started=0.0, scores=scores(seed=seed))
        results.collect(SMALL)
        said = capsys.readouterr().out
        assert ("not all cells were made alike" in said) == (seed == 3)
    assert "not all cells were made alike: 2 in bfloat16, packed, 1 in float32, padded" in said


def test_cells_that_are_not_finished_are_counted_in_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # `none` with three seeds and `stsb` with two, on each target.
    total = whole = 5 * len(SMALL.targets)
    for condition, seed in SMALL.runs:
        for target in SMALL.targets:
            cell = Cell("small", "transfer", seed, condition, target)
            finish(cell, scores=scores(seed=seed, condition=condition, target=target))
            results.collect(SMALL)
            whole -= 1
            said = capsys.readouterr().out
            assert (f"{whole} of {total} cells are not finished" in said) == (whole > 0)
