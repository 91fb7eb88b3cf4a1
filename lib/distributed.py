"""Train one encoder in several processes, one on each GPU; accelerate joins them inside Trainer.

Every process reads its rows of each batch; the gradient is that of the whole batch. They are
started here and not by torchrun, which ends them 30 seconds after SIGTERM: too soon for a large
checkpoint.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import Dataset

from lib import errors, paths
from lib.batches import MaskedBlocks
from lib.errors import InputError, Stopped
from lib.heads import number_of_items

# What a process says last when it fails, as Python prints it.
SAID = re.compile(r"(?:\[rank\d+\]: )?lib\.errors\.(InputError|Stopped): (.*)")

PATIENCE = 20  # seconds that the others have to fail too, before they are killed
TOLD = 75  # exit status of a process that was told to end, and left a checkpoint


def processes() -> int:
    """Return how many processes train together, this one included."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first() -> bool:
    """Say whether this process writes what all of them have made."""
    return int(os.environ.get("RANK", 0)) == 0


class Shared(Dataset):
    """Offer planned batches in turn to so many processes: item i n + r is part r of n of batch i.

    Raises InputError where a batch has not as many rows as can be dealt out evenly.
    """

    def __init__(self, data: MaskedBlocks, number: int) -> None:
        self.data, self.number = data, number
        rows, length = len(data.plan[0]), data.blocks.shape[1]
        if rows % number:
            raise InputError(f"pretraining.batch_tokens: {rows} blocks an update cannot be dealt "
                             f"out evenly to {number} processes")  # fmt: skip
        each = rows // number
        most = max(1, data.at_once // length) if data.at_once else each
        # As many parts for every process, or one would wait for the others for ever.
        self.rows_at_once = max(n for n in range(1, min(most, each) + 1) if each % n == 0)

    def __len__(self) -> int:
        return len(self.data) * self.number

    def __getitem__(self, index: int) -> dict[str, Any]:
        batch, place = divmod(index, self.number)
        parts = self.data.cut(batch, self.rows_at_once * self.data.blocks.shape[1])
        each = len(parts) // self.number
        # Processes' gradients are averaged: each counts by its share of the mean number of items.
        items = sum(map(number_of_items, parts)) / self.number
        return {"parts": parts[place * each : (place + 1) * each], "items": items}


def launch(module: str, arguments: list[str], number: int) -> None:
    """Run a module in so many processes; pass on what they print, and SIGTERM to them.

    Where one fails the others are killed. Raises what it ended with: InputError or Stopped in a
    line, else RuntimeError.
    """
    path = os.pathsep.join([str(paths.REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    together = {"PYTHONPATH": path, "WORLD_SIZE": str(number), "MASTER_ADDR": "127.0.0.1"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        together["MASTER_PORT"] = str(free.getsockname()[1])
    reading, writing = os.pipe()
    running = [
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=os.environ | together | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdin=subprocess.PIPE, stdout=writing, stderr=writing,
        )
        for rank in range(number)
    ]  # fmt: skip
    os.close(writing)
    watches = [threading.Thread(target=_end_all, args=(one, running)) for one in running]
    said: tuple[str, str] | None = None
    with _passing_on(running), os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
        for watch in watches:
            watch.start()
        for line in lines:
            if found := SAID.match(line):
                said = said or (found[1], found[2].strip())
            elif not said:
                print(line, end="", flush=True)
        for watch in watches:
            watch.join()
    status = max(abs(one.returncode) for one in running)
    if status:
        kind = getattr(errors, said[0]) if said else RuntimeError
        raise kind(said[1] if said else f"{module} ended with status {status}")


def _end_all(one: subprocess.Popen, running: list[subprocess.Popen]) -> None:
    """Wait for a process; kill the others where it failed, for they would wait for it for ever."""
    if one.wait() not in (0, TOLD):
        try:
            for each in running:
                each.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            for each in running:
                each.kill()


@contextmanager
def _passing_on(running: list[subprocess.Popen]) -> Iterator[None]:
    """Pass SIGTERM on to processes while they run."""

    def tell(*_: Any) -> None:
        for each in running:
            each.terminate()

    before = signal.signal(signal.SIGTERM, tell)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def work(make: Callable[[], object]) -> None:
    """Do the work of one process of several; end with the one that launched it, however it went.

    Each has a GPU of its own from the start, where there are GPUs.
    """
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())

    def wait() -> None:
        while os.read(0, 1):  # nothing is ever written there
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    try:
        make()
    except Stopped as stopped:
        print(f"lib.errors.Stopped: {stopped}", flush=True)
        sys.exit(TOLD)
