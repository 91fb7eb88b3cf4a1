"""Checkpoint a training now and then, and when it is asked to end; find what it can go on from.

A cluster that takes a machine back sends SIGTERM and waits some seconds: a training then leaves a
checkpoint and raises `Stopped`. In several processes all of them act at the same update.
"""

import json
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from safetensors import SafetensorError, safe_open
from transformers import TrainerCallback

from lib.errors import Stopped

STATE = "trainer_state.json"  # Trainer writes it last
LOG = "log.json"  # of losses: ours
GO_ON, SAVE, END = range(3)


class Checkpoints(TrainerCallback):
    """Save every so many minutes (0: never), and save and end on SIGTERM."""

    def __init__(self, minutes: float) -> None:
        self.seconds, self.asked, self.last = 60 * minutes, False, time.monotonic()
        self.before: Any = None

    def __enter__(self) -> "Checkpoints":
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *raised: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        due = self.seconds and time.monotonic() - self.last > self.seconds
        action = END if self.asked else SAVE if due else GO_ON
        if args.world_size > 1:
            votes = torch.tensor(action, device=args.device)
            torch.distributed.all_reduce(votes, torch.distributed.ReduceOp.MAX)
            action = int(votes)
        if action == GO_ON:
            return
        self.last, control.should_save = time.monotonic(), True
        if action == END and state.global_step < state.max_steps:
            self.asked = control.should_training_stop = True

    def raise_if_stopped(self, what: str, update: int, updates: int) -> None:
        """Raise Stopped where SIGTERM ended the training before its last update."""
        if self.asked and update < updates:
            raise Stopped(f"{what}: ended by SIGTERM at update {update} of {updates}; it left a "
                          "checkpoint there, and the next call goes on from it")  # fmt: skip


def last(folder: Path, what: str) -> Path | None:
    """Return the newest checkpoint that is whole, or None; say on standard error which it is.

    One that was cut off by a kill, or damaged, is deleted.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for place in reversed(found):
        if _is_whole(place):
            print(f"{what}: goes on from {place.name}", file=sys.stderr)
            return place
        shutil.rmtree(place, ignore_errors=True)  # another process may be at it too
        print(f"{what}: {place.name} is not whole, so it is deleted", file=sys.stderr)
    return None


def _is_whole(place: Path) -> bool:
    try:
        for name in (STATE, LOG):
            json.loads((place / name).read_text(encoding="utf-8"))
        with safe_open(place / "model.safetensors", "pt") as weights:
            weights.keys()
        states = [place / "optimizer.pt", place / "scheduler.pt", *place.glob("rng_state*.pth")]
        for file in states:
            ZipFile(file).close()  # its list of contents stands at the end
    except (OSError, SafetensorError, BadZipFile, ValueError):
        return False
    return len(states) > 2
