"""Run a profile's grid: check everything first, keep a second runner out, call Snakemake.

`python -m lib.workflow world` is what `make figures` calls.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import psutil

from lib import (
    calls,
    checks,
    cluster,
    execution,
    intermediate,
    inventory,
    paths,
    pretraining,
    profile,
    results,
    transfer,
)
from lib.errors import InputError
from lib.profile import Profile
from lib.results import Cell

STARTS = re.compile(r"Job \d+: (.*)")
DRY = {"-n", "--dry-run", "--dryrun"}
FAILS = "Error in rule"
USAGE = 2  # exit status of a command line that is wrong
STATUS = re.compile(r"SLURM status is: '(\w+)'")
AGAIN = 20.0  # seconds after which Snakemake is told to end once more
# Snakemake's own errors, but those that say again that a job failed; the rest stands in its log.
SAYS = re.compile(
    r"(?!RuleException|CalledProcessError|\w+:\s*$)\w*(Error|Exception)\b|"
    r"Nothing to be done|Complete log|Trying to restart"
)
# What is wrong stands in the line after these.
HEADS = re.compile(r"(WorkflowError|MissingRuleException):\s*$")
REPEATS = "At least one job did not complete successfully"


def cells(settings: Profile) -> dict[Cell, dict[str, Any]]:
    """List every cell of a profile's grid that holds results, with the parameters it is made by."""
    grid = {
        pretraining.cell(settings, encoder_seed): pretraining.parameters(settings, encoder_seed)
        for encoder_seed in sorted(set(settings.seeds.values()))
    }
    for name, seed in intermediate.runs_of(settings, "all", 0, trained=True):
        cell = Cell(settings.name, "intermediate", seed, name)
        grid[cell] = intermediate.parameters(settings, name, seed)
    for name, seed in settings.runs:
        for target in settings.targets:
            cell = Cell(settings.name, "transfer", seed, name, target)
            grid[cell] = transfer.parameters(settings, name, target, seed)
    return grid


def check_existing(settings: Profile) -> tuple[list[Cell], list[Path]]:
    """Compare every finished cell with the profile; return the cells that are still to be made.

    And the records of kernels of several cells of which one, or the notebook, is missing: they
    would pass for it, and have to go; what else stands is not made again. Raises InputError naming
    the first differing key, so that nothing is skipped or overwritten silently.
    """
    grid, stale = cells(settings), []
    missing = [cell for cell, wanted in grid.items() if results.read(cell, wanted) is None]
    for file in paths.results(settings.name).glob("*/**/run.json"):
        parts = file.relative_to(paths.results(settings.name)).parent.parts
        phase, *names, seed = parts
        if phase not in execution.PHASES or ("all" not in names and seed != "seed=0"):
            continue
        condition, target = [*names, ""][:2]
        together = Cell(settings.name, phase, int(seed.removeprefix("seed=")), condition, target)
        inside = {
            cell: wanted
            for cell, wanted in grid.items()
            if cell.phase == phase
            and together.seed in (0, cell.seed)
            and condition in ("all", cell.condition)
            and target in ("all", cell.target)
        }
        hashes = {cell.key: profile.digest(wanted) for cell, wanted in inside.items()}
        whole = results.stands_for(together, hashes) and (file.parent / "notebook.ipynb").is_file()
        if inside.keys() & set(missing) or not whole:
            stale.append(file)
    return missing, stale


def run(name: str, cores: str, extra: list[str], executor: str = "local", jobs: str = "100") -> int:
    """Run the grid of a profile through Snakemake; return its exit status.

    Our lock is held by this process and by Snakemake, which ends with it, however it ends;
    Snakemake's own locks, which outlive a kill, are not used. On a cluster at most so many `jobs`
    wait or run at the same time; `cores` are those of one machine.
    """
    if name.endswith(".yaml"):
        name = str(Path(name).resolve())
    settings = profile.load(name)
    if "--until" not in extra:
        checks.check_analyses(settings)
    cluster.check(executor, jobs)
    at_once = kernels_at_once(settings, cores) if executor == "local" else int(jobs)
    inventory.check(settings)
    folder = paths.results(settings.name)
    lock, before = calls.hold(folder)
    with lock:
        options = []
        dry = bool(DRY & {*extra})
        if executor == "slurm" and not dry:
            _clear_queue(folder, before)
        if not dry:
            calls.sign(lock)
        if executor != "local":
            options = cluster.options(executor, jobs, folder)
        missing, stale = check_existing(settings)
        # Snakemake does not look for the inputs of what stands: what is stale must go.
        if missing or not (paths.figures(settings.name) / "answer.md").is_file():
            stale += folder.glob("analysis_*/notebook.ipynb")
        for made in stale:
            print(f"would be made again: {made}") if dry else made.unlink()
        told = command(settings, name, cores, extra, options)
        return _call(settings, told, at_once, lock.fileno(), missing, executor)


def command(
    settings: Profile, name: str, cores: str, extra: list[str], options: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs a profile, of this name or file, through Snakemake.

    On a cluster `options` stand in place of the limits of one machine. A record that stands is
    complete, whatever became of the call that asked for it.
    """
    limit = settings.workflow.cells_per_device
    device = ("--resources", f"device={limit}") if limit else ()
    return [
        *(sys.executable, "-m", "lib.parent", str(os.getpid()), "snakemake"),
        *("--snakefile", str(paths.REPOSITORY / "Snakefile")),
        *("--directory", str(paths.REPOSITORY), "--config", f"profile={name}"),
        *(options or ("--cores", cores, *device)),
        *("--rerun-triggers", "input", "params", "--ignore-incomplete", "--nolock"),
        "--keep-incomplete",
        *("--keep-going", "--quiet", "host", "reason", *extra),
    ]


def _clear_queue(folder: Path, host: str) -> None:
    """Cancel what an earlier call, killed on this machine, left in SLURM's queue.

    Not every shared file system keeps a lock between machines: a call on another one may live.
    """
    if host not in ("", socket.gethostname()) and (left := cluster.jobs_of(folder)):
        raise InputError(f"{folder}: a call on {host} has SLURM jobs in the queue: wait for it, "
                         f"or, if it is dead, scancel {' '.join(left)}")  # fmt: skip
    cluster.cancel(folder)


def kernels_at_once(settings: Profile, cores: str) -> int:
    """Return how many kernels may run at the same time: as cores and device allow.

    Raises InputError for cores that are no number.
    """
    if cores != "all" and not (cores.isdecimal() and int(cores)):
        raise InputError(f"cores: {cores!r}: expected a number or 'all'")
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    number = max(
        1, (int(there or 1) if cores == "all" else int(cores)) // settings.workflow.threads
    )
    return min(number, settings.workflow.cells_per_device or number)


def _call(
    settings: Profile,
    command: list[str],
    at_once: int,
    lock: int,
    missing: list[Cell],
    executor: str = "local",
) -> int:
    """Call Snakemake, keep a record of the call, and say where the figures are."""
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    environment |= cluster.environment(executor)
    queue = paths.results(settings.name) if executor == "slurm" else None
    started = time.perf_counter()
    status = _follow(command, environment, lock, missing, queue)
    took = time.perf_counter() - started
    made = [cell for cell in missing if cell.run_file.is_file()]
    calls.add(settings.name, took, at_once, executor, made)
    if status == 0:
        print(f"figures: {paths.figures(settings.name)} ({took / 60:.1f} min)")
    return status


def _stop(number: int, snakemake: int, on_a_cluster: bool, told: threading.Event) -> None:
    """End a call in order: no further job; those at work are told, and keep a checkpoint.

    Kernels have process groups of their own: each hears of it from the job that waits for it. On a
    cluster SIGINT makes Snakemake cancel what it has there; a terminal sends it that by itself.
    """
    told.set()
    if on_a_cluster and number != signal.SIGINT:
        os.kill(snakemake, signal.SIGINT)
    for process in psutil.Process().children(recursive=True) if not on_a_cluster else ():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == os.getpgrp():
                process.terminate()
    print("told to end: jobs at work keep a checkpoint; the next call goes on", flush=True)


def _insist(snakemake: "subprocess.Popen[str]", told: threading.Event, seconds: float) -> None:
    """Send SIGINT again while Snakemake lives: it may come where nothing heeds it, and be lost."""
    told.wait()
    while True:
        try:
            snakemake.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            snakemake.send_signal(signal.SIGINT)


def _follow(
    command: list[str],
    environment: dict[str, str],
    lock: int,
    missing: list[Cell],
    queue: Path | None = None,
) -> int:
    """Say which kernel starts, which cell is done, and what failed; return the exit status.

    `queue` is the folder of results whose jobs are in SLURM's queue.
    """
    ended = threading.Event()
    told = threading.Event()
    failure: list[str] = []
    watching = threading.Thread(target=_watch, args=(missing, ended, queue), daemon=True)
    with subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(lock,),
    ) as running:
        on_a_cluster = "--executor" in command
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda n, _: _stop(n, running.pid, on_a_cluster, told))
        if on_a_cluster:
            threading.Thread(target=_insist, args=(running, told, AGAIN), daemon=True).start()
        watching.start()
        headed, last = False, deque[str](maxlen=3)
        for line in chain(running.stdout or (), [""]):
            if headed and not line.startswith(REPEATS):
                print(f"Snakemake: {line.strip()}", flush=True)
            headed = bool(HEADS.match(line))
            last += [line.rstrip()] if line.strip() else []
            if failure and not line.startswith(" ") and (_is_told(failure) or not line):
                print(failed(failure), flush=True)
                failure = []
            if failure or line.startswith(FAILS):
                failure.append(line.strip())
            elif started := STARTS.match(line):
                what = started[1].replace("seed 0", "every seed")
                print(f"{time.strftime('%H:%M:%S')}  starts     {what}", flush=True)
            elif SAYS.match(line):
                print(line.rstrip(), flush=True)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ended.set()
    watching.join()
    if running.returncode == USAGE:
        print("\n".join(f"Snakemake: {line}" for line in last), flush=True)
    return running.returncode


def _is_told(said: list[str]) -> bool:
    """Say whether what Snakemake says of a failure goes as far as its output."""
    return any(line.startswith("output: ") for line in said)


def failed(said: list[str]) -> str:
    """Say in a line what failed, why, and where its log and its notebook lie.

    `said` is what Snakemake says of it, a line for each fact.
    """
    facts = dict(line.split(": ", 1) for line in said if ": " in line)
    folder = Path(re.split(r", | \(", facts.get("output", ""))[0]).parent
    ended = STATUS.search(facts.get("message", ""))
    cause = execution.why(folder / execution.LOG) or (ended[1] if ended else "killed")
    files = [folder / name for name in (execution.LOG, execution.FAILED)]
    places = [str(file) for file in files if file.is_file()]
    places += [facts["log"].partition(" (check")[0]] if "log" in facts else []
    job = f" (job {facts['external_jobid']})" if "external_jobid" in facts else ""
    return f"failed{job}: {cause}; see {', '.join(places) or folder}"


def _watch(missing: list[Cell], ended: threading.Event, queue: Path | None) -> None:
    """Print a line for every cell of the grid as its record appears, and how many are left.

    Puts SLURM jobs that were pre-empted for good back into the queue.
    """
    left, looked, over = list(missing), time.monotonic(), False
    while not over:
        over = ended.wait(1)
        for cell in [cell for cell in left if cell.run_file.is_file()]:
            left.remove(cell)
            print(f"{time.strftime('%H:%M:%S')}  {len(left):>4} left  {cell.key}", flush=True)
        if queue and not over and time.monotonic() - looked > 30:
            cluster.requeue_preempted(queue)
            looked = time.monotonic()


def main() -> int:
    """Read the command line; an InputError is one line on standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", help="name of a profile, or path of a YAML file")
    parser.add_argument("--cores", default="all", help="cores to use (default: all)")
    parser.add_argument("--executor", default="local", help="local, slurm or kubernetes")
    parser.add_argument("--jobs", default="100", help="jobs in the cluster's queue (default: 100)")
    given, extra = parser.parse_known_args()
    try:
        return run(given.profile, given.cores, extra, given.executor, given.jobs)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
