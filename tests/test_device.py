"""Cells share a device as a profile says; what a GPU is asked, and what a run takes, is counted."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from lib import calls, heads, paths, profile, tasks, workflow
from lib.batches import Batches
from lib.benchmark import __main__ as benchmark
from lib.benchmark import accelerator, measuring, overhead, side_by_side_cells, synthetic
from lib.errors import InputError
from lib.results import Cell
from lib.sizes import Shape

SHAPE = Shape(3, 128, 512, 9_000)


# Cells on a device


def test_two_cells_of_xlm_r_are_never_put_on_one_device() -> None:
    for name in ("xtreme_base", "xtreme_large"):
        study = profile.load(name, whole=True)
        given = workflow.command(study, name, "8", [])
        assert given[given.index("--resources") + 1] == "device=1"
        assert workflow.kernels_at_once(study, "8") == 1


def test_the_small_profiles_run_as_many_cells_as_there_are_cores() -> None:
    for name in ("tiny", "world", "small_cpu"):
        study = profile.load(name)
        assert "--resources" not in workflow.command(study, name, "8", [])
        assert workflow.kernels_at_once(study, "8") == 8
        assert workflow.kernels_at_once(study, "all") >= 1


@pytest.mark.parametrize(
    ("threads", "limit", "cores", "kernels"),
    [(1, 0, "4", 4), (4, 0, "8", 2), (4, 0, "3", 1), (2, 3, "4", 2), (1, 3, "8", 3)],
)
def test_kernels_at_once_are_what_cores_and_device_allow(
    threads: int, limit: int, cores: str, kernels: int
) -> None:
    how = profile.Workflow(threads=threads, cells_per_device=limit)
    study = profile.load("tiny").model_copy(update={"workflow": how})
    assert workflow.kernels_at_once(study, cores) == kernels


@pytest.mark.parametrize("cores", ["0", "two", "-1", "1.5"])
def test_cores_that_are_no_number_are_one_line(cores: str) -> None:
    with pytest.raises(InputError, match=f"cores: '{cores}': expected a number or 'all'"):
        workflow.kernels_at_once(profile.load("tiny"), cores)


PAPERMILL = """
import pathlib, time
def execute_notebook(notebook, made, *_, **__):
    made = pathlib.Path(made)
    cell = pathlib.Path(str(made).replace("/.work/", "/")).parent
    started = time.time()
    time.sleep(0.4)
    made.write_text("{}")
    (cell / "run.json").write_text("{}")
    (made.parent / "ran").write_text(f"{started} {time.time()}")
"""


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (0, 2)])
def test_kernels_share_a_device_as_the_profile_says_whatever_the_cores(
    limit: int, most: int, tmp_path: Path
) -> None:
    (tmp_path / "papermill.py").write_text(PAPERMILL, encoding="utf-8")
    content = yaml.safe_load(paths.profile_file("tiny").read_text(encoding="utf-8"))
    content["workflow"] = {"kernel_per": "condition", "cells_per_device": limit}
    file = tmp_path / "shared.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    study = profile.load(str(file))
    environment = os.environ | {"RESULTS_ROOT": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        workflow.command(study, str(file), "2", []),
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    ran = [tuple(map(float, file.read_text().split())) for file in tmp_path.rglob("seed=*/ran")]
    trained = [name for name, how in study.conditions.items() if how.task]
    assert len(ran) == 1 + len(trained) + len(study.conditions)
    at_once = [sum(begin <= moment < end for begin, end in ran) for moment, _ in ran]
    assert max(at_once) == most


# The journal, and what a run takes beside training


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cell]:
    """Return a maker of finished cells of `world` in an empty store."""
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))

    def make(seed: int, seconds: float, finished: str) -> Cell:
        cell = Cell("world", "pretrain", seed)
        cell.folder.mkdir(parents=True, exist_ok=True)
        record = {"seconds": seconds, "finished": finished}
        cell.run_file.write_text(json.dumps(record), encoding="utf-8")
        return cell

    return make


def journal(*made: tuple[float, int, list[Cell], str]) -> None:
    lines = [
        {"seconds": seconds, "kernels_at_once": kernels, "finished": finished,
         "cells": [cell.key for cell in cells]}
        for seconds, kernels, cells, finished in made
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (paths.results("world") / calls.JOURNAL).write_text(text, encoding="utf-8")


def test_a_call_that_makes_cells_leaves_a_line_and_one_that_makes_none_does_not(
    made: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    def follow(*_: Any) -> int:
        time.sleep(0.05)
        made(1, 0.01, "2026-01-01T00:00:00Z")
        return 1

    monkeypatch.setattr(workflow, "_follow", follow)
    study, cells = profile.load("world"), [Cell("world", "pretrain", seed) for seed in (1, 2)]
    paths.results("world").mkdir(parents=True)
    assert workflow._call(study, ["snakemake"], 3, 0, cells) == 1
    assert workflow._call(study, ["snakemake"], 3, 0, []) == 1
    file = paths.results("world") / calls.JOURNAL
    (line,) = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert line["cells"] == ["pretrain/seed=1"] and line["kernels_at_once"] == 3
    assert 0.05 <= line["seconds"] < 5


def test_overhead_is_the_share_of_time_in_which_no_cell_was_at_work(
    made: Callable[..., Cell],
) -> None:
    first, second = (made(i, 60.0, "2026-01-01T00:01:00Z") for i in (1, 2))
    third = made(3, 30.0, "2026-01-01T00:09:00Z")
    # 100 seconds of two kernels, 40 of one: 240, of which cells were at work for 150.
    journal((100.0, 2, [first, second], "2026-01-01T00:02:00Z"),
            (40.0, 1, [third], "2026-01-01T00:10:00Z"))  # fmt: skip
    (row,) = overhead.summary(overhead.measure()).to_dict("records")
    assert row["case"] == "world"
    assert row["overhead"] == pytest.approx(1 - 150 / 240)


def test_a_call_whose_cells_are_gone_or_made_anew_is_not_counted(made: Callable[..., Cell]) -> None:
    kept, anew = made(1, 60.0, "2026-01-01T00:01:00Z"), made(2, 1.0, "2026-01-03T00:00:00Z")
    gone = Cell("world", "pretrain", 3)
    journal((80.0, 1, [kept], "2026-01-01T00:02:00Z"), (50.0, 1, [anew], "2026-01-01T00:04:00Z"),
            (50.0, 1, [gone], "2026-01-01T00:06:00Z"))  # fmt: skip
    (row,) = overhead.summary(overhead.measure()).to_dict("records")
    assert row["overhead"] == pytest.approx(0.25)


def test_encoders_that_the_analyses_of_a_call_measure_are_evaluated(
    made: Callable[..., Cell],
) -> None:
    journal((80.0, 1, [made(1, 40.0, "2026-01-01T00:01:00Z")], "2026-01-01T00:02:00Z"))
    for seed, finished in ((1, "2026-01-01T00:01:30Z"), (2, "2026-01-02T00:00:00Z")):
        file = Cell("world", "representation", seed, "none", "alignment").run_file
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"seconds": 20.0, "finished": finished}), encoding="utf-8")
    (row,) = overhead.summary(overhead.measure()).to_dict("records")
    assert row["overhead"] == pytest.approx(1 - (40 + 20) / 80)


def test_overhead_without_a_run_says_what_to_run(made: Callable[..., Cell]) -> None:
    with pytest.raises(InputError, match="make figures PROFILE=world"):
        overhead.measure()


@pytest.mark.parametrize(("parts", "status"), [(["overhead"], 2), (["overhead", "overhead"], 0)])
def test_a_benchmark_of_several_parts_goes_on_where_one_cannot_be_measured(
    parts: list[str], status: int, made: Callable[..., Cell], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("FIGURES_ROOT", str(tmp_path / "figures"))
    monkeypatch.setattr(sys, "argv", ["benchmark", *parts])
    assert benchmark.main() == status
    said = capsys.readouterr()
    assert (said.out + said.err).count("run `make figures PROFILE=world` first") == len(parts)


# What a GPU is asked


def counted(work: Callable[[], torch.Tensor]) -> int:
    """Count the operations of the matrix products of a training step."""
    with FlopCounterMode(display=False) as counter:
        work().backward()
    return counter.get_total_flops()


def test_operations_are_those_that_a_counter_sees_in_fine_tuning() -> None:
    lengths = [40] * 6  # without padding, which a counter would count
    made = synthetic.features_of("xnli", lengths, SHAPE.vocabulary)
    model = synthetic.model(SHAPE).base_model
    model.set_attn_implementation("eager")
    head = heads.make(tasks.get("xnli"), model)
    seen = counted(lambda: head(**head.collate(made, 1))["loss"])
    # The counter leaves out biases and normalisations, ours the head: under one per cent.
    assert accelerator.operations(SHAPE, lengths) == pytest.approx(seen, rel=0.01)


def test_operations_are_those_that_a_counter_sees_in_masked_language_modelling() -> None:
    model = synthetic.model(SHAPE)
    model.set_attn_implementation("eager")
    batch = synthetic.masked_blocks(8, 64, SHAPE.vocabulary, [list(range(8))])[0]
    head, masked = heads.MaskedLanguageModel(model), len(batch["labels"])
    seen = counted(lambda: head(**batch)["loss"])
    without = accelerator.operations(SHAPE, [64] * 8)
    ours = accelerator.operations(SHAPE, [64] * 8, masked)
    assert ours == pytest.approx(seen, rel=0.01) and without < 0.95 * seen


def test_lengths_are_those_that_the_table_of_sizes_was_counted_with() -> None:
    # data/sizes.csv: 25.0 and 41.9 tokens an example; of XQuAD 210.3, its 1,247 windows together.
    means = {"udpos": 25.0, "xnli": 41.9, "xquad": 210.3 * 1190 / 1247}
    for task, mean in means.items():
        drawn = synthetic.lengths(task, 10_000)
        assert sum(drawn) / len(drawn) == pytest.approx(mean, rel=0.02)
        assert drawn == synthetic.lengths(task, 10_000) != sorted(drawn)
    assert max(synthetic.lengths("xquad", 1_000, longest=128)) == 128


@pytest.mark.parametrize("task", ["udpos", "xnli", "xquad"])
def test_made_up_features_have_the_lengths_asked_for_and_can_be_trained_on(task: str) -> None:
    lengths = synthetic.lengths(task, 12)
    made = synthetic.features_of(task, lengths, SHAPE.vocabulary)
    assert [len(feature["input_ids"][0]) for feature in made] == lengths
    head = heads.make(tasks.get(task), synthetic.model(SHAPE).base_model)
    data = Batches(made, [list(range(12))], lambda features: head.collate(features, 1))
    assert torch.isfinite(head(**data[0])["loss"])


def test_a_stopwatch_notes_what_the_model_is_given_from_an_update_on() -> None:
    class Model(torch.nn.Module):
        def forward(self, **batch: torch.Tensor) -> None:
            time.sleep(0.05)

    model = Model()
    watch = accelerator.Stopwatch(model, first=1)
    for lengths in ([3, 3], [5, 2], [4]):
        mask = (torch.arange(5)[None] < torch.tensor(lengths)[:, None]).long()
        model(input_ids=torch.zeros(len(lengths), 5), attention_mask=mask)
    labels = torch.tensor([7, heads.IGNORED, 9])
    model(input_ids=torch.zeros(2, 6), labels=labels)
    seconds, found, masked = watch.stop()
    assert found == [5, 2, 4, 6, 6] and masked == 2
    assert 0.15 <= seconds < 0.2 + 1


def compare(task: str) -> pd.DataFrame:
    case = next(case for case in accelerator.CASES if case.task == task and not case.tokens)
    return accelerator._compare("tiny", accelerator.TINY, case, rate=1e9, smallest=True)


def test_utilisation_is_of_the_model_s_operations_at_the_matrix_rate() -> None:
    table = compare("udpos")
    assert set(table["recipe"]) == {
        measuring.OURS, accelerator.PADDED, accelerator.FLAGS, accelerator.EXAMPLES
    }  # fmt: skip
    share = table["operations"] / (1e9 * table["seconds"])
    assert table["utilisation"].tolist() == pytest.approx(share.tolist())
    said = accelerator.summary(table).set_index("recipe")
    ours, other = said.loc[measuring.OURS], said.loc[accelerator.EXAMPLES]
    assert other["ratio"] == pytest.approx(ours["tokens_per_second"] / other["tokens_per_second"])
    assert not said["packed"].any()


def test_a_recipe_that_does_not_fit_into_memory_is_left_out_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = accelerator.stock.train

    def full(*given: Any, half: bool, **options: Any) -> None:
        if not half:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        train(*given, half=half, **options)

    monkeypatch.setattr(accelerator.stock, "train", full)
    table = compare("mlm")
    assert sorted(table["recipe"]) == [accelerator.FLAGS, measuring.OURS]
    assert table.notna().all(axis=None)
    assert capsys.readouterr().out.count("examples, padded does not fit into memory") == 1


def test_a_recipe_that_fails_does_not_take_the_others_with_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("no C compiler\nand a long trace")

    monkeypatch.setattr(accelerator.stock, "train", fails)
    assert compare("mlm")["recipe"].tolist() == [measuring.OURS]
    assert "best flags, bfloat16 failed: RuntimeError: no C compiler\n" in capsys.readouterr().out


def test_no_case_begins_late_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[str] = []

    def one(name: str, shape: Shape, case: accelerator.Case, *_: Any) -> pd.DataFrame:
        begun.append(case.name)
        monkeypatch.setattr(accelerator, "STARTED", time.perf_counter() - accelerator.LATEST - 1)
        return pd.DataFrame({"case": [case.name]})

    monkeypatch.setattr(accelerator.encoder, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(accelerator, "matrix_rate", lambda size: 1e12)
    monkeypatch.setattr(accelerator, "_compare", one)
    monkeypatch.setattr(accelerator, "STARTED", time.perf_counter())
    assert len(accelerator.measure()) == 1 and begun == [accelerator.CASES[0].name]
    assert capsys.readouterr().out.count("not begun") == 2 * len(accelerator.CASES) - 1


def test_without_a_gpu_it_runs_to_its_end_with_few_packages_and_keeps_no_number(
    tmp_path: Path,
) -> None:
    # What an image for a GPU has of our packages are torch, transformers and what those need.
    absent = ("datasets", "seqeval", "snakemake", "papermill", "faiss", "IPython", "nbformat")
    code = f"""
import sys
sys.modules |= dict.fromkeys({absent!r})
from lib.benchmark import __main__
sys.argv = ["benchmark", "--gpu", "accelerator"]
sys.exit(__main__.main())
"""
    environment = os.environ | {"FIGURES_ROOT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment, cwd=paths.REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no number is kept" in done.stdout and " failed: " not in done.stdout
    assert all(f"tiny, {task}, " in done.stdout for task in ("mlm", "udpos", "xnli", "xquad"))
    assert not list(tmp_path.rglob("*.csv"))


# Cells side by side


def test_the_best_number_at_once_is_the_one_that_finishes_most_cells_an_hour() -> None:
    # Two at once take longer than one, and finish more; four take much longer.
    rows = [
        ["side_by_side_cells", "small", recipe, 1, seconds, cells, "cells"]
        for recipe, seconds, cells in (
            ("1 at once", 10.0, 3), ("2 at once", 12.0, 6), ("4 at once", 60.0, 12)
        )
    ]  # fmt: skip
    said = side_by_side_cells.summary(pd.DataFrame(rows, columns=measuring.COLUMNS))
    assert said["cells_per_hour"].tolist() == [1080, 1800, 720]
    assert said.loc[said["best"], "recipe"].tolist() == ["2 at once"]


def test_each_number_of_processes_finishes_its_cells() -> None:
    table = side_by_side_cells.measure(quick=True)
    done = table.set_index("recipe")["amount"]
    assert done["1 at once"] == 1 and done["2 at once"] == 2
    assert (table["seconds"] > 0).all()


def test_a_process_that_fails_is_one_line() -> None:
    empty = Shape(1, 32, 64, vocabulary=2)
    with pytest.raises(
        InputError, match=r"^1 processes at once: one of them failed: ValueError: .+"
    ):
        side_by_side_cells._at_once(1, empty, cells=1, updates=1, tokens=64)
