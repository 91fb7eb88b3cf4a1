"""Know where everything lies; no other module names a folder."""

import os
from pathlib import Path

from lib.errors import InputError

REPOSITORY = Path(__file__).resolve().parent.parent
NOTEBOOKS = REPOSITORY / "notebooks"
PROFILES = NOTEBOOKS / "profiles"
LANGUAGES = REPOSITORY / "data" / "languages.csv"
SIZES = REPOSITORY / "data" / "sizes.csv"
LENGTHS = REPOSITORY / "data" / "lengths.csv"
PUBLISHED = REPOSITORY / "data" / "published"


def _root(variable: str, default: Path) -> Path:
    """Read a folder from the environment; a relative one is relative to the repository.

    Raises InputError where it is a file, or lies in one, and for a user who is not there.
    """
    try:
        folder = (REPOSITORY / Path(os.environ.get(variable) or default).expanduser()).resolve()
    except RuntimeError:
        raise InputError(f"{variable}: {os.environ[variable]}: no such user") from None
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not there.is_dir():
        raise InputError(f"{variable}: {there} is a file, expected a folder")
    return folder


def results(profile: str) -> Path:
    """Return the result store of a profile (`RESULTS_ROOT`, else `results/`)."""
    return _root("RESULTS_ROOT", REPOSITORY / "results") / profile


def features() -> Path:
    """Return the folder where features are kept between runs, of all profiles."""
    return _root("RESULTS_ROOT", REPOSITORY / "results") / ".features"


def figures(profile: str) -> Path:
    """Return the figures folder of a profile (`FIGURES_ROOT`, else `figures/`)."""
    return _root("FIGURES_ROOT", REPOSITORY / "figures") / profile


def worlds() -> Path:
    """Return the folder that holds the artificial worlds (`WORLDS_ROOT`, else `data/world/`)."""
    return _root("WORLDS_ROOT", REPOSITORY / "data" / "world")


def mirror() -> Path | None:
    """Return the folder that stands in for the hub (`DATA_ROOT`), or None to read from the hub."""
    return _root("DATA_ROOT", REPOSITORY) if os.environ.get("DATA_ROOT") else None


def ccgbank() -> Path | None:
    """Return the folder of CCGbank (`CCGBANK_ROOT`), or None where the user has named none."""
    return _root("CCGBANK_ROOT", REPOSITORY) if os.environ.get("CCGBANK_ROOT") else None


def profile_file(name: str) -> Path:
    """Return the file of a profile, given by its bare name or by the path of a YAML file."""
    return Path(name) if name.endswith(".yaml") else PROFILES / f"{name}.yaml"
