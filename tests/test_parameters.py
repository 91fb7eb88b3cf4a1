"""A notebook's third cell finds every bad parameter before anything is loaded."""

from typing import Any

import pytest

from lib import parameters
from lib.errors import InputError

GOOD = {"profile": "tiny", "target": "udpos", "seed": 1}
EXPECTED = {"profile": str, "target": str, "seed": int}


def names(injected: str = "", **changes: Any) -> dict[str, Any]:
    """Return what `globals()` is in a notebook whose cells ran."""
    cells = ["", "import lib", "profile = 'tiny'\ntarget = 'udpos'\nseed = 1"]
    if injected:
        cells.append(f"# Parameters\n{injected}\n")
    return {"In": cells, "__name__": "__main__", **GOOD, **changes}


def refused(given: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        parameters.check(given, **EXPECTED)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_good_parameters_give_the_profile() -> None:
    assert parameters.check(names(), **EXPECTED).name == "tiny"
    assert parameters.check(names("target = 'panx'"), **EXPECTED).name == "tiny"
    # Without a kernel, as in a script, there is no cell to look at.
    assert parameters.check(dict(GOOD), **EXPECTED).name == "tiny"


def test_a_misspelt_name_in_the_injected_cell_is_named_with_the_right_ones() -> None:
    message = refused(names("seed = 2\ntaget = 'udpos'", taget="udpos"))
    assert "'taget'" in message and "target" in message


def test_names_in_other_cells_are_the_notebooks_own() -> None:
    given = names()
    given["In"].append("anything = 3")
    assert parameters.check(given, **EXPECTED).name == "tiny"


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [("seed", "1", "int"), ("seed", 1.0, "int"), ("seed", True, "int"), ("target", None, "str"),
     ("target", ["udpos"], "str"), ("profile", 3, "str")],
)  # fmt: skip
def test_a_wrong_type_is_named_with_the_right_one(name: str, value: Any, kind: str) -> None:
    message = refused(names(**{name: value}))
    assert repr(name) in message and repr(value) in message and kind in message


@pytest.mark.parametrize("name", list(EXPECTED))
def test_a_missing_parameter_is_named(name: str) -> None:
    given = names()
    del given[name]
    message = refused(given)
    assert repr(name) in message and "missing" in message


def test_an_unknown_profile_is_named_with_those_there_are() -> None:
    message = refused(names(profile="tinny"))
    assert "'tinny'" in message and "tiny" in message.replace("tinny", "")
