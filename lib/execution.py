"""Execute a notebook as a job of the workflow: log and executed notebook lie beside its result.

`python -m lib.execution 3_transfer results/tiny transfer/none/udpos/seed=1 profile=tiny seed=1 …`
"""

import hashlib
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from lib import parent, paths

LOG, FAILED, READ = "log.txt", "failed.ipynb", "cells.sha256"
NUMBERS = ("seed", "encoder_seed")
PHASES = ("pretrain", "intermediate", "transfer")


def execute(notebook: Path, results: Path, key: str, parameters: dict[str, Any]) -> int:
    """Execute a notebook into the folder of its cell, `results/key`; return its exit status.

    The log goes on where an earlier try left it. A notebook that failed is kept as `failed.ipynb`.
    Beside that of an analysis stands which cells there were when it began: clocks may differ.
    SIGTERM, which a cluster sends some time before it kills, is passed on to the kernel; this
    process waits for it to end. So does SIGINT, by which a user ends all of them at a terminal.
    """
    work, folder = results / ".work" / key, results / key
    work.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    made = work / "notebook.ipynb"
    there = cells(results) if key.startswith("analysis_") else ""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _pass_on)
    # Snakemake was killed: nobody waits for this.
    parent.end_with(os.getppid(), lambda: os.kill(os.getpid(), signal.SIGTERM))
    with (folder / LOG).open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())  # the kernel writes there too
        os.dup2(log.fileno(), sys.stderr.fileno())
        _say("starts on", socket.gethostname(), _job())
        problems: list[BaseException] = []

        def run() -> None:
            import papermill

            try:
                papermill.execute_notebook(
                    notebook, made, parameters, cwd=paths.NOTEBOOKS, progress_bar=False,
                    stdout_file=log, stderr_file=log,
                )  # fmt: skip
            except BaseException as problem:
                problems.append(problem)

        # nbclient gives a kernel seconds to end after SIGTERM, but not from a thread that cannot
        # take signals; a checkpoint may take longer.
        running = threading.Thread(target=run)
        running.start()
        running.join()
        if problems:
            if made.is_file():
                made.replace(folder / FAILED)
            print(problems[0], flush=True)
            _say("failed:", reason(problems[0]))
            return 1
        if there:
            (folder / READ).write_text(there, encoding="utf-8")
        made.replace(folder / "notebook.ipynb")
        (folder / FAILED).unlink(missing_ok=True)
        _say("done")
    return 0


def cells(results: Path) -> str:
    """Return the hash of the records of every finished cell of the grid.

    A kernel of several has no result; what analyses measure and count comes after them.
    """
    found = {
        str(file.relative_to(results)): file
        for phase in PHASES
        for file in results.glob(f"{phase}/**/run.json")
    }
    kept = sorted(name for name in found if "/all/" not in name and "/seed=0/" not in name)
    content = b"".join(name.encode() + found[name].read_bytes() for name in kept)
    return hashlib.sha256(content).hexdigest()


def reason(problem: BaseException) -> str:
    """Say in a line why a notebook failed: the error of its cell, or what became of its kernel."""
    name = getattr(problem, "ename", type(problem).__name__)
    said = str(getattr(problem, "evalue", problem)).strip().splitlines() or [""]
    return f"{name}: {said[0]}"


def why(log: Path) -> str:
    """Return the reason that the last try left in a log; an empty string where it left none."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    tries = [line for line in lines if " starts on " in line or " failed: " in line]
    return tries[-1].partition(" failed: ")[2] if tries else ""


def _say(*words: str) -> None:
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), *words, flush=True)


def _job() -> str:
    number = os.environ.get("SLURM_JOB_ID", "")
    return f"as SLURM job {number}" if number else f"as process {os.getpid()}"


def _pass_on(number: int, frame: Any) -> None:
    """Tell the kernel, the one child of this process, to end; end where there is none."""
    _say(f"told to end by {signal.Signals(number).name}")
    kernels = psutil.Process().children()
    for kernel in kernels:
        kernel.terminate()
    if not kernels:
        os._exit(128 + number)


def main() -> int:
    """Read the command line: notebook, results of the profile, key of the cell, parameters."""
    notebook, results, key, *given = sys.argv[1:]
    parameters: dict[str, Any] = dict(pair.split("=", 1) for pair in given)
    for name in parameters.keys() & set(NUMBERS):
        parameters[name] = int(parameters[name])
    return execute(paths.NOTEBOOKS / f"{notebook}.ipynb", Path(results), key, parameters)


if __name__ == "__main__":
    sys.exit(main())
