"""The whole workflow in miniature, the notebooks again by nbval, and the README's promises."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from lib import paths, profile
from lib.errors import InputError

NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
ANALYSES = [file.stem for file in NOTEBOOKS if file.stem.startswith("analysis_")]


def run(*command: str, **environment: Any) -> subprocess.CompletedProcess[str]:
    given = os.environ | {key: str(value) for key, value in environment.items()}
    return subprocess.run(
        [sys.executable, *command], env=given, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path], str]:
    """Run the whole grid of `tiny` into an empty folder, once; the first try is killed."""
    folder = tmp_path_factory.mktemp("grid")
    roots = {
        "RESULTS_ROOT": folder / "results",
        "FIGURES_ROOT": folder / "figures",
        "WORLDS_ROOT": folder / "world",
    }
    first = subprocess.Popen(
        [sys.executable, "-m", "lib.workflow", "tiny"],
        env=os.environ | {key: str(value) for key, value in roots.items()},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert first.stdout is not None
    for line in first.stdout:
        if "2 intermediate" in line:
            break
    time.sleep(6)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    encoder = folder / "results/tiny/pretrain/seed=1/run.json"
    before = encoder.stat().st_mtime_ns
    done = run("-m", "lib.workflow", "tiny", **roots)
    assert done.returncode == 0, done.stdout + done.stderr
    assert encoder.stat().st_mtime_ns == before, "a finished cell was made again"
    return folder, roots, done.stdout


def test_the_grid_leaves_every_cell_with_its_record_notebook_and_scores(grid: Any) -> None:
    folder, _, said = grid
    study = profile.load("tiny")
    results = folder / "results/tiny"
    for condition in study.conditions:
        for target in study.targets:
            cell = results / f"transfer/{condition}/{target}/seed=1"
            assert (cell / "run.json").is_file() and (cell / "scores.parquet").is_file()
    assert (results / "transfer/all/all/seed=1/notebook.ipynb").is_file()
    assert "3 transfer: all to all, seed 1" in said
    cells = [line.split("left")[1].strip() for line in said.splitlines() if " left " in line]
    assert "transfer/ud_parsing/xquad/seed=1" in cells and len(cells) == len(set(cells))
    assert any(line.endswith(cells[-1]) and " 0 left " in line for line in said.splitlines())


def test_a_kernel_may_run_every_target_and_seed_of_a_condition(tmp_path: Path) -> None:
    study = profile.load("world")
    assert study.workflow.kernel_per == "condition" and len(study.seeds) > 1
    done = run("-m", "lib.workflow", "world", "--dry-run", RESULTS_ROOT=tmp_path)
    starts = [
        line.split("starts")[1].strip() for line in done.stdout.splitlines() if "starts" in line
    ]
    trained = [name for name, condition in study.conditions.items() if condition.task]
    wanted = [f"2 intermediate: {name}, every seed" for name in trained]
    wanted += [f"3 transfer: {name} to all, every seed" for name in study.conditions]
    assert sorted(line for line in starts if line[0] in "23") == sorted(wanted)


def test_the_analysis_leaves_each_figure_as_png_svg_and_csv(grid: Any) -> None:
    figures = grid[0] / "figures/tiny"
    names = {file.stem for file in figures.glob("*.png")}
    assert {"gains_by_target", "scores_by_language", "difference_by_distance"} <= names
    for name in ("scores.csv", "overlap.csv", "answer.md"):
        assert (figures / name).is_file()
    for name in names:
        assert (figures / f"{name}.svg").is_file() and (figures / f"{name}.csv").is_file()


def test_a_second_call_finds_nothing_to_do_within_ten_seconds(grid: Any) -> None:
    folder, roots, _ = grid
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*.json")}
    started = time.perf_counter()
    done = run("-m", "lib.workflow", "tiny", **roots)
    assert time.perf_counter() - started < 10
    assert done.returncode == 0 and "Nothing to be done" in done.stdout
    assert before == {file: file.stat().st_mtime_ns for file in folder.rglob("*.json")}


def test_a_changed_budget_is_refused_by_name_before_anything_runs(grid: Any) -> None:
    folder, roots, _ = grid
    changed = yaml.safe_load(paths.profile_file("tiny").read_text())
    changed["targets"]["panx"]["updates"] = 11
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(changed))
    done = run("-m", "lib.workflow", str(file), **roots)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "target.updates = 10, asked for 11" in done.stderr


def test_a_second_runner_is_refused_in_one_line(grid: Any, record: Any) -> None:
    folder, roots, _ = grid
    with (folder / "results/tiny/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run("-m", "lib.workflow", "tiny", **roots)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "another run is at work" in line
    record("a second call of the workflow on the same results")


def test_nbval_repeats_the_phase_notebooks_in_another_empty_store(grid: Any) -> None:
    folder, roots, _ = grid
    results = folder / "results/tiny"
    copies = folder / "nbval"
    copies.mkdir()
    for name, cell in (
        ("1_pretrain", "pretrain/seed=1"),
        ("2_intermediate", "intermediate/all/seed=1"),
        ("3_transfer", "transfer/all/all/seed=1"),
    ):
        shutil.copy(results / cell / "notebook.ipynb", copies / f"{name}.ipynb")
    done = run(
        *("-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider", str(copies)),
        **roots | {"RESULTS_ROOT": folder / "results-again"},
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert (folder / "results-again/tiny/transfer/ud_parsing/xquad/seed=1/run.json").is_file()


def test_nbval_repeats_the_analyses(grid: Any) -> None:
    folder, roots, _ = grid
    notebooks = [str(folder / f"results/tiny/{name}/notebook.ipynb") for name in ANALYSES]
    done = run("-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider", *notebooks, **roots)
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_deleted_cell_is_made_again_and_nothing_else(grid: Any) -> None:
    folder, roots, _ = grid
    cells = folder / "results/tiny/transfer"
    others = {file: file.stat().st_mtime_ns for file in cells.glob("*/[!ap]*/*/run.json")}
    scores = (cells / "none/panx/seed=1/scores.parquet").read_bytes()
    shutil.rmtree(cells / "none/panx")
    trained = folder / "results/tiny/intermediate"
    others |= {file: file.stat().st_mtime_ns for file in trained.glob("[!a]*/*/run.json")}
    lost = trained / "all/seed=1/notebook.ipynb"
    lost.unlink(missing_ok=True)  # as by a kill between a kernel's record and its notebook
    done = run("-m", "lib.workflow", "tiny", "--until", "transfer", **roots)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (cells / "none/panx/seed=1/scores.parquet").read_bytes() == scores
    assert lost.is_file()
    assert others == {file: file.stat().st_mtime_ns for file in others}


@pytest.mark.parametrize("name", ANALYSES)
def test_an_analysis_without_results_says_in_a_line_what_to_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root in ("RESULTS_ROOT", "FIGURES_ROOT"):
        monkeypatch.setenv(root, str(tmp_path / root))
    cells = nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    parameters, *rest = [cell.source for cell in cells if cell.cell_type == "code"]
    names: dict[str, Any] = {}
    with pytest.raises(InputError, match="run `make figures PROFILE=tiny`") as refused:
        for source in (parameters, 'profile = "tiny"', *rest):
            exec(source, names)  # without the seconds that a kernel takes to start
    assert "\n" not in str(refused.value)
    assert not any(tmp_path.glob("FIGURES_ROOT/**/*.*"))


def test_the_readmes_table_of_faults_is_that_of_the_log() -> None:
    done = run(str(Path(__file__).with_name("faults_table.py")))
    assert done.stdout.count("\n") > 12, done.stderr
    assert done.stdout in (paths.REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_a_misspelt_parameter_stops_the_third_cell_with_one_line_that_names_it(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out.ipynb"
    done = run(
        *("-m", "papermill", str(paths.NOTEBOOKS / "3_transfer.ipynb"), str(out)),
        *("-p", "profile", "tiny", "-p", "taget", "udpos"),
    )
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if "InputError" in line]
    assert said == ["InputError: unknown parameter 'taget': "
                    "expected profile, target, condition, seed"]  # fmt: skip
    assert not any(tmp_path.glob("results/*"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_keeps_the_house_rules(notebook: Path) -> None:
    cells = nbformat.read(notebook, as_version=4).cells
    assert cells[0].cell_type == "markdown"
    assert "parameters" in cells[1].metadata.get("tags", [])
    for line in cells[1].source.splitlines():
        assert "#" in line, f"no trailing comment: {line}"
    assert "parameters.check" in cells[2].source
    for cell in cells:
        assert cell.cell_type == "markdown" or len(cell.source.splitlines()) <= 12


def test_conda_users_get_the_same_packages() -> None:
    environment = yaml.safe_load((paths.REPOSITORY / "environment.yml").read_text())
    section = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert "--requirement requirements.txt" in section
    named = (paths.REPOSITORY / "requirements.txt").read_text().splitlines()
    pinned = (paths.REPOSITORY / "constraints.txt").read_text().lower().splitlines()
    for line in named:
        if line and not line.startswith("#"):
            assert line.count("==") == 1 and line.lower() in pinned, line


@pytest.mark.parametrize("module", sorted((paths.REPOSITORY / "lib").rglob("*.py")), ids=str)
def test_a_module_is_read_in_one_sitting(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= 350
