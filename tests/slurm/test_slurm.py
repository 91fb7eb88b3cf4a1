"""The miniature grid through a real SLURM on this machine, with what goes wrong on a cluster."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import one_machine
import pandas as pd
import pytest

from lib import profile

pytestmark = pytest.mark.skipif(bool(one_machine.missing()), reason=one_machine.missing())
SLURM = ("--executor", "slurm", "--slurm-init-seconds-before-status-checks", "3")


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lib.workflow", "tiny", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def running_job(environment: dict[str, str], rule: str) -> str:
    """Wait until a job of a rule is at work; return its number."""
    asked = ["squeue", "--noheader", "--states=RUNNING", "--format=%i %k"]
    until = time.monotonic() + 120
    while time.monotonic() < until:
        said = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
        for line in said.stdout.splitlines():
            if f"rule_{rule}" in line:
                return line.split()[0]
        time.sleep(0.5)
    raise AssertionError(f"no job of {rule} in two minutes")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run `tiny` by SLURM: the first call is killed, the second has a job cancelled under it."""
    folder = tmp_path_factory.mktemp("slurm")
    names = ("RESULTS_ROOT", "FIGURES_ROOT", "WORLDS_ROOT")
    roots = {name: str(folder / name.lower()) for name in names}
    with one_machine.slurm() as cluster:
        first = start(cluster | roots, *SLURM)
        left = running_job(cluster, "intermediate")
        time.sleep(5)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        second = start(cluster | roots, *SLURM)
        cancelled = running_job(cluster, "transfer")
        time.sleep(8)
        subprocess.run(["scancel", cancelled], env=cluster, check=True)
        said, _ = second.communicate()
    yield folder / "results_root/tiny", left, cancelled, said, second.returncode, roots


def tries(results: Path, cell: str) -> list[str]:
    """Return the number of the SLURM job of each try of a cell, by its log."""
    return re.findall(r"starts on \S+ as SLURM job (\d+)", (results / cell / "log.txt").read_text())


def test_a_study_survives_a_killed_call_and_a_cancelled_job(study: Any) -> None:
    results, _, cancelled, said, status, roots = study
    assert status == 0, said
    assert (Path(roots["FIGURES_ROOT"]) / "tiny/answer.md").is_file()
    assert f"failed (SLURM job {cancelled})" in said and "Trying to restart job" in said
    assert len(tries(results, "transfer/all/all/seed=1")) == 2


def test_the_next_call_cancels_the_jobs_that_a_killed_one_left_behind(study: Any) -> None:
    results, left, _, said, _, _ = study
    assert "cancelling 1 SLURM jobs of an earlier call" in said
    assert tries(results, "intermediate/all/seed=1")[0] == left
    assert len(tries(results, "intermediate/all/seed=1")) == 2


def test_a_finished_cell_is_not_made_again_after_a_killed_call(study: Any) -> None:
    assert len(tries(study[0], "pretrain/seed=1")) == 1


def test_every_job_leaves_log_notebook_and_slurms_own_log(study: Any) -> None:
    results = study[0]
    notebooks = [file for file in results.rglob("notebook.ipynb") if ".work" not in file.parts]
    assert len(notebooks) == 3 + 6
    for notebook in notebooks:
        number = tries(results, str(notebook.parent.relative_to(results)))[-1]
        assert len(list((results / "slurm_logs").rglob(f"{number}.log"))) == 1


def test_scores_are_those_of_a_local_run(study: Any, tmp_path: Path) -> None:
    roots = study[-1] | {"RESULTS_ROOT": str(tmp_path)}
    local = start(os.environ | roots, "--cores", "2", "--until", "transfer")
    said, _ = local.communicate()
    assert local.returncode == 0, said
    tables = sorted((tmp_path / "tiny").glob("transfer/*/*/*/scores.parquet"))
    settings = profile.load("tiny")
    assert len(tables) == len(settings.conditions) * len(settings.targets)
    for file in tables:
        other = study[0] / file.relative_to(tmp_path / "tiny")
        pd.testing.assert_frame_equal(
            pd.read_parquet(file), pd.read_parquet(other), check_exact=True
        )
