"""Hold the error that bad input raises, and the one that ends a training which is to go on."""

from typing import Any


class InputError(ValueError):
    """Say in one line what was wrong, what was expected, and which file or parameter holds it."""

    def __init__(self, message: str) -> None:
        # Keys and texts of the user's files are quoted, and may hold line breaks.
        super().__init__(" ".join(message.splitlines()))

    def _render_traceback_(self) -> list[str]:
        """Show one line in a notebook: where in our code it arose is of no use there."""
        return [f"InputError: {self}"]


def quote(value: Any) -> str:
    """Write a value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


class Stopped(RuntimeError):
    """Say in one line that a training was asked to end, and where the next call goes on."""

    def _render_traceback_(self) -> list[str]:
        """Show one line in a notebook."""
        return [f"Stopped: {self}"]
