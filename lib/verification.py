"""Verify a finished study: every cell there, whole, and saying what its own files say.

`python -m lib.verification world` is what `make check` calls. It reads only, and trains nothing.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lib import (
    corpora,
    execution,
    paths,
    pretraining,
    profile,
    rescoring,
    results,
    tasks,
    workflow,
)
from lib.errors import InputError
from lib.profile import Profile, digest
from lib.results import Cell

RECORDED = ("cell", "parameters", "parameters_hash", "seconds", "commit", "packages", "python",
            "device", "finished")  # fmt: skip


@dataclass
class Verified:
    """Hold what is wrong, in a line each, what was looked at, and what could not be."""

    settings: Profile
    problems: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    cells: int = 0
    files: int = 0
    scores: int = 0
    data: dict[str, str | None] = field(default_factory=dict)

    def wrong(self, file: Path, what: str) -> None:
        """Add a problem of a file."""
        self.problems.append(f"{file}: {what}")


def verify(settings: Profile) -> Verified:
    """Look at every cell of a profile's grid, at what else was recorded, and at the figures.

    Raises InputError where the profile has no results at all.
    """
    folder = paths.results(settings.name)
    if not folder.is_dir():
        raise InputError(f"{folder}: no results; run `{settings.command()}` first")
    found, grid = Verified(settings), workflow.cells(settings)
    for cell, wanted in grid.items():
        _check_cell(found, cell, wanted)
    of_grid = {cell.run_file for cell in grid}
    for file in sorted(folder.glob("[!.]*/**/run.json")):
        if file not in of_grid and (facts := _record(found, file)):
            _check_files(found, file.parent, facts)
    _check_analyses(found, grid)
    return found


def _record(found: Verified, file: Path) -> dict[str, Any]:
    """Read a record; an empty one, and a problem, where it cannot be read."""
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        facts = None
    if isinstance(facts, dict):
        return facts
    found.wrong(file, "not a run's record: truncated, or no JSON")
    return {}


def _check_cell(found: Verified, cell: Cell, wanted: dict[str, Any]) -> None:
    if not cell.run_file.is_file():
        found.wrong(cell.run_file, f"missing; `{found.settings.command()}` makes it")
        return
    facts = _record(found, cell.run_file)
    if not facts:
        return
    found.cells += 1
    try:
        results.read(cell, wanted)
    except InputError as error:
        found.problems.append(str(error))
    _check_record(found, cell, facts)
    _check_files(found, cell.folder, facts)
    if cell.phase == "pretrain" and (files := facts.get("encoder_files")):
        _check_encoder(found, cell, files)
    if cell.phase == "transfer":
        _check_scores(found, cell, facts)
    elif (cell.folder / "scores.parquet").is_file():
        table = _table(found, cell.folder / "scores.parquet")
        if table is not None:
            found.notes[f"{cell.phase}: no predictions are kept of this phase"] += len(table)


def _check_encoder(found: Verified, cell: Cell, recorded: dict[str, str]) -> None:
    """Compare an existing encoder with what it was when the study took it."""
    folder = profile.encoder_path(found.settings, cell.seed)
    now = pretraining.files_of(folder)
    if not now:
        found.notes["encoders that are not here, and were not compared"] += 1
    for name in sorted(name for name in recorded if now and now.get(name) != recorded[name]):
        found.wrong(cell.run_file, f"{folder}/{name} is another file than the study began with")


def _check_record(found: Verified, cell: Cell, facts: dict[str, Any]) -> None:
    """Check that a record says where its numbers come from, and is the cell's own."""
    file = cell.run_file
    for key in RECORDED:
        if facts.get(key) in (None, "", {}):
            found.wrong(file, f"no {key!r} in its provenance")
    absent = [name for name in results.PACKAGES if name not in (facts.get("packages") or {})]
    if absent:
        found.wrong(file, f"no version of {', '.join(absent)} in its provenance")
    if facts.get("cell") not in (None, cell.key):
        found.wrong(file, f"is of {facts['cell']}, another cell")
    if "parameters" in facts and digest(facts["parameters"]) != facts.get("parameters_hash"):
        found.wrong(file, "its parameters do not have the hash that stands beside them")
    if str(facts.get("commit", "")).endswith("-dirty"):
        found.notes["cells made from a tree with uncommitted changes"] += 1
    taken_as_it_is = cell.phase == "pretrain" and "encoder" in facts
    if not taken_as_it_is and not facts.get("data"):
        found.wrong(file, "no 'data' in its provenance")
    root = profile.data_root(found.settings)
    for name, recorded in (facts.get("data") or {}).items():
        if name not in found.data:
            found.data[name] = _fingerprint(root, name)
        now = found.data[name]
        if now is None:
            found.notes["data that are not here, and were not compared"] += 1
        elif now != recorded:
            found.wrong(file, f"made from {name} of {recorded}; {root} has {now}")


def _fingerprint(root: Path | None, name: str) -> str | None:
    """Return the hash of data as they stand in a mirror or world; None where they do not."""
    dataset, _, config = name.rpartition("/")
    if root is None or dataset == tasks.CCGBANK or not (root / dataset).is_dir():
        return None
    folder = root / dataset
    there = any((folder / config).glob("*.parquet")) or any(folder.glob(f"{config}.*"))
    return corpora.fingerprint(root, dataset, config) if there else None


def _check_files(found: Verified, folder: Path, facts: dict[str, Any]) -> None:
    """Compare the files of a result with their recorded checksums."""
    if "files" not in facts:
        found.notes["records of before checksums were kept"] += 1
        for file in sorted(folder.rglob("*.safetensors")):
            _check_weights(found, file)
        return
    recorded, there = facts["files"], results.checksums(folder)
    found.files += len(recorded)
    for name in sorted(recorded.keys() | there.keys()):
        if name not in there:
            found.wrong(folder / name, "missing; its run.json names it")
        elif name not in recorded:
            found.wrong(folder / name, "not in the run.json beside it")
        elif recorded[name] != there[name]:
            found.wrong(folder / name, "its SHA-256 is not the recorded one: changed since")


def _check_weights(found: Verified, file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np"):
            pass
    except (SafetensorError, OSError):
        found.wrong(file, "not a whole safetensors file")


def _check_scores(found: Verified, cell: Cell, facts: dict[str, Any]) -> None:
    """Check that every language is scored once, and that predictions give the scores."""
    file = cell.folder / "scores.parquet"
    scores = _table(found, file)
    predictions = _table(found, cell.folder / "predictions.parquet")
    if scores is None or predictions is None:
        return
    task = tasks.get(cell.target)
    try:
        again = rescoring.rescore(task, scores, predictions)
        reported = scores[scores["reported"].astype(bool)].groupby("language").size()
    except KeyError as error:
        found.wrong(file, f"or the predictions beside it: no column {error}")
        return
    found.problems += [f"{file}: {line}" for line in again.problems]
    found.scores += again.compared
    found.notes.update(again.left)
    expected = _languages(found.settings, cell, facts)
    for code in sorted(expected - set(reported.index)):
        found.wrong(file, f"{code}: no reported score")
    for code in reported.index[reported > 1]:
        found.wrong(file, f"{code}: {reported[code]} reported scores, expected one")
    if not _finite(scores["value"]):
        found.wrong(file, "a value that is no finite number")


def _languages(settings: Profile, cell: Cell, facts: dict[str, Any]) -> set[str]:
    """Return the languages that a cell must have a score in."""
    task = tasks.get(cell.target)
    listed = (facts.get("parameters") or {}).get("languages") or []
    return {
        code
        for code in listed
        if (settings.world is not None or code in task.languages)
        and (task.kind != "retrieval" or code != settings.source_language)
    } - set(facts.get("not_found") or [])


def _table(found: Verified, file: Path) -> pd.DataFrame | None:
    """Read a table; None, and a problem, where it is missing or not whole."""
    import pyarrow

    if not file.is_file():
        found.wrong(file, "missing")
        return None
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError, pyarrow.ArrowException):
        found.wrong(file, "not a whole parquet file")
        return None


def _check_analyses(found: Verified, grid: dict[Cell, dict[str, Any]]) -> None:
    """Check that every analysis ran to its end, after the last cell, and drew what stands."""
    settings = found.settings
    there = execution.cells(paths.results(settings.name))
    ends = [_finished(cell.run_file) for cell in grid if cell.phase == "transfer"]
    for source in sorted(paths.NOTEBOOKS.glob("analysis_*.ipynb")):
        file = paths.results(settings.name) / source.stem / "notebook.ipynb"
        if not file.is_file():
            found.wrong(file, f"missing; `{settings.command()}` makes it")
            continue
        notebook = _record(found, file)
        run = notebook.get("metadata", {}).get("papermill", {})
        if not notebook:
            continue
        if run.get("exception") or not run.get("end_time"):
            found.wrong(file, "did not run to its end")
        elif (read := file.with_name(execution.READ)).is_file():
            if read.read_text(encoding="utf-8") != there:
                found.wrong(file, "made of other cells than those that stand")
        # Of before that was kept: by the clocks of the machines that made them.
        elif run["start_time"][:19] < max(ends, default=""):
            found.wrong(file, f"older than a cell, which was made at {max(ends)}")
    folder = paths.figures(settings.name)
    for file in sorted(folder.glob("*.png")):
        if not file.with_suffix(".csv").is_file():
            found.wrong(file.with_suffix(".csv"), f"missing; {file.name} was drawn from it")
    _check_figures(found, folder / "scores.csv")


def _finished(file: Path) -> str:
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["finished"])[:19]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _check_figures(found: Verified, file: Path) -> None:
    """Compare the table that the figures are drawn from with the results as they stand."""
    if not file.is_file():
        found.wrong(file, f"missing; `{found.settings.command()}` makes it")
        return
    try:
        drawn = pd.read_csv(file, dtype=str, keep_default_na=False)[results.SCORES]
        table = results.collect(found.settings, everywhere=True)
    except (InputError, OSError, ValueError, KeyError):
        found.wrong(file, "cannot be compared with the results: one of them cannot be read")
        return
    table["value"] = [f"{value:.6g}" for value in table["value"]]
    key = ["condition", "target", "language", "metric", "seed", "split", "layer"]
    text = table[results.SCORES].astype("string").fillna("").astype(str)
    both = text.merge(drawn, on=key, how="outer", suffixes=("", "_drawn"), indicator=True)
    both["differs"] = both["_merge"] != "both"
    both["differs"] |= both["value"] != both["value_drawn"]
    if both["differs"].any():
        first = both[both["differs"]].iloc[0]
        where = " ".join(str(first[name]) for name in key[:4])
        found.wrong(file, f"{int(both['differs'].sum())} scores are not those of the results, "
                          f"{where} first: draw the figures anew")  # fmt: skip


def _finite(values: pd.Series) -> bool:
    return bool(values.notna().all() and (values.abs() < float("inf")).all())


def describe(found: Verified, seconds: float) -> list[str]:
    """Say what was not looked at and why, and a summary, in lines to print."""
    lines = [f"not compared: {number:,} × {what}" for what, number in sorted(found.notes.items())]
    return [
        *lines,
        f"{found.settings.name}: {found.cells:,} cells, {found.scores:,} scores recomputed, "
        f"{found.files:,} checksums, {len(found.problems):,} problems ({seconds:.1f} s)",
    ]


def main(arguments: list[str] | None = None) -> int:
    """Read the command line; exit code 1 where there is a problem, 2 for an InputError."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", help="name of a profile, or path of a YAML file")
    wanted = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        found = verify(profile.load(wanted.profile))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in found.problems:
        print(line)
    if found.problems:
        print("what concerns a cell: delete its folder, and "
              f"`{found.settings.command()}` makes it again")  # fmt: skip
    print("\n".join(describe(found, time.perf_counter() - started)))
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
