"""Make a cell alone, and say in a line what the disk refuses."""

import errno
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

from lib.errors import InputError
from lib.results import Cell, Run, read

REFUSALS = {
    errno.ENOSPC: "no space left on the disk: free some",
    errno.EDQUOT: "the quota of the disk is used up: free some",
    errno.EROFS: "the disk is read-only: name another folder",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EIO: "the disk fails",
}
# What libraries that write by themselves say instead of raising an OSError with a number.
SAID = {"os error 28": errno.ENOSPC, "No space left": errno.ENOSPC, "os error 30": errno.EROFS,
        "os error 13": errno.EACCES, "inline_container": errno.ENOSPC}  # fmt: skip


def once(cell: Cell, parameters: dict[str, Any], make: Callable[[], Run]) -> Run:
    """Return a finished cell, or make it; of several processes one makes it and the others wait.

    The lock ends with the process that holds it, however that ends. Raises InputError where the
    disk refuses what is written; what stands is left as it is, and the next call goes on.
    """
    done = read(cell, parameters)
    if done:
        return done
    with storage(cell.work):
        cell.work.mkdir(parents=True, exist_ok=True)
        with (cell.work / ".lock").open("w") as lock:
            if not locked(lock):
                print(f"{cell.key}: another process is making it; waiting", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            return read(cell, parameters) or make()


def locked(file: IO[str]) -> bool:
    """Lock a file for this process and those it starts; return whether no other one has it locked.

    On a disk without locks a line says so, and it counts as locked.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        print(f"{file.name}: this disk has no locks: run no two calls at once", flush=True)
    return True


@contextmanager
def storage(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into one line that names the file, or the folder."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        number = getattr(error, "errno", None)
        if number not in REFUSALS:
            number = next((n for words, n in SAID.items() if words in str(error)), None)
        if number is None:
            raise
        place = getattr(error, "filename", None) or folder
        raise InputError(f"{place}: {REFUSALS[number]}; the next call goes on") from None
