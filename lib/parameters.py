"""Check what a notebook is asked to do, in its third cell, before anything is loaded.

papermill only warns of a misspelt parameter; here it is an error.
"""

import ast
from typing import Any

from lib import profile
from lib.errors import InputError
from lib.profile import Profile


def check(names: dict[str, Any], **expected: type) -> Profile:
    """Check a notebook's parameters (`globals()`) against names and types; return the profile.

    Looks at the cell that papermill injects, so that an unknown name is found. Raises InputError,
    naming the parameter, for an unknown name, a wrong type or a missing one.
    """
    for name in _injected(names.get("In", [])):
        if name not in expected:
            raise InputError(f"unknown parameter {name!r}: expected {', '.join(expected)}")
    for name, kind in expected.items():
        if name not in names:
            raise InputError(f"parameter {name!r} is missing: expected a {kind.__name__}")
        if type(names[name]) is not kind:
            raise InputError(f"parameter {name!r} is {names[name]!r}: expected a {kind.__name__}")
    return profile.load(names["profile"])


def _injected(cells: list[str]) -> list[str]:
    """Return the names that papermill's own cell assigns."""
    found = []
    for source in cells:
        if source.startswith("# Parameters\n"):
            for statement in ast.parse(source).body:
                if isinstance(statement, ast.Assign):
                    found += [t.id for t in statement.targets if isinstance(t, ast.Name)]
    return found
