"""One call of the workflow at a time on a profile; of those that were, a journal."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lib import calls, workflow
from lib.errors import InputError
from lib.profile import Profile
from lib.results import Cell

# Holds the results, as a call would, and leaves a process that holds them for so many seconds more.
DEAD = """
import subprocess, sys, os
from pathlib import Path
from lib import calls
lock, _ = calls.hold(Path(sys.argv[1]))
calls.sign(lock)
sleeping = [sys.executable, "-c", "import time; time.sleep(2)"]
subprocess.Popen(sleeping, pass_fds=(lock.fileno(),), stdout=subprocess.DEVNULL)
print("held", flush=True)
os._exit(1)
"""


def test_results_are_held_by_one_process_that_a_refusal_names(tmp_path: Path) -> None:
    lock, before = calls.hold(tmp_path / "micro")
    assert before == ""
    calls.sign(lock)
    with lock, pytest.raises(InputError, match=rf"at work .*\(process {os.getpid()} on "):
        calls.hold(tmp_path / "micro")
    again, before = calls.hold(tmp_path / "micro")
    again.close()
    assert before == socket.gethostname()


def test_what_a_dead_call_left_at_work_is_waited_for(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DEAD, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == 1
    lock, before = calls.hold(tmp_path)
    lock.close()
    assert before == socket.gethostname()


def test_a_call_on_another_machine_is_never_waited_for(tmp_path: Path) -> None:
    lock, _ = calls.hold(tmp_path)
    lock.seek(0)
    lock.truncate(0)
    lock.write("elsewhere 1")
    lock.flush()
    with lock, pytest.raises(InputError, match=r"\(process 1 on elsewhere\)"):
        calls.hold(tmp_path)


def test_a_line_that_was_cut_off_is_left_out_of_the_journal_and_said(
    micro: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    assert calls.read(micro.name) == []
    (tmp_path / micro.name).mkdir()
    calls.add(micro.name, 5.25, 2, "local", [])
    calls.add(micro.name, 5.25, 2, "local", [Cell(micro.name, "pretrain", 1)])
    file = tmp_path / micro.name / calls.JOURNAL
    with file.open("a", encoding="utf-8") as journal:
        journal.write('{"finished": "20')
    calls.add(micro.name, 7.5, 1, "local", [Cell(micro.name, "pretrain", 2)])
    line, other = calls.read(micro.name)
    assert other["cells"] == ["pretrain/seed=2"]
    assert (line["seconds"], line["kernels_at_once"], line["cells"]) == (
        5.25,
        2,
        ["pretrain/seed=1"],
    )
    assert f"{file}: line 2 is cut off" in capsys.readouterr().err


def test_a_journal_that_the_disk_refuses_is_one_line(
    micro: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError, match=r"workflow\.jsonl: no space left on the disk"):
        calls.add(micro.name, 1.0, 1, "local", [Cell(micro.name, "pretrain", 1)])


def test_what_snakemake_cannot_do_is_said_and_that_a_job_failed_is_not_said_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    says = ["WorkflowError:", "The given account xyz appears to be invalid.",
            "WorkflowError:", "At least one job did not complete successfully."]  # fmt: skip
    command = [sys.executable, "-c", f"print({chr(10).join(says)!r})"]
    with (tmp_path / "lock").open("w") as lock:
        assert workflow._follow(command, dict(os.environ), lock.fileno(), []) == 0
    assert capfd.readouterr().out == "Snakemake: The given account xyz appears to be invalid.\n"
