"""Hold the one error that bad input raises."""


class InputError(ValueError):
    """Say in one line what was wrong, what was expected, and which file or parameter holds it."""

    def _render_traceback_(self) -> list[str]:
        """Show one line in a notebook: where in our code it arose is of no use there."""
        return [f"InputError: {self}"]
