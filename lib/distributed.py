"""Train one encoder in several processes, one on each GPU: torchrun starts, accelerate joins them.

Every process reads its rows of each batch; the gradient is that of the whole batch.
"""

import os
import re
import signal
import subprocess
import sys
from typing import Any

from torch.utils.data import Dataset

from lib import errors, paths
from lib.batches import MaskedBlocks
from lib.errors import InputError
from lib.heads import number_of_items

# What a process says last when it fails, as Python prints it.
SAID = re.compile(r"(?:\[rank\d+\]: )?lib\.errors\.(InputError|Stopped): (.*)")


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

    Raises what the processes ended with: InputError or Stopped in a line, else RuntimeError.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(number), "--module", module, *arguments]
    path = os.pathsep.join([str(paths.REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    said: tuple[str, str] | None = None
    with subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": path}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as running, _forwarded(running):  # fmt: skip
        for line in running.stdout or ():
            if found := SAID.match(line):
                said = (found[1], found[2].strip())
            elif not said:
                print(line, end="", flush=True)
    if running.returncode:
        kind = getattr(errors, said[0]) if said else RuntimeError
        raise kind(said[1] if said else f"{module} ended with status {running.returncode}")


class _forwarded:
    """Pass SIGTERM on to a process while it runs."""

    def __init__(self, running: subprocess.Popen) -> None:
        self.running = running

    def __enter__(self) -> None:
        self.before = signal.signal(signal.SIGTERM, lambda *_: self.running.terminate())

    def __exit__(self, *raised: object) -> None:
        signal.signal(signal.SIGTERM, self.before)
