"""Run a profile's grid: check everything first, keep a second runner out, call Snakemake.

`python -m lib.workflow world` is what `make figures` calls.
"""

import argparse
import fcntl
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from lib import intermediate, paths, pretraining, profile, results, transfer
from lib.errors import InputError
from lib.profile import Profile
from lib.results import Cell

STARTS = re.compile(r"Job \d+: (.*)")
COUNT = re.compile(r"(\d+) of (\d+) steps")
TOTAL = re.compile(r"total +(\d+)$")
# What our own rules say of a failure, and Snakemake's errors; the rest stands in its log.
SAYS = re.compile(r"failed: |\w*(Error|Exception)\b|Nothing to be done|Complete log")


def check_existing(settings: Profile) -> bool:
    """Compare every finished cell with the profile; return whether every score is there.

    Raises InputError naming the first differing key, so that nothing is skipped or overwritten
    silently.
    """
    complete = True
    for encoder_seed in sorted(set(settings.seeds.values())):
        wanted = pretraining.parameters(settings, encoder_seed)
        results.read(pretraining.cell(settings, encoder_seed), wanted)
    for seed in settings.seeds:
        for name, condition in settings.conditions.items():
            if condition.task:
                cell = Cell(settings.name, "intermediate", seed, name)
                results.read(cell, intermediate.parameters(settings, name, seed))
            wanted = {
                target: transfer.parameters(settings, name, target, seed)
                for target in settings.targets
            }
            cells = {
                target: Cell(settings.name, "transfer", seed, name, target) for target in wanted
            }
            made = [results.read(cells[target], wanted[target]) for target in wanted]
            together = Cell(settings.name, "transfer", seed, name, "all")
            if None in made:
                complete = False
                # It holds no result of its own, and would pass for the cell that is missing.
                together.run_file.unlink(missing_ok=True)
            else:
                results.read(together, wanted)
    return complete


def run(name: str, cores: str, extra: list[str]) -> int:
    """Run the grid of a profile through Snakemake; return its exit status.

    Our lock is held by this process and by Snakemake, and ends with them, however they end;
    Snakemake's own locks, which outlive a kill, are not used.
    """
    if name.endswith(".yaml"):
        name = str(Path(name).resolve())
    settings = profile.load(name)
    profile.check_data(settings)
    folder = paths.results(settings.name)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another run is at work on this profile") from None
        complete = check_existing(settings)
        # Snakemake does not look for the inputs of what stands: what is stale must go.
        if not complete or not (paths.figures(settings.name) / "answer.md").is_file():
            for made in folder.glob("analysis_*/notebook.ipynb"):
                made.unlink()
        return _call(settings, name, cores, extra, lock.fileno())


def _call(settings: Profile, name: str, cores: str, extra: list[str], lock: int) -> int:
    """Call Snakemake and say where the figures are."""
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(paths.REPOSITORY / "Snakefile")),
        *("--directory", str(paths.REPOSITORY), "--config", f"profile={name}", "--cores", cores),
        *("--rerun-triggers", "input", "params", "--rerun-incomplete", "--nolock"),
        *("--keep-going", "--quiet", "host", "reason", *extra),
    ]
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    started = time.perf_counter()
    status = _follow(command, environment, lock)
    took = time.perf_counter() - started
    if status == 0:
        print(f"figures: {paths.figures(settings.name)} ({took / 60:.1f} min)")
    return status


def _follow(command: list[str], environment: dict[str, str], lock: int) -> int:
    """Turn what Snakemake says into one line per cell: what starts, and how many are left."""
    total = done = 0
    with subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(lock,),
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
