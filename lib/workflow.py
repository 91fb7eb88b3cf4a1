"""Run a profile's grid: check everything first, keep a second runner out, call Snakemake.

`python -m lib.workflow world` is what `make figures` calls.
"""

import argparse
import os
import re
import subprocess
import sys
import time

from filelock import FileLock, Timeout

from lib import intermediate, paths, pretraining, profile, results, transfer
from lib.errors import InputError
from lib.profile import Profile
from lib.results import Cell

STARTS = re.compile(r"Job \d+: (.*)")
COUNT = re.compile(r"(\d+) of (\d+) steps")
TOTAL = re.compile(r"total +(\d+)$")
# What our own rules say of a failure, and Snakemake's errors; the rest stands in its log.
SAYS = re.compile(r"failed: |InputError|\w*Error[: ]|Nothing to be done|Complete log")


def check_existing(settings: Profile) -> None:
    """Compare every finished cell with the profile.

    Raises InputError naming the first differing key, so that nothing is skipped or overwritten
    silently.
    """
    for encoder_seed in sorted(set(settings.seeds.values())):
        wanted = pretraining.parameters(settings, encoder_seed)
        results.read(pretraining.cell(settings, encoder_seed), wanted)
    for seed in settings.seeds:
        for name, condition in settings.conditions.items():
            if condition.task:
                cell = Cell(settings.name, "intermediate", seed, name)
                results.read(cell, intermediate.parameters(settings, name, seed))
            for target in settings.targets:
                cell = Cell(settings.name, "transfer", seed, name, target)
                results.read(cell, transfer.parameters(settings, name, target, seed))


def run(name: str, cores: str, extra: list[str]) -> int:
    """Run the grid of a profile through Snakemake; return its exit status.

    Our lock is held by this process and ends with it, however it ends, so Snakemake's own locks,
    which outlive a kill, are not used.
    """
    settings = profile.load(name)
    profile.check_data(settings)
    check_existing(settings)
    folder = paths.results(settings.name)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder}: another `make figures` is at work on this profile") from None
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(paths.REPOSITORY / "Snakefile")),
        *("--directory", str(paths.REPOSITORY), "--config", f"profile={name}", "--cores", cores),
        *("--rerun-triggers", "input", "params", "--rerun-incomplete", "--nolock"),
        *("--keep-going", "--quiet", "host", "reason", *extra),
    ]
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    started = time.perf_counter()
    with lock:
        status = _follow(command, environment)
    took = time.perf_counter() - started
    if status == 0:
        print(f"figures: {paths.figures(settings.name)} ({took / 60:.1f} min)")
    return status


def _follow(command: list[str], environment: dict[str, str]) -> int:
    """Turn what Snakemake says into one line per cell: what starts, and how many are left."""
    total = done = 0
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as running:
        for line in running.stdout or ():
            if started := STARTS.match(line):
                left = f"{total - 1 - done} of {total - 1} left"
                print(f"{time.strftime('%H:%M:%S')}  {left:>16}  {started[1]}", flush=True)
            elif count := COUNT.match(line):
                done, total = int(count[1]), int(count[2])
            elif jobs := TOTAL.match(line):
                total = int(jobs[1])
            elif SAYS.match(line):
                print(line.rstrip(), flush=True)
    return running.returncode


def main() -> int:
    """Read the command line; an InputError is one line on standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", help="name of a profile, or path of a YAML file")
    parser.add_argument("--cores", default="all", help="cores to use (default: all)")
    arguments, extra = parser.parse_known_args()
    try:
        return run(arguments.profile, arguments.cores, extra)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
