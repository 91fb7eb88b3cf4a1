"""What was changed, cut or lost in a finished study is found, each by the name of its file."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lib import execution, paths, profile, results, tasks, transfer, verification, workflow
from lib.errors import InputError
from lib.profile import Profile
from lib.results import Cell

SMALL = {"updates": 2, "batch_tokens": 192, "max_sequence_length": 64}
CELL = Cell("study", "transfer", 1, "ud_parsing", "udpos")


@pytest.fixture(scope="module")
def finished(
    every_row: Callable[..., Profile], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Profile, Path]]:
    """Run a small grid; stand in for its analyses. Returns the profile and the stores' folder."""
    folder = tmp_path_factory.mktemp("finished")
    targets = {name: SMALL for name in ("udpos", "xnli", "xquad")} | {"tatoeba": {}, "bucc": {}}
    settings = every_row(
        "study",
        conditions={"none": {}, "random": {"random_encoder": True},
                    "ud_parsing": {"task": "ud_parsing"}, "stsb": {"task": "stsb"}},
        targets=targets, clean_targets=["udpos", "xnli", "xquad"],
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name in ("results", "figures"):
            patch.setenv(f"{name}_root".upper(), str(folder / name))
        transfer.run(settings, "all", "all", 0)
        times = {"start_time": "2999-01-01T00:00:00", "end_time": "2999-01-01T00:01:00"}
        for source in paths.NOTEBOOKS.glob("analysis_*.ipynb"):
            file = paths.results(settings.name) / source.stem / "notebook.ipynb"
            file.parent.mkdir()
            file.write_text(json.dumps({"metadata": {"papermill": times}, "cells": []}))
        figures = paths.figures(settings.name)
        figures.mkdir(parents=True)
        for name in ("one.png", "one.csv"):
            (figures / name).write_text("drawn")
        table = results.collect(settings, everywhere=True).assign(same_data=False)
        table.to_csv(figures / "scores.csv", index=False, float_format="%.6g", lineterminator="\n")
    yield settings, folder


@pytest.fixture
def study(
    finished: tuple[Profile, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Profile:
    """Return the profile of a copy of the finished study, to be tampered with."""
    settings, folder = finished
    shutil.copytree(folder, tmp_path / "copy")
    for name in ("results", "figures"):
        monkeypatch.setenv(f"{name}_root".upper(), str(tmp_path / "copy" / name))
    return settings


def problems(study: Profile) -> list[str]:
    found = verification.verify(study).problems
    assert not any("\n" in line for line in found)
    return found


def rewrite(file: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change a table and forge its checksum, so that only its content can tell."""
    change(pd.read_parquet(file)).to_parquet(file, index=False)
    record(file.parent, files=results.checksums(file.parent))


def record(folder: Path, **changes: Any) -> None:
    """Change keys of a record; None takes a key out."""
    file = folder / "run.json"
    facts = json.loads(file.read_text(encoding="utf-8")) | changes
    kept = {key: value for key, value in facts.items() if value is not None}
    file.write_text(json.dumps(kept), encoding="utf-8")


def test_a_finished_study_has_no_problem_and_its_scores_are_recomputed(study: Profile) -> None:
    found = verification.verify(study)
    assert found.problems == []
    assert found.cells == len(workflow.cells(study)) == 1 + 2 + 4 * 5
    # Three languages: udpos and xnli two metrics, xquad three; retrieval two languages without the
    # source: tatoeba its accuracy, bucc f1 and recall.
    assert found.scores == 4 * (3 * (2 + 2 + 3) + 2 * (1 + 2))
    # Of bucc, per run and language: precision and the best threshold's f1, and the other layer.
    assert found.notes["bucc precision: which wrong pairs were mined is not kept"] == 4 * 2
    # Two tables a run of phase 3; of phases 1 and 2 the scores, four files of an encoder, a parser.
    assert found.files == 4 * 5 * 2 + 3 * (1 + 4) + 1


def test_every_reported_metric_but_that_of_mining_is_recomputed_from_what_was_said(
    study: Profile,
) -> None:
    for name in study.targets:
        folder = Cell(study.name, "transfer", 1, "none", name).folder
        kept = pd.read_parquet(folder / "predictions.parquet")
        assert ("predicted" in kept) == (name != "bucc")
        notes = verification.verify(study).notes
        reported = tasks.get(name).reported
        assert not [note for note in notes if note.startswith(f"{name} {reported}:")]


def more(column: str, by: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[0, column] += by
        return table

    return change


def said(value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.at[0, "predicted"] = value
        return table

    return change


def retrieved(table: pd.DataFrame) -> pd.DataFrame:
    """Make a right one wrong, or a wrong one right: between two wrong ones no score can tell."""
    right = table.at[0, "predicted"] == table.at[0, "gold"]
    table.at[0, "predicted"] = table.at[0, "gold"] + int(right)
    return table


TABLES = {
    "a score": ("udpos", "scores", more("value", 0.01), "f1 is"),
    "a score of a fifth decimal": ("xnli", "scores", more("value", 1e-5), "accuracy is"),
    "an answer's score": ("xquad", "scores", more("value", 0.01), "exact_match is"),
    "a number of examples": ("udpos", "scores", more("n", 1), "16 predictions, but"),
    "what an example scored": ("xnli", "predictions", more("value", 0.5), "is marked"),
    "a mined pair": ("bucc", "predictions", more("value", 0.5), "recall"),
    "a tag": ("udpos", "predictions", said(["NOUN"]), "gold, 1 predicted"),
    "a retrieved sentence": ("tatoeba", "predictions", retrieved, "is marked"),
    "an example left out": ("xquad", "predictions", lambda t: t.iloc[1:], "15 predictions, but"),
    "an example with no score": ("xnli", "predictions", more("value", float("nan")), "no number"),
    "a language without scores": (
        "udpos", "scores", lambda t: t[t["language"] != "qab"], "qab: no reported score",
    ),
    "a language without predictions": (
        "udpos", "predictions", lambda t: t[t["language"] != "qab"], "qab: scores only",
    ),
    "a score that stands twice": (
        "xnli", "scores", lambda t: pd.concat([t, t.iloc[:1]]), "but scores are accuracy of",
    ),
    "two reported metrics": ("udpos", "scores", lambda t: t.assign(reported=True), "2 reported"),
    "a score that is no number": ("bucc", "scores", more("value", float("nan")), "finite"),
    "a column": ("udpos", "scores", lambda t: t.drop(columns="split"), "no column 'split'"),
}  # fmt: skip


@pytest.mark.parametrize("what", TABLES)
def test_a_changed_table_is_found_by_its_content_though_its_checksum_was_forged(
    study: Profile, what: str, request: pytest.FixtureRequest
) -> None:
    target, name, change, phrase = TABLES[what]
    folder = Cell(study.name, "transfer", 1, "ud_parsing", target).folder
    rewrite(folder / f"{name}.parquet", change)
    found = [line for line in problems(study) if line.startswith(f"{folder}/scores.parquet: ")]
    assert any(phrase in line for line in found), problems(study)
    request.getfixturevalue("record")("a table changed by hand, its checksum forged")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


FILES: dict[str, tuple[str, str, Callable[[Path], Any], str]] = {
    "scores cut": ("transfer", "scores.parquet", cut, "not a whole parquet file"),
    "predictions cut": ("transfer", "predictions.parquet", cut, "not a whole parquet file"),
    "scores lost": ("transfer", "scores.parquet", Path.unlink, "missing"),
    "predictions lost": ("transfer", "predictions.parquet", Path.unlink, "missing"),
    "record cut": ("transfer", "run.json", cut, "not a run's record"),
    "record lost": ("transfer", "run.json", Path.unlink, "study.yaml` makes it"),
    "cell lost": ("transfer", "run.json", lambda f: shutil.rmtree(f.parent), "missing"),
    "weights cut": ("intermediate", "encoder/model.safetensors", cut, "SHA-256"),
    "a bit of the weights": ("intermediate", "encoder/model.safetensors", flip, "SHA-256"),
    "parser lost": ("intermediate", "head.safetensors", Path.unlink, "its run.json names it"),
    "tokenizer changed": ("pretrain", "encoder/tokenizer.json", flip, "SHA-256"),
    "file added": ("transfer", "more.parquet", lambda f: f.write_text("x"), "not in the run.json"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_cut_lost_or_changed_is_named(
    study: Profile, what: str, request: pytest.FixtureRequest
) -> None:
    phase, name, change, phrase = FILES[what]
    made = {
        "transfer": CELL,
        "intermediate": Cell("study", "intermediate", 1, "ud_parsing"),
        "pretrain": Cell("study", "pretrain", 1),
    }
    change(made[phase].folder / name)
    found = problems(study)
    assert any(line.startswith(f"{made[phase].folder}/{name}: ") and phrase in line
               for line in found), found  # fmt: skip
    request.getfixturevalue("record")("a file of a result cut off, lost or changed")


@pytest.mark.parametrize("key", verification.RECORDED)
def test_a_record_without_a_part_of_its_provenance_is_named(study: Profile, key: str) -> None:
    record(CELL.folder, **{key: None})
    assert any(line.startswith(f"{CELL.run_file}: ") for line in problems(study))


def test_a_record_of_other_parameters_data_or_cell_is_named(
    study: Profile, finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = json.loads(CELL.run_file.read_text(encoding="utf-8"))
    changed = facts["parameters"] | {"seed": 2}
    record(CELL.folder, parameters=changed)
    (found,) = problems(study)
    assert found.startswith(f"{CELL.run_file}: ") and "hash" in found
    record(CELL.folder, parameters=changed, parameters_hash=profile.digest(changed))
    (found,) = problems(study)
    assert "made with seed = 2, asked for 1" in found
    record(CELL.folder, parameters=facts["parameters"], parameters_hash=facts["parameters_hash"])
    record(CELL.folder, packages={"torch": "2"}, cell="transfer/none/udpos/seed=1")
    packages, cell = problems(study)
    assert "no version of transformers" in packages and "another cell" in cell
    record(CELL.folder, packages=facts["packages"], cell=facts["cell"])
    root = profile.data_root(study)
    assert root is not None and problems(study) == []
    shutil.copytree(root, tmp_path / "worlds" / root.name)
    monkeypatch.setenv("WORLDS_ROOT", str(tmp_path / "worlds"))
    flip(next((tmp_path / "worlds" / root.name / "nyu-mll/glue/stsb").glob("train-*")))
    (found,) = problems(study)
    assert "intermediate/stsb/seed=1/run.json: made from nyu-mll/glue/stsb" in found


def test_another_budget_in_the_profile_is_found_in_every_cell_that_it_touches(
    study: Profile,
) -> None:
    longer = study.targets["xnli"].model_copy(update={"updates": 3})
    other = study.model_copy(update={"targets": study.targets | {"xnli": longer}})
    found = problems(other)
    assert len(found) == 4 and all("target.updates = 2, asked for 3" in line for line in found)


def test_analyses_and_figures_that_are_missing_failed_or_old_are_named(study: Profile) -> None:
    folder, figures = paths.results(study.name), paths.figures(study.name)
    names = sorted(file.stem for file in paths.NOTEBOOKS.glob("analysis_*.ipynb"))[:3]
    lost, failed, old = (folder / name / "notebook.ipynb" for name in names)
    lost.unlink()
    for file, run in ((failed, {"exception": True}), (old, {"start_time": "2020-01-01T00:00:00"})):
        notebook = json.loads(file.read_text())
        notebook["metadata"]["papermill"] |= run
        file.write_text(json.dumps(notebook))
    (figures / "two.png").write_text("drawn")
    table = pd.read_csv(figures / "scores.csv", dtype=str)
    table.loc[5, "value"] = "0.987654"
    table.to_csv(figures / "scores.csv", index=False)
    found = problems(study)
    assert len(found) == 5
    for file, phrase in (
        (lost, "missing"), (failed, "did not run to its end"), (old, "older than a cell"),
        (figures / "two.csv", "two.png was drawn from it"),
        (figures / "scores.csv", "1 scores are not those of the results"),
    ):  # fmt: skip
        assert any(line.startswith(f"{file}: ") and phrase in line for line in found)


def test_an_analysis_of_other_cells_is_named_whatever_the_clocks_say(study: Profile) -> None:
    store = paths.results(study.name)
    for file in store.glob("analysis_*/notebook.ipynb"):
        file.write_text(file.read_text().replace("2999-", "2020-"))
        file.with_name(execution.READ).write_text(execution.cells(store))
    assert problems(study) == []
    before = execution.cells(store)
    kernel = store / "transfer/all/all/seed=1/run.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text("{}")
    assert execution.cells(store) == before  # it holds no result of its own
    measured = store / "representation/none/knowledge/seed=1/run.json"
    measured.parent.mkdir(parents=True)
    measured.write_text("{}")
    assert execution.cells(store) == before  # an analysis makes it
    shutil.rmtree(store / "transfer/all")
    folder = Cell(study.name, "transfer", 1, "none", "udpos").folder
    record(folder, seconds=1.25)
    found = [line for line in problems(study) if "made of other cells" in line]
    assert len(found) == len(list(store.glob("analysis_*")))


def test_results_of_before_checksums_and_predictions_were_kept_are_compared_as_far_as_they_go(
    study: Profile,
) -> None:
    cells = [cell for cell in workflow.cells(study) if cell.phase == "transfer"]
    for cell in cells:
        file = cell.folder / "predictions.parquet"
        kept = pd.read_parquet(file)[["language", "id", "value"]]
        kept.to_parquet(file, index=False)
    for file in paths.results(study.name).rglob("run.json"):
        record(file.parent, files=None)
    found = verification.verify(study)
    assert found.problems == [] and found.files == 0
    # accuracy of xnli and tatoeba, f1 and the score that it implies of xquad, recall and f1 of bucc
    assert found.scores == 4 * (3 * (1 + 2) + 2 * (1 + 2))
    assert found.notes[
        "udpos f1: these results keep what each example scored, not what was said"
    ] == 4 * 3  # fmt: skip
    weights = Cell("study", "intermediate", 1, "stsb").folder / "encoder/model.safetensors"
    cut(weights)
    assert problems(study) == [f"{weights}: not a whole safetensors file"]


def test_the_command_says_each_problem_in_a_line_and_fails(
    study: Profile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setattr(verification.profile, "load", lambda name: study)
    assert verification.main(["study"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("study: 23 cells, 108 scores recomputed") and "0 problems" in last
    cut(CELL.folder / "scores.parquet")
    assert verification.main(["study"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{CELL.folder}/") and "problems" in lines[-1]
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "nothing"))
    assert verification.main(["study"]) == 2
    assert f"no results; run `{study.command()}`" in capsys.readouterr().err
    with pytest.raises(InputError):
        verification.verify(study)
