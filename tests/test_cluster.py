"""What Snakemake is told of a cluster, and what is refused before anything is submitted."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib import cluster, execution, paths, profile, workflow
from lib.errors import InputError


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a maker of SLURM commands that answer as told; each notes what it was asked."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(cluster.shutil, "which", lambda name: (programs / name).exists() or None)

    def make(accounting: bool = True, minimal_age: int = 300, **answers: str) -> Path:
        scripts = {
            "sbatch": "",
            "sacct": "" if accounting else "echo 'accounting storage is disabled' >&2; exit 1",
            "scontrol": f"echo 'MinJobAge               = {minimal_age} sec'",
            "squeue": "",
            "scancel": f"rm -f {programs / 'squeue'}; ln -s /bin/true {programs / 'squeue'}",
        } | answers
        for name, script in scripts.items():
            text = f"#!/bin/sh\necho {name} $* >> {tmp_path}/asked\n{script}\n"
            (programs / name).write_text(text, encoding="utf-8")
            (programs / name).chmod(0o755)
        return tmp_path / "asked"

    return make


def test_without_accounts_the_executor_is_told_to_ask_squeue(slurm: Any, tmp_path: Path) -> None:
    slurm(accounting=False)
    told = cluster.options("slurm", "50", tmp_path)
    assert told[told.index("--slurm-status-command") + 1] == "squeue"
    slurm(accounting=True)
    assert "--slurm-status-command" not in cluster.options("slurm", "50", tmp_path)


def test_a_slurm_that_forgets_how_jobs_ended_is_refused(slurm: Any, tmp_path: Path) -> None:
    slurm(accounting=False, minimal_age=10)
    with pytest.raises(InputError, match=r"no accounts and forgets a job after 10 s \(MinJobAge\)"):
        cluster.options("slurm", "50", tmp_path)


@pytest.mark.parametrize(
    ("executor", "jobs", "said"),
    [
        ("slrum", "5", "EXECUTOR: 'slrum': expected one of local, slurm, kubernetes"),
        ("slurm", "many", "JOBS: 'many': expected a number"),
        ("slurm", "0", "JOBS: '0': expected a number"),
        ("slurm", "5", "EXECUTOR=slurm: no sbatch here: call it where jobs are submitted"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line(
    executor: str, jobs: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError) as refused:
        cluster.check(executor, jobs)
    assert str(refused.value) == said


def test_an_executor_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install snakemake-executor-plugin-kubernetes"):
        cluster.check("kubernetes", "5")


def test_a_slurm_that_does_not_answer_is_one_line(slurm: Any) -> None:
    slurm(squeue="echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(InputError, match="squeue: Unable to contact slurm controller"):
        cluster.check("slurm", "5")


def test_one_machines_limits_do_not_throttle_a_cluster(slurm: Any, tmp_path: Path) -> None:
    slurm()
    study = profile.load("xtreme_base", whole=True)
    told = workflow.command(study, "xtreme_base", "4", [], cluster.options("slurm", "7", tmp_path))
    assert "--cores" not in told and "--resources" not in told
    assert told[told.index("--jobs") + 1] == "7"


def test_every_cell_of_a_big_profile_has_a_gpu_and_none_of_a_small_one() -> None:
    for name in ("xtreme_base", "xtreme_large"):
        study = profile.load(name, whole=True)
        asked = [cluster.resources(study, phase) for phase in execution.PHASES[1:]]
        assert all((each["gpu"], each["nodes"]) == (1, 1) for each in asked)
        assert "gpu" not in cluster.resources(study, "analysis")
    for name in ("tiny", "world", "world_full"):
        study = profile.load(name)
        asked = [cluster.resources(study, phase) for phase in (*execution.PHASES, "analysis")]
        assert not any("gpu" in each for each in asked)


def test_a_profile_says_what_a_job_of_each_phase_asks_for(tmp_path: Path) -> None:
    content = yaml.safe_load(paths.profile_file("tiny").read_text(encoding="utf-8"))
    content["workflow"] = {"resources": {"pretrain": {"gpus": 4, "memory_gb": 64, "hours": 1.5}}}
    file = tmp_path / "asks.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    study = profile.load(str(file))
    asked = {"mem_mb": 64_000, "runtime": 90, "gpu": 4, "nodes": 1}
    assert cluster.resources(study, "pretrain") == asked
    assert cluster.resources(study, "transfer") == {"mem_mb": 8000, "runtime": 240}


def test_a_warning_before_the_end_is_the_users_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SBATCH_SIGNAL", raising=False)
    assert cluster.environment("slurm")["SBATCH_SIGNAL"] == "TERM@120"
    monkeypatch.setenv("SBATCH_SIGNAL", "TERM@600")
    assert cluster.environment("slurm")["SBATCH_SIGNAL"] == "TERM@600"
    assert cluster.environment("local") == {}


def test_what_was_preempted_for_good_is_put_back_under_its_number(
    slurm: Any, tmp_path: Path
) -> None:
    asked = slurm(squeue=f"echo 7 {cluster._name(tmp_path)}_0af; echo 8 others_0af")
    cluster.requeue_preempted(tmp_path)
    said = asked.read_text().splitlines()
    assert "--states PREEMPTED" in said[0] and said[1:] == ["scontrol requeue 7"]
    slurm(squeue="exit 1")
    cluster.requeue_preempted(tmp_path)  # a controller that is away for a while ends nothing


@pytest.mark.parametrize("host", ["", "here"])
def test_what_a_killed_call_left_in_the_queue_is_cancelled(
    slurm: Any, tmp_path: Path, host: str
) -> None:
    asked = slurm(squeue=f"echo 7 {cluster._name(tmp_path)}_0af; echo 8 others_0af")
    workflow._clear_queue(tmp_path, host and socket.gethostname())
    assert "scancel 7" in asked.read_text().splitlines()


@pytest.mark.parametrize("extra", [["--dry-run"], ["-n"], []])
def test_a_dry_run_leaves_the_queue_alone(
    slurm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: list[str]
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    monkeypatch.setenv("WORLDS_ROOT", str(tmp_path / "worlds"))
    monkeypatch.setattr(workflow, "_call", lambda *_: 0)
    asked = slurm(squeue=f"echo 7 {cluster._name(paths.results('tiny'))}_0af")
    assert workflow.run("tiny", "1", extra, "slurm", "4") == 0
    assert ("scancel 7" in asked.read_text().splitlines()) == (not extra)


def test_jobs_of_a_call_on_another_machine_are_left_alone(
    slurm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RESULTS_ROOT", "WORLDS_ROOT"):
        monkeypatch.setenv(name, str(tmp_path / name))
    folder = paths.results("tiny")
    folder.mkdir(parents=True)
    asked = slurm(squeue=f"echo 7 {cluster._name(folder)}_0af")
    (folder / ".lock").write_text("login2 17")
    for _ in range(2):  # a refused call leaves the lock as it is
        with pytest.raises(InputError, match="a call on login2 has SLURM jobs in the queue: wait"):
            workflow.run("tiny", "1", [], "slurm", "4")
    assert "scancel" not in asked.read_text()


def test_a_failure_is_one_line_that_names_reason_job_log_and_notebook(tmp_path: Path) -> None:
    for name in ("log.txt", "failed.ipynb"):
        (tmp_path / name).write_text("2026 starts on n\n2026 failed: ValueError: no such\n")
    said = ["Error in rule transfer:", "message: SLURM-job '5' failed, SLURM status is: 'FAILED'.",
            f"output: {tmp_path}/run.json", "log: logs/5.log (check log file(s) for error details)",
            "shell:", "exec python", "external_jobid: 5"]  # fmt: skip
    assert workflow.failed(said) == (
        f"failed (job 5): ValueError: no such; see {tmp_path}/log.txt, "
        f"{tmp_path}/failed.ipynb, logs/5.log"
    )
    (tmp_path / "log.txt").write_text("2026 starts on n\n")  # killed, and had no time to say so
    said[1] = "message: SLURM-job '5' failed, SLURM status is: 'OUT_OF_MEMORY'."
    assert workflow.failed(said).startswith("failed (job 5): OUT_OF_MEMORY; see ")


def test_a_call_that_does_not_heed_being_told_to_end_is_told_again() -> None:
    deaf = (
        "import signal, sys, time\n"
        "heard = []\n"
        "def hear(*_):\n"
        "    heard.append(1)\n"
        "    if len(heard) == 2:\n"
        "        sys.exit(7)\n"
        "signal.signal(signal.SIGINT, hear)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, text=True) as call:
        assert call.stdout is not None and call.stdout.readline() == "ready\n"
        told = threading.Event()
        telling = threading.Thread(target=workflow._insist, args=(call, told, 0.5), daemon=True)
        telling.start()
        time.sleep(1)
        assert call.poll() is None  # nobody was told yet
        told.set()
        assert call.wait(timeout=30) == 7
        telling.join(timeout=5)
        assert not telling.is_alive()


def test_snakemake_heeds_sigint_though_a_script_started_the_call_in_the_background(
    tmp_path: Path,
) -> None:
    (tmp_path / "waits.py").write_text(
        "import time\nprint('ready', flush=True)\ntime.sleep(60)\n", encoding="utf-8"
    )
    told = [sys.executable, "-m", "lib.parent", str(os.getpid()), "waits"]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as `&` in a script does; inherited
    try:
        call = subprocess.Popen(
            told, env=os.environ | {"PYTHONPATH": str(tmp_path)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)
    with call:
        assert call.stdout is not None and call.stdout.readline() == "ready\n"
        call.send_signal(signal.SIGINT)
        assert call.wait(timeout=30) == -signal.SIGINT


def test_what_a_job_runs_is_told_to_end_where_snakemake_alone_is(tmp_path: Path) -> None:
    # As in a control group: SIGTERM reaches the first process of a step, which waits for its child.
    (tmp_path / "Snakefile").write_text(f"""
from lib import parent
parent.tell_children()
rule all:
    output: "done"
    shell: '''exec {sys.executable} -c "
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(pathlib.Path('told').touch()))
pathlib.Path('begun').touch()
time.sleep(60)
"'''
""", encoding="utf-8")  # fmt: skip
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all"]
    path = os.pathsep.join([str(paths.REPOSITORY), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.DEVNULL
    ) as job:
        wait_for(tmp_path / "begun")
        job.terminate()
        job.wait(20)
    assert (tmp_path / "told").is_file()


def wait_for(file: Path, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.05)
