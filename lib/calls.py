"""Keep calls of the workflow apart, and a journal of them."""

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import psutil

from lib import making, paths
from lib.errors import InputError
from lib.results import Cell

JOURNAL = "workflow.jsonl"
ENDS = 20.0  # seconds in which what a dead call started has ended


def hold(folder: Path) -> tuple[TextIO, str]:
    """Lock the results of a profile for this process; return the lock, and the host that signed it.

    The lock ends with the processes that hold it. Raises InputError where another call lives. Of
    one that was killed, what it started may take a moment to end.
    """
    with making.storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+", encoding="utf-8")
        until = time.monotonic() + ENDS
        while not making.locked(lock):
            host, number = _holder(lock)
            if time.monotonic() > until or host != socket.gethostname() or _lives(number):
                lock.close()
                # It signs a little after it has locked: till then an earlier call's name is there.
                known = host and (host != socket.gethostname() or _lives(number))
                raise InputError(f"{folder}: another run is at work on this profile"
                                 + f" (process {number} on {host})" * bool(known))  # fmt: skip
            time.sleep(0.2)
        return lock, _holder(lock)[0]


def sign(lock: TextIO) -> None:
    """Write into a lock that this process holds it."""
    with making.storage(Path(lock.name)):
        lock.truncate(0)
        lock.write(f"{socket.gethostname()} {os.getpid()}")
        lock.flush()


def _holder(lock: TextIO) -> tuple[str, str]:
    lock.seek(0)
    host, _, number = lock.read().strip().partition(" ")
    return host, number


def _lives(number: str) -> bool:
    try:
        return psutil.Process(int(number)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, ValueError):  # no number: not signed yet
        return True


def add(profile: str, seconds: float, at_once: int, executor: str, made: list[Cell]) -> None:
    """Add a line on a call to the profile's journal, unless it made no cell."""
    line = {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 2),
        "kernels_at_once": at_once,
        "executor": executor,
        "cells": [cell.key for cell in made],
    }
    file = paths.results(profile) / JOURNAL
    if made:
        # A line that was cut off stays one of its own.
        before = file.read_text(encoding="utf-8") if file.is_file() else ""
        apart = "\n" * (before != "" and not before.endswith("\n"))
        with making.storage(file), file.open("a", encoding="utf-8") as journal:
            journal.write(apart + json.dumps(line) + "\n")


def read(profile: str) -> list[dict[str, Any]]:
    """Return what the journal says of each call; a line says which of its lines was cut off."""
    file, found = paths.results(profile) / JOURNAL, []
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except ValueError:
            print(f"{file}: line {number} is cut off, and left out", file=sys.stderr)
    return found
