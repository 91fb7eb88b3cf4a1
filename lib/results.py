"""Keep results: one folder per cell of the grid, complete once its `run.json` stands.

`<results>/<profile>/<phase>/<condition>/<target>/seed=<n>/`. `run.json` is written last; work in
progress lies in `.work/`. A cell with other parameters is an error that names the differing key,
never a silent skip and never a silent overwrite.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import ArrowException

from lib import paths
from lib.errors import InputError
from lib.profile import Profile, digest

PACKED_COMMIT = ".commit"
PACKAGES = ("torch", "transformers", "datasets", "tokenizers", "accelerate", "numpy", "pandas")
SCORES = ["condition", "target", "language", "metric", "value", "n", "seed", "encoder_seed",
          "split", "layer", "reported"]  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Name one cell of the grid; phase 1 has no condition, phase 2 no target."""

    profile: str
    phase: str
    seed: int
    condition: str = ""
    target: str = ""

    @property
    def key(self) -> str:
        """Return the cell's path below the profile's results."""
        parts = (self.phase, self.condition, self.target, f"seed={self.seed}")
        return "/".join(part for part in parts if part)

    @property
    def folder(self) -> Path:
        """Return where the finished cell lies."""
        return paths.results(self.profile) / self.key

    @property
    def work(self) -> Path:
        """Return where the cell is being made."""
        return paths.results(self.profile) / ".work" / self.key

    def checkpoints(self, parameters: dict[str, Any]) -> Path:
        """Return where a training of these parameters and packages leaves its checkpoints."""
        return self.work / digest({"parameters": parameters, "packages": _packages()})[:8]

    @property
    def run_file(self) -> Path:
        """Return the file that marks the cell as complete."""
        return self.folder / "run.json"


@dataclass
class Run:
    """Hold a finished cell: its `run.json`, and its tables on demand."""

    cell: Cell
    facts: dict[str, Any]
    fresh: bool = field(default=False)

    @property
    def scores(self) -> pd.DataFrame:
        """Return the scores: one row per language, metric and layer."""
        return pd.read_parquet(self.cell.folder / "scores.parquet")

    @property
    def log(self) -> pd.DataFrame:
        """Return the training log: step, loss, learning rate."""
        return pd.DataFrame(self.facts.get("log", []))

    @property
    def samples(self) -> list[Any]:
        """Return a few predictions to look at."""
        return self.facts.get("samples", [])

    def summary(self) -> str:
        """Say in a line what this cell is and what it took."""
        state = "made now" if self.fresh else "was there already"
        facts = self.facts
        return (
            f"{self.cell.key}: {state}; {facts['seconds']:.0f} s on {facts['device']}, "
            f"{facts.get('tokens', 0):,} tokens in {facts.get('updates', 0):,} updates"
        )


def read(cell: Cell, parameters: dict[str, Any]) -> Run | None:
    """Return the finished cell, or None where it is yet to be made.

    Raises InputError where the cell was made with other parameters, naming the first that differs,
    or where its `run.json` cannot be read.
    """
    if not cell.run_file.is_file():
        return None
    try:
        facts = json.loads(cell.run_file.read_text(encoding="utf-8"))
        stored, made_with = facts["parameters"], facts["parameters_hash"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{cell.run_file}: not a run's record; delete {cell.folder}") from None
    if made_with != digest(parameters):
        before, now = _flat(stored), _flat(parameters)
        key = next((k for k in sorted(before | now) if before.get(k) != now.get(k)), "hash")
        raise InputError(
            f"{cell.run_file}: made with {key} = {before.get(key)!r}, asked for {now.get(key)!r}: "
            f"rename the profile, or delete this folder to compute it anew"
        )
    return Run(cell, facts)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted keys."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def finish(
    cell: Cell,
    parameters: dict[str, Any],
    facts: dict[str, Any],
    *,
    started: float,
    scores: pd.DataFrame | None = None,
    predictions: pd.DataFrame | None = None,
) -> Run:
    """Write a cell's tables, move encoder and head in, write `run.json` last; clear what is left.

    `started` is `time.perf_counter()` at the cell's start.
    """
    cell.folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("scores", scores), ("predictions", predictions)):
        if table is not None:
            part = cell.folder / f".{name}.parquet"
            table.to_parquet(part, index=False)
            part.replace(cell.folder / f"{name}.parquet")
    for name in ("encoder", "snapshots"):
        if (cell.work / name).is_dir():
            shutil.rmtree(cell.folder / name, ignore_errors=True)
            (cell.work / name).rename(cell.folder / name)
    for head in cell.work.glob("head.safetensors"):
        head.replace(cell.folder / head.name)
    record = {
        "cell": cell.key,
        "parameters": parameters,
        "parameters_hash": digest(parameters),
        "seconds": round(time.perf_counter() - started, 2),
        **facts,
        **provenance(),
        "files": checksums(cell.folder),
    }
    part = cell.folder / ".run.json"
    part.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(part, cell.run_file)
    for leftover in [*cell.work.rglob("checkpoint-*"), *cell.work.rglob("snapshots")]:
        shutil.rmtree(leftover)
    return Run(cell, record, fresh=True)


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of a cell's tables, encoders and head, by path below its folder.

    The record itself, and the notebook and log that a workflow moves in later, are left out.
    """
    found = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        kept = name.startswith(("encoder/", "snapshots/")) or file.suffix in (
            ".parquet",
            ".safetensors",
        )
        if kept and file.is_file() and not file.name.startswith("."):
            with file.open("rb") as content:
                found[name] = hashlib.file_digest(content, "sha256").hexdigest()
    return found


def finish_together(cell: Cell, runs: list[Run], started: float) -> None:
    """Write the record of a cell that stands for several finished ones and has no result itself."""
    wanted = {run.cell.key: run.facts["parameters_hash"] for run in runs}
    if not stands_for(cell, wanted):
        finish(cell, wanted, {}, started=started)


def stands_for(cell: Cell, wanted: dict[str, str]) -> bool:
    """Say whether a record names exactly these cells, each with the hash of its parameters."""
    try:
        return bool(json.loads(cell.run_file.read_text(encoding="utf-8"))["parameters"] == wanted)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def provenance() -> dict[str, Any]:
    """Record what a result was made with: commit, packages, device, peak memory in MiB."""
    import resource

    import torch

    cuda = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    )  # fmt: skip
    return {
        "commit": commit(),
        "packages": _packages(),
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name()
        if cuda
        else f"CPU ({torch.get_num_threads()} threads)",
        "process_peak_memory_mib": round(peak),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _packages() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}


def commit() -> str:
    """Return the git commit, marked where the tree differs from it; empty outside a checkout.

    A tree that was packed (`lib.lease`) says it in a file.
    """
    packed = paths.REPOSITORY / PACKED_COMMIT
    if packed.is_file():
        return packed.read_text(encoding="utf-8").strip()
    command = ["git", "-C", str(paths.REPOSITORY), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:  # no git on this machine
        return ""


def collect(study: Profile, *, everywhere: bool = False) -> pd.DataFrame:
    """Return the one tidy table of a profile's transfer scores, one row per score.

    Of finished cells, what the profile lists: see `listed`.

    Columns: condition, target, language, metric, value, n, seed, encoder_seed, split, layer (only
    retrieval has it), reported (the metric and layer that the study reports). A line says so where
    cells were made in different precisions or ways of reading, as by machines that are not alike,
    and where some are not finished. Raises InputError where nothing is.
    """
    folder = paths.results(study.name) / "transfer"
    files = sorted(folder.glob("*/*/seed=*/scores.parquet"))
    finished = [file for file in files if (file.parent / "run.json").is_file()]
    if not finished:
        raise InputError(f"{folder}: no finished cell; run `{study.command()}` first")
    wanted = {
        folder / condition / target / f"seed={seed}"
        for condition, seed in study.runs
        for target in study.targets
    }
    if lacking := len(wanted - {file.parent for file in finished}):
        print(f"{study.name}: {lacking:,} of {len(wanted):,} cells are not finished; what follows "
              "is of the others")  # fmt: skip
    ways = Counter(_way(file.parent / "run.json") for file in finished)
    if len(ways) > 1:
        counted = ", ".join(f"{number} in {way}" for way, number in sorted(ways.items()))
        print(f"{study.name}: not all cells were made alike: {counted}")
    table = pd.concat(map(_scores, finished), ignore_index=True)[SCORES]
    return listed(table, study, everywhere=everywhere)


def _scores(file: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(file)
    except (OSError, ArrowException) as error:
        raise InputError(f"{file}: not a table of scores ({error}); delete {file.parent} to "
                         "compute it anew") from None  # fmt: skip


def listed(table: pd.DataFrame, study: Profile, *, everywhere: bool = False) -> pd.DataFrame:
    """Keep the rows of the conditions, seeds, targets and languages that a profile lists.

    `everywhere` keeps all languages: some runs are evaluated beyond the profile's own.
    """
    runs = table.set_index(["condition", "seed"]).index.isin(study.runs)
    kept = runs & table["target"].isin(list(study.targets))
    if not everywhere:
        kept &= table["language"].isin([study.source_language, *study.target_languages])
    return table[kept].reset_index(drop=True)


def _way(file: Path) -> str:
    """Name the precision and the way of reading that a cell was made in."""
    record = json.loads(file.read_text(encoding="utf-8"))
    return f"{record.get('precision', 'float32')}, {record.get('attention', 'padded')}"
