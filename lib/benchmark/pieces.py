"""Make work of a given size for every piece of the system, so that its cost can be fitted.

Data are random words with random labels: what a piece costs depends on numbers and lengths alone.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from lib import (
    batches,
    columns,
    encoder,
    evaluation,
    features,
    heads,
    overlap,
    paths,
    profile,
    results,
    retrieval,
    statistics,
    tasks,
    training,
    workflow,
)
from lib.columns import Example
from lib.errors import InputError
from lib.overlap import Texts
from lib.profile import Budget, Encoder, Profile
from lib.results import Cell

Work = Callable[[], object]
TARGETS = ("udpos", "panx", "xnli", "xquad")
LENGTH, BATCH_TOKENS, WIDTH = 256, 1024, 128
# A language of evaluation has as many examples, a training as many tokens in a batch.
PER_LANGUAGE = 60


@dataclass(frozen=True)
class Piece:
    """Name a piece of the system and what its cost is measured against.

    `make` prepares work of one size, in a folder of its own, and returns it. `sizes` begin where
    constant cost no longer dominates. With its `own_clock` the work returns seconds.
    """

    what: str
    against: str
    sizes: tuple[int, ...]
    make: Callable[[int, Path], Work]
    own_clock: bool = False


@lru_cache
def _vocabulary() -> np.ndarray:
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return np.array(["".join(random.choice(letters, size=6)) for _ in range(5000)])


@lru_cache
def _tokenizer() -> Any:
    return encoder.train_tokenizer(_vocabulary().tolist(), 1000, "bpe")


def examples(kind: str, number: int, seed: int = 0) -> list[Example]:
    """Return random examples of udpos, xnli or xquad."""
    random = np.random.default_rng(seed)
    labels = tasks.get(kind).labels
    made: list[Example] = []
    for place in range(number):
        words = random.choice(_vocabulary(), size=random.integers(10, 30)).tolist()
        text = " ".join(words)
        if kind == "udpos":
            made.append({"words": words, "tags": random.choice(labels, size=len(words)).tolist()})
        elif kind == "xnli":
            label = labels[place % len(labels)]
            made.append({"sentence1": text, "sentence2": text[:40], "label": label})
        else:
            answer = {"answers": [words[0]], "starts": [0]}
            made.append({"context": f"{text} " * 10, "question": text[:40]} | answer)
    return [{"id": str(place)} | example for place, example in enumerate(made)]


def _read(number: int, folder: Path) -> Work:
    from datasets import Dataset

    source, rows = tasks.TRAINING["udpos_en"], examples("udpos", number)
    table = Dataset.from_dict(
        {theirs: [row[ours] for row in rows] for ours, theirs in source.columns.items()}
    )
    return partial(columns.read, table, source)


def _share_text(number: int, folder: Path) -> Work:
    task, target = (
        [" ".join(row["words"]) for row in examples("udpos", number, seed)] for seed in (1, 2)
    )
    return lambda: overlap.compare(Texts.of(task), Texts.of(target))


def _make_features(kind: str, number: int, folder: Path) -> Work:
    return partial(features.make, tasks.get(kind), examples(kind, number), _tokenizer(), LENGTH)


def _plan(number: int, folder: Path) -> Work:
    lengths = np.random.default_rng(0).integers(8, 128, size=number).tolist()
    return partial(batches.plan_training, lengths, Budget(epochs=1, batch_tokens=BATCH_TOKENS), 1)


def _model(layers: int) -> Any:
    sizes = Encoder(layers=layers, hidden_size=WIDTH, feed_forward_size=4 * WIDTH, dropout=0.0)
    training.set_seed(1)
    return encoder.new(sizes, len(_tokenizer())).base_model


def _head(layers: int = 1) -> Any:
    return heads.make(tasks.get("udpos"), _model(layers)).to(encoder.device())


def _train(number: int, folder: Path) -> Work:
    head, tokenizer = _head(), _tokenizer()
    made = features.make(tasks.get("udpos"), examples("udpos", number), tokenizer, LENGTH)
    lengths = [batches.number_of_tokens(feature) for feature in made]
    plan = batches.plan_training(lengths, Budget(epochs=1, batch_tokens=BATCH_TOKENS), 1)
    data = batches.Batches(made, plan, partial(head.collate, pad_id=tokenizer.pad_token_id))
    return partial(
        training.train, head, data, folder, learning_rate=1e-4, warmup_ratio=0.1,
        weight_decay=0.0, seed=1, what="scaling",
    )  # fmt: skip


def _evaluate(number: int, folder: Path) -> Work:
    head, task, tokenizer = _head(), tasks.get("udpos"), _tokenizer()
    sets = [examples("udpos", PER_LANGUAGE, seed) for seed in range(number)]

    def work() -> None:
        made = [evaluation.prepare(task, each, tokenizer, LENGTH) for each in sets]
        outputs = evaluation.run(head, made, tokenizer, 4 * BATCH_TOKENS)
        for each, ready, found in zip(sets, made, outputs, strict=True):
            evaluation.score(task, each, ready, found)

    return work


def _pass_through(layers: int, folder: Path) -> Work:
    model = _model(layers)
    ids = torch.randint(4, len(_tokenizer()) - 1, (16, 64), device=encoder.device())

    def work() -> None:
        loss = encoder.read(model, ids, torch.ones_like(ids))[-1].float().square().mean()
        loss.backward()
        loss.item()  # waits for a device

    return work


def _search(number: int, folder: Path) -> Work:
    random = np.random.default_rng(0)
    left, right = (random.standard_normal((number, WIDTH), dtype=np.float32) for _ in range(2))
    return partial(retrieval.nearest_both_ways, left, right, 4, device=encoder.device())


def scores(languages: int, seeds: int) -> pd.DataFrame:
    """Return a table of random scores of three conditions and four targets, `en` beside others."""
    codes = ["en", *(f"q{place}" for place in range(languages))]
    cells = pd.MultiIndex.from_product(
        [["none", "ud_parsing", "stsb"], TARGETS, codes, range(1, seeds + 1)],
        names=["condition", "target", "language", "seed"],
    )
    table = cells.to_frame(index=False)
    values = np.random.default_rng(0).uniform(0.3, 0.9, size=len(table))
    return table.assign(
        metric="f1", value=values, n=500, encoder_seed=1, split="test", layer=None, reported=True
    )[results.SCORES]


def _contrast(languages: int, seeds: int) -> Work:
    """Return the way from scores to intervals and p-values; eight languages make a family."""
    table = scores(languages, seeds)
    codes = table["language"].unique()
    family = pd.Series([str(place // 8) for place in range(len(codes))], index=codes)

    def work() -> None:
        found = statistics.difference(statistics.gains(table), "ud_parsing", "stsb")
        statistics.contrast(found, list(TARGETS), family)

    return work


def _flip_signs(languages: int, folder: Path) -> Work:
    """Flip languages that are each a family of their own."""
    values = np.random.default_rng(0).normal(size=languages)
    return partial(statistics.sign_flip_test, values, [str(each) for each in range(languages)])


@contextmanager
def _results_in(folder: Path) -> Iterator[None]:
    before = os.environ.get("RESULTS_ROOT")
    os.environ["RESULTS_ROOT"] = str(folder)
    try:
        yield
    finally:
        del os.environ["RESULTS_ROOT"]
        if before is not None:
            os.environ["RESULTS_ROOT"] = before


def _grid(number: int, folder: Path, kernel_per: str = "target") -> Profile:
    """Write the tiny profile with as many seeds as make about so many cells, and load it."""
    content = yaml.safe_load(paths.profile_file("tiny").read_text(encoding="utf-8"))
    conditions = content["conditions"].values()
    trained = sum("task" in how for how in conditions)
    a_seed = trained + len(content["conditions"]) * len(content["targets"])
    seeds = dict.fromkeys(range(1, max(1, round(number / a_seed)) + 1), 1)
    content |= {"seeds": seeds, "workflow": {"kernel_per": kernel_per}}
    file = folder / f"grid_of_{number}.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return profile.load(str(file))


def _finished(number: int, folder: Path) -> Profile:
    """Write the records and the scores of a whole grid; return its profile.

    A kernel ran all cells of a seed: beside theirs there is a record that stands for them together.
    """
    settings = _grid(number, folder, "seed")
    table = scores(4, 1)
    with _results_in(folder):
        grid = workflow.cells(settings)
        for phase, seed in product(("intermediate", "transfer"), settings.seeds):
            of_seed = {
                cell.key: profile.digest(parameters)
                for cell, parameters in grid.items()
                if (cell.phase, cell.seed) == (phase, seed)
            }
            together = Cell(settings.name, phase, seed, "all", "all" if phase == "transfer" else "")
            grid[together] = of_seed
        for cell, parameters in grid.items():
            cell.folder.mkdir(parents=True)
            record = {"parameters": parameters, "parameters_hash": profile.digest(parameters)}
            cell.run_file.write_text(json.dumps(record), encoding="utf-8")
            if cell.condition == "all":
                (cell.folder / "notebook.ipynb").touch()
            if cell.phase == "transfer" and cell.condition != "all":
                table.to_parquet(cell.folder / "scores.parquet")
    return settings


def _check(number: int, folder: Path) -> Work:
    """Compare every finished cell with the profile, as each call of the workflow does first."""
    settings = _finished(number, folder)

    records = sum(1 for _ in folder.rglob("run.json"))

    def work() -> None:
        with _results_in(folder):
            missing, _ = workflow.check_existing(settings)
        if missing or records != sum(1 for _ in folder.rglob("run.json")):
            raise InputError(f"{folder}: expected every cell of the grid to be finished")

    return work


def _collect(number: int, folder: Path) -> Work:
    settings = _finished(number, folder)

    def work() -> None:
        with _results_in(folder):
            results.collect(settings)

    return work


def _plan_workflow(number: int, folder: Path) -> Work:
    """Have Snakemake plan a grid of which nothing is made, a kernel for every cell.

    Its start takes seconds whatever the grid: the work returns by how many the smallest grid that
    there is, of one seed, is quicker.
    """
    command = _dry_run(_grid(number, folder), folder)
    return lambda: _seconds(command, folder) - _start()


@lru_cache
def _start() -> float:
    with TemporaryDirectory() as name:
        folder = Path(name)
        return _seconds(_dry_run(_grid(1, folder), folder), folder)


def _seconds(command: list[str], folder: Path) -> float:
    with _results_in(folder):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started


def _dry_run(settings: Profile, folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(paths.REPOSITORY / "Snakefile")),
        *("--directory", str(folder), "--config", f"profile={folder / settings.name}.yaml"),
        *("--cores", "1", "--nolock", "--dry-run", "--quiet", "all"),
    ]


def _from(first: int) -> tuple[int, ...]:
    """Return four sizes, each twice the one before."""
    return first, 2 * first, 4 * first, 8 * first


PIECES = (
    Piece("read columns", "examples", _from(8000), _read),
    Piece("features: words", "examples", _from(1000), partial(_make_features, "udpos")),
    Piece("features: pairs", "examples", _from(2000), partial(_make_features, "xnli")),
    Piece("features: contexts", "examples", _from(300), partial(_make_features, "xquad")),
    Piece("plan batches", "examples", _from(10_000), _plan),
    Piece("train", "examples", _from(400), _train),
    Piece("count shared text", "examples", _from(4000), _share_text),
    Piece("search both ways", "sentences", _from(2000), _search),
    Piece("train encoder", "layers", _from(2), _pass_through),
    Piece("evaluate", "languages", _from(5), _evaluate),
    Piece("flip signs", "languages", _from(160), _flip_signs),
    Piece("contrast", "languages", _from(1000), lambda number, _: _contrast(number, 3)),
    Piece("contrast", "seeds", _from(1000), lambda number, _: _contrast(8, number)),
    Piece("check results", "cells", _from(160), _check),
    Piece("collect scores", "cells", _from(80), _collect),
    Piece("plan workflow", "cells", _from(1000), _plan_workflow, own_clock=True),
)
