"""Tell Snakemake how a grid runs on a cluster, by its own executors for SLURM and Kubernetes.

Partition, account and the like are the site's: they are given to Snakemake as they are.
"""

import getpass
import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lib.errors import InputError
from lib.profile import Profile, digest

EXECUTORS = ("local", "slurm", "kubernetes")
TRIES = 3  # after the first: a node failed, the time was over, another job came first
GRACE = 120  # seconds between SIGTERM and the end of a job's time, for a checkpoint
FORGETS = 180  # the executor may wait so many seconds before it looks at its jobs again


def check(executor: str, jobs: str) -> None:
    """Check that there is such an executor, and that it can be reached from here.

    Raises InputError for an unknown executor, one that is not installed, a SLURM that does not
    answer, or a number of jobs that is none.
    """
    if executor not in EXECUTORS:
        raise InputError(f"EXECUTOR: {executor!r}: expected one of {', '.join(EXECUTORS)}")
    if executor != "local" and not (jobs.isdecimal() and int(jobs)):
        raise InputError(f"JOBS: {jobs!r}: expected a number")
    plugin = f"snakemake-executor-plugin-{executor}"
    if executor != "local" and find_spec(plugin.replace("-", "_")) is None:
        raise InputError(f"EXECUTOR={executor}: not installed: .venv/bin/pip install {plugin}")
    if executor == "slurm":
        if not shutil.which("sbatch"):
            raise InputError("EXECUTOR=slurm: no sbatch here: call it where jobs are submitted")
        _ask("squeue", "--noheader", "--user", getpass.getuser())


def options(executor: str, jobs: str, folder: Path) -> list[str]:
    """Return what Snakemake is told of a cluster, for the results in this folder."""
    told = ["--executor", executor, "--jobs", jobs, "--retries", str(TRIES), "--latency-wait", "60"]
    if executor == "slurm":
        told += ["--slurm-logdir", str(folder / "slurm_logs"), "--slurm-keep-successful-logs"]
        told += ["--slurm-requeue", "--slurm-jobname-prefix", _name(folder), *_polling()]
    return told


def environment(executor: str) -> dict[str, str]:
    """Return what sbatch reads besides: warn before the time is over; one log for all tries."""
    wanted = {"SBATCH_SIGNAL": f"TERM@{GRACE}", "SBATCH_OPEN_MODE": "append"}
    return {key: os.environ.get(key, value) for key, value in wanted.items() if executor == "slurm"}


def resources(study: Profile, phase: str) -> dict[str, Any]:
    """Return what a job of a phase asks for, in Snakemake's words: MB, minutes, GPUs."""
    asked = getattr(study.workflow.resources, phase)
    return {
        "mem_mb": asked.memory_gb * 1000,
        "runtime": max(1, round(asked.hours * 60)),
        **({"gpu": asked.gpus, "nodes": 1} if asked.gpus else {}),
    }


def jobs_of(folder: Path, *which: str) -> list[str]:
    """List the numbers of the SLURM jobs of a folder of results that wait or run."""
    listed = _ask("squeue", "--noheader", "--format=%i %j", "--user", getpass.getuser(), *which)
    rows = [line.split(maxsplit=1) for line in listed.splitlines()]
    return [number for number, name in rows if name.startswith(f"{_name(folder)}_")]


def cancel(folder: Path, seconds: float = 300) -> None:
    """Cancel the SLURM jobs of a folder, and wait until none is left.

    Raises InputError where they do not end in time.
    """
    jobs = jobs_of(folder)
    if jobs:
        print(f"cancelling {len(jobs)} SLURM jobs of an earlier call", flush=True)
        _ask("scancel", *jobs)
    until = time.monotonic() + seconds
    while left := jobs_of(folder):
        if time.monotonic() > until:
            raise InputError(f"SLURM jobs of an earlier call do not end: {' '.join(left)}")
        time.sleep(1)


def requeue_preempted(folder: Path) -> None:
    """Put jobs that were pre-empted for good back into the queue, under their own number.

    SLURM leaves them in that state, and Snakemake's executor waits for them for ever. Where SLURM
    does not answer, the next call will see to them.
    """
    with suppress(InputError):
        for job in jobs_of(folder, "--states", "PREEMPTED"):
            _ask("scontrol", "requeue", job)


def _name(folder: Path) -> str:
    """Name the jobs of a folder of results: its profile, and what tells it from others."""
    return f"{re.sub(r'[^A-Za-z0-9]', '-', folder.name)[:30]}-{digest(str(folder))[:8]}"


def _polling() -> list[str]:
    """Have the executor ask squeue where no accounts are kept: it asks sacct where that exists.

    Raises InputError where neither would tell how a job ended.
    """
    asked = ["sacct", "--noheader", "--allocations", "--starttime", "now"]
    if shutil.which("sacct") and not subprocess.run(asked, capture_output=True).returncode:
        return []
    age = re.search(r"MinJobAge\s*=\s*(\d+)", _ask("scontrol", "show", "config"))
    if age and int(age[1]) < FORGETS:
        raise InputError(f"SLURM keeps no accounts and forgets a job after {age[1]} s (MinJobAge): "
                         f"expected {FORGETS} or more, or accounting")  # fmt: skip
    return ["--slurm-status-command", "squeue"]


def _ask(*command: str) -> str:
    """Return what a command of SLURM says; its complaint is one line."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise InputError(f"{command[0]}: {said}")
    return done.stdout
