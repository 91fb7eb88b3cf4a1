"""Hold the error that bad input raises, and the one that ends a training which is to go on."""


class InputError(ValueError):
    """Say in one line what was wrong, what was expected, and which file or parameter holds it."""

    def _render_traceback_(self) -> list[str]:
        """Show one line in a notebook: where in our code it arose is of no use there."""
        return [f"InputError: {self}"]


class Stopped(RuntimeError):
    """Say in one line that a training was asked to end, and where the next call goes on."""

    def _render_traceback_(self) -> list[str]:
        """Show one line in a notebook."""
        return [f"Stopped: {self}"]
