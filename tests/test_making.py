"""A cell is made once, whoever asks for it."""

import fcntl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib import making
from lib.results import Cell, Run


def test_a_call_waits_for_the_one_that_makes_its_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    cell = Cell("tiny", "pretrain", 1)
    cell.work.mkdir(parents=True)
    made = Run(cell, {})
    with ThreadPoolExecutor() as pool:
        with (cell.work / ".lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            asked = pool.submit(making.once, cell, {}, lambda: made)
            with pytest.raises(TimeoutError):
                asked.result(timeout=0.5)
            assert f"{cell.key}: another process is making it; waiting" in capsys.readouterr().out
        assert asked.result(timeout=10) is made
