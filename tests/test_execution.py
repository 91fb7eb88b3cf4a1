"""A notebook as a job of the workflow: its log, its failure, and a signal that it must hear."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from lib import execution

RUN = """
import sys
from pathlib import Path
from typing import Any
from lib.execution import execute
sys.exit(execute(Path(sys.argv[1]), Path(sys.argv[2]), "cell/seed=1", {"seed": 1}))
"""
SLOW_CHECKPOINT = """
import pathlib, signal, time
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
pathlib.Path("{folder}/ready").touch()
while not told:
    time.sleep(0.05)
time.sleep(8)
pathlib.Path("{folder}/checkpoint").touch()
raise KeyboardInterrupt("told to end")
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Return a starter of a job whose notebook has one cell besides its parameters."""

    def job(source: str) -> subprocess.Popen[str]:
        notebook = nbformat.v4.new_notebook()
        parameters = nbformat.v4.new_code_cell("seed = 0", metadata={"tags": ["parameters"]})
        notebook.cells = [parameters, nbformat.v4.new_code_cell(source)]
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "",
            "language": "python",
        }
        nbformat.write(notebook, tmp_path / "asked.ipynb")
        return subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path / "asked.ipynb"), str(tmp_path)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    return job


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run; one that nobody has waited for yet does not."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def test_log_and_executed_notebook_lie_in_the_folder_of_the_cell(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    assert start("print('seed is', seed)").wait() == 0
    log = (tmp_path / "cell/seed=1/log.txt").read_text(encoding="utf-8")
    assert "seed is 1" in log and log.strip().endswith("done")
    made = nbformat.read(tmp_path / "cell/seed=1/notebook.ipynb", as_version=4)
    assert made.cells[-1].outputs[0].text == "seed is 1\n"


def test_a_failed_notebook_is_kept_with_its_reason_until_a_try_succeeds(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "cell/seed=1"
    fails = "import pathlib\nif not pathlib.Path('{0}').exists():\n    raise ValueError('no such')"
    fails = fails.format(tmp_path / "mended")
    assert start(fails).wait() == 1
    assert execution.why(folder / "log.txt") == "ValueError: no such"
    assert (folder / "failed.ipynb").is_file() and not (folder / "notebook.ipynb").exists()
    (tmp_path / "mended").touch()
    assert start(fails).wait() == 0
    assert execution.why(folder / "log.txt") == ""
    assert not (folder / "failed.ipynb").exists() and (folder / "notebook.ipynb").is_file()
    assert (folder / "log.txt").read_text(encoding="utf-8").count(" starts on ") == 2


@pytest.mark.parametrize("everyone", [False, True], ids=["the job alone", "all its processes"])
def test_sigterm_reaches_the_kernel_which_takes_its_time_for_a_checkpoint(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, everyone: bool, record: Any
) -> None:
    job = start(SLOW_CHECKPOINT.format(folder=tmp_path))
    until = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < until and job.poll() is None
        time.sleep(0.1)
    kernels = psutil.Process(job.pid).children(recursive=True)
    for process in [*kernels, psutil.Process(job.pid)] if everyone else [psutil.Process(job.pid)]:
        process.terminate()
    assert job.wait(timeout=60) == 1
    assert (tmp_path / "checkpoint").exists()
    assert execution.why(tmp_path / "cell/seed=1/log.txt") == "KeyboardInterrupt: told to end"
    assert not alive(kernels)
    record("SIGTERM to a job of a cluster")


def test_a_killed_kernel_is_a_failure_that_says_so(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    assert start("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)").wait() == 1
    assert "DeadKernelError" in execution.why(tmp_path / "cell/seed=1/log.txt")


def test_a_stopped_workflow_stops_its_jobs_and_the_next_call_goes_on(
    tmp_path: Path, record: Any
) -> None:
    roots = {name: str(tmp_path / name) for name in ("RESULTS_ROOT", "FIGURES_ROOT", "WORLDS_ROOT")}
    command = [sys.executable, "-m", "lib.workflow", "tiny", "--until", "intermediate"]

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, env=os.environ | roots, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip

    # What `kill` sends to the call alone, and what a terminal sends to all of its processes.
    for tell in (
        lambda pid: os.kill(pid, signal.SIGTERM),
        lambda pid: os.killpg(pid, signal.SIGINT),
    ):
        call = begin()
        assert call.stdout is not None
        for line in call.stdout:
            if "2 intermediate" in line:
                break
        time.sleep(4)
        tell(call.pid)
        said, _ = call.communicate(timeout=60)
        assert call.returncode != 0 and "the next call goes on" in said and "Traceback" not in said
        with pytest.raises(ProcessLookupError):
            os.killpg(call.pid, 0)  # none of its processes is left
    results = tmp_path / "RESULTS_ROOT/tiny"
    last = begin()
    said, _ = last.communicate()
    assert last.returncode == 0, said
    assert "1 pretrain" not in said  # the first call had finished it
    assert (results / "intermediate/all/seed=1/run.json").is_file()
    record("SIGTERM or SIGINT to a call of the workflow", 2)
