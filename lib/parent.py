"""End with the process that started this one, and tell what this one started.

However the parent ended: nothing works on unseen.

`python -m lib.parent 4321 snakemake …` runs a module that ends with process 4321.
"""

import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable

import psutil

LOOKS = 0.5  # seconds between two looks


def end_with(parent: int, end: Callable[[], None]) -> None:
    """Call `end` in a thread when this process has another parent: that one has died."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOKS)
        end()

    threading.Thread(target=look, daemon=True).start()


def tell_children() -> None:
    """Pass SIGTERM on to the children of this process, whatever else it does when it is told.

    Where a site keeps jobs in control groups, SLURM tells the first process of a step alone: there
    Snakemake, which would wait for its child until both are killed.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def pass_on() -> None:
        while numbers := os.read(reading, 1):
            if numbers[0] == signal.SIGTERM:
                for child in psutil.Process().children():
                    child.terminate()

    threading.Thread(target=pass_on, daemon=True).start()


def main() -> None:
    """Read the command line: the process to end with, a module to run, and what it is told."""
    parent, module, *told = sys.argv[1:]
    end_with(int(parent), lambda: os.kill(os.getpid(), signal.SIGKILL))
    # What a script starts by `&` is deaf to SIGINT, and so is all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [module, *told]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
