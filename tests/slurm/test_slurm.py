"""The miniature grid through a real SLURM on this machine, with what goes wrong on a cluster."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import one_machine
import pandas as pd
import pytest
import yaml

from lib import paths, profile

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(one_machine.missing()), reason=one_machine.missing()),
]
SLURM = ("--executor", "slurm", "--slurm-init-seconds-before-status-checks", "3")


def start(environment: dict[str, str], name: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lib.workflow", name, *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def ask(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def running_job(environment: dict[str, str], rule: str) -> str:
    """Wait until a job of a rule is at work; return its number."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        listed = ask(environment, "squeue", "--noheader", "--states=RUNNING", "--format=%i %k")
        for line in listed.splitlines():
            if f"rule_{rule}" in line:
                return line.split()[0]
        time.sleep(0.5)
    raise AssertionError(f"no job of {rule} in two minutes")


def checkpoint(results: Path, newer_than: float) -> None:
    """Wait until a transfer leaves a checkpoint; trainings delete their earlier ones."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        with suppress(FileNotFoundError):
            for state in results.glob(".work/transfer/**/checkpoint-*/trainer_state.json"):
                if state.stat().st_mtime > newer_than:
                    return
        time.sleep(0.1)
    raise AssertionError("no checkpoint in three minutes")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run `tiny` by SLURM: one call is killed, one told to end, one has a job taken away twice.

    The job makes way for one of another partition, and later is cancelled.
    """
    folder = tmp_path_factory.mktemp("slurm")
    content = yaml.safe_load(paths.profile_file("tiny").read_text(encoding="utf-8"))
    # A training lasts longer than SLURM takes to end it; a call tells Snakemake again after 20 s.
    content["targets"]["udpos"]["updates"] = 1500
    kept = ("none", "random", "ud_parsing", "stsb")
    content["conditions"] = {name: content["conditions"][name] for name in kept}
    content["workflow"]["checkpoint_minutes"] = 0.02
    content["workflow"]["resources"] = {"transfer": {"gpus": 1, "memory_gb": 3, "hours": 0.5}}
    asks = folder / "tiny.yaml"
    asks.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    names = ("RESULTS_ROOT", "FIGURES_ROOT", "WORLDS_ROOT")
    roots = {name: str(folder / name.lower()) for name in names}
    with one_machine.slurm() as cluster:
        first = start(cluster | roots, str(asks), *SLURM)
        left = running_job(cluster, "intermediate")
        time.sleep(5)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        second = start(cluster | roots, str(asks), *SLURM)
        running_job(cluster, "transfer")
        second.terminate()
        ended, _ = second.communicate(timeout=120)
        queue = ask(cluster, "squeue", "--noheader", "--states=PENDING,RUNNING")
        third = start(cluster | roots, str(asks), *SLURM)
        preempted = running_job(cluster, "transfer")
        checkpoint(folder / "results_root/tiny", time.time())
        urgent = ("--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")
        ask(cluster, "sbatch", *urgent)
        # It ends within its time of grace: the next try is another job.
        while (cancelled := running_job(cluster, "transfer")) == preempted:
            time.sleep(0.5)
        checkpoint(folder / "results_root/tiny", time.time())
        shown = ask(cluster, "scontrol", "show", "job", cancelled)
        ask(cluster, "scancel", cancelled)
        said, _ = third.communicate()
    done = SimpleNamespace(status=third.returncode, said=said, roots=roots, shown=shown)
    done.ended, done.queue, done.asks = ended, queue, str(asks)
    done.preempted = preempted
    done.left, done.cancelled, done.results = left, cancelled, folder / "results_root/tiny"
    yield done


def tries(results: Path, cell: str) -> list[str]:
    """Return the number of the SLURM job of each try of a cell, by its log."""
    return re.findall(r"starts on \S+ as SLURM job (\d+)", (results / cell / "log.txt").read_text())


def test_a_study_survives_a_killed_call_and_a_cancelled_job(study: Any, record: Any) -> None:
    assert study.status == 0, study.said
    assert (Path(study.roots["FIGURES_ROOT"]) / "tiny/answer.md").is_file()
    assert f"failed (job {study.cancelled})" in study.said
    assert "Trying to restart job" in study.said
    *_, first, before, last = tries(study.results, "transfer/all/all/seed=1")
    assert (first, before) == (study.preempted, study.cancelled) and last not in (first, before)
    record("under SLURM: a killed call, a job taken away twice", 3)


def test_a_job_that_is_preempted_or_cancelled_leaves_a_checkpoint_and_the_next_try_goes_on(
    study: Any, record: Any
) -> None:
    log = (study.results / "transfer/all/all/seed=1/log.txt").read_text(encoding="utf-8")
    *_, first, second, third = re.split(r"^.* starts on .*$", log, flags=re.MULTILINE)
    for ended, again in ((first, second), (second, third)):
        assert "told to end by SIGTERM" in ended
        left = re.search(r"ended by SIGTERM at update (\d+)", ended)
        assert left and f"goes on from checkpoint-{left[1]}\n" in again
    record("under SLURM: a job that is pre-empted, one that is cancelled", 2)


def test_a_call_that_is_told_to_end_leaves_nothing_in_the_queue(study: Any, record: Any) -> None:
    assert "the next call goes on" in study.ended and "Traceback" not in study.ended
    assert study.queue == ""
    record("under SLURM: a call that is told to end")


def test_the_next_call_cancels_the_jobs_that_a_killed_one_left_behind(study: Any) -> None:
    assert "cancelling 1 SLURM jobs of an earlier call" in study.ended
    jobs = tries(study.results, "intermediate/all/seed=1")
    assert len(jobs) == 2 and jobs[0] == study.left


def test_a_finished_cell_is_not_made_again_after_a_killed_call(study: Any) -> None:
    assert len(tries(study.results, "pretrain/seed=1")) == 1


def test_a_job_has_what_the_profile_asks_for_its_phase(study: Any) -> None:
    assert re.search(r"TresPerJob=gres[:/]gpu[:=]1\b", study.shown), study.shown
    assert "TimeLimit=00:30:00" in study.shown and "MinMemoryNode=3000M" in study.shown


def test_every_job_leaves_log_notebook_and_slurms_own_log(study: Any) -> None:
    found = study.results.rglob("notebook.ipynb")
    notebooks = [file for file in found if ".work" not in file.parts]
    assert len(notebooks) == 3 + 6
    for notebook in notebooks:
        number = tries(study.results, str(notebook.parent.relative_to(study.results)))[-1]
        assert len(list((study.results / "slurm_logs").rglob(f"{number}.log"))) == 1


def test_scores_are_those_of_a_local_run(study: Any, tmp_path: Path) -> None:
    roots = study.roots | {"RESULTS_ROOT": str(tmp_path)}
    local = start(os.environ | roots, study.asks, "--cores", "2", "--until", "transfer")
    said, _ = local.communicate()
    assert local.returncode == 0, said
    tables = sorted((tmp_path / "tiny").glob("transfer/*/*/*/scores.parquet"))
    settings = profile.load(study.asks)
    assert len(tables) == len(settings.conditions) * len(settings.targets)
    for table in tables:
        for file in (table, table.with_name("predictions.parquet")):
            other = study.results / file.relative_to(tmp_path / "tiny")
            pd.testing.assert_frame_equal(
                pd.read_parquet(file), pd.read_parquet(other), check_exact=True
            )


@pytest.mark.faults
def test_a_job_whose_time_runs_out_leaves_a_checkpoint_and_the_next_try_goes_on(
    tmp_path: Path, record: Any
) -> None:
    content = yaml.safe_load(paths.profile_file("tiny").read_text(encoding="utf-8"))
    content["conditions"] = {name: content["conditions"][name] for name in ("none", "random")}
    # It is told two minutes before the end of three, give or take one.
    content["targets"] = {"udpos": {"updates": 2_500, "batch_tokens": 512}}
    content["clean_targets"] = ["udpos"]
    content["workflow"]["resources"] = {"transfer": {"memory_gb": 3, "hours": 0.05}}
    asks = tmp_path / "short.yaml"
    asks.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    roots = {"RESULTS_ROOT": str(tmp_path), "WORLDS_ROOT": str(tmp_path / "worlds")}
    with one_machine.slurm() as cluster:
        told = ("--until", "transfer", "--retries", "9")
        call = start(cluster | roots, str(asks), *SLURM, *told)
        said, _ = call.communicate()
    assert call.returncode == 0, said
    log = (tmp_path / "short/transfer/all/all/seed=1/log.txt").read_text(encoding="utf-8")
    _, *ended, last = re.split(r"^.* starts on .*$", log, flags=re.MULTILINE)
    assert ended and "goes on from checkpoint-" in last
    assert all("told to end by SIGTERM" in each for each in ended)
    assert any("ended by SIGTERM at update" in each for each in ended)
    record("under SLURM: a job whose time runs out")
