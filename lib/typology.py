"""Look up what is known of each language: names, family, script, distance from the source."""

from functools import lru_cache
from pathlib import Path

import pandas as pd

from lib import paths
from lib.errors import InputError

NEEDED = ["name", "iso3", "family", "script", "distance"]
# Measures of distance from English, the main one first; a world has that alone, and knows it.
DISTANCES = {
    "distance": "syntactic distance (URIEL, cosine)",
    "distance_urielplus": "syntactic distance (URIEL+)",
    "featural_distance": "featural distance (URIEL+)",
    "genetic_distance": "genetic distance (URIEL+)",
    "geographic_distance": "geographic distance (URIEL+)",
}


def languages(data_root: Path | None) -> pd.DataFrame:
    """Return the languages of a data folder, one row per language code.

    A folder with its own `languages.csv` (the artificial world) describes its own languages; else
    the committed table of the 40 XTREME languages is read. Columns: at least name, iso3, family,
    script and `distance`. For XTREME, `distance` is the cosine distance from English of the
    k-nearest-neighbour-completed syntax vectors of URIEL (Littell et al. 2017, lang2vec 1.1.2).
    For the world it is the share of grammatical parameters that differ from the source. Of XTREME's
    languages there are also the other `DISTANCES` (URIEL+: urielplus 1.3.2), `attested_share` and
    `cc100_gib`, NaN where CC-100 has no text; `data/README.md` says what each is.

    Raises:
        InputError: the table is missing or no CSV, a needed column is missing, a distance is no
            number, or a language is listed twice.
    """
    file = paths.LANGUAGES
    if data_root is not None and (data_root / "languages.csv").is_file():
        file = data_root / "languages.csv"
    if not file.is_file():
        raise InputError(f"{file}: no such file; expected the table of languages")
    return _read(file, file.stat().st_mtime_ns).copy()


def distances(table: pd.DataFrame, world: bool) -> dict[str, str]:
    """Return the measures of distance that a table of languages has, each with its name."""
    if world:
        return {"distance": "distance (share of grammatical parameters that differ)"}
    return {column: name for column, name in DISTANCES.items() if column in table}


def parameters(table: pd.DataFrame) -> pd.DataFrame:
    """Say of each language of a world which grammatical parameters differ from the source's.

    Shape (languages, parameters), 0 or 1; the source is the table's first language. Raises
    InputError where the table has no parameters, as that of real languages.
    """
    from lib.world.language import PARAMETERS

    if not set(PARAMETERS) <= set(table):
        raise InputError("these languages have no grammatical parameters: only a world's have")
    grammar = table[list(PARAMETERS)]
    return (grammar != grammar.iloc[0]).astype(int)


def parameter_names(design: pd.DataFrame) -> dict[str, str]:
    """Return how to write the grammatical parameters of a design."""
    names = {name: name.replace("_", " ") for name in map(str, design)}
    return {key: name.replace("subject object", "subject, object,") for key, name in names.items()}


@lru_cache(maxsize=8)
def _read(file: Path, changed: int) -> pd.DataFrame:
    """Read and check a table once for every state of its file."""
    # A code or name such as "na" or "None" is text, not a missing value.
    numbers = {column: [""] for column in (*DISTANCES, "cc100_gib")}
    try:
        table = pd.read_csv(file, keep_default_na=False, na_values=numbers)
    except ValueError as error:  # of pandas' parser, or of the encoding
        raise InputError(f"{file}: not a table of languages: {error}") from None
    missing = [column for column in ["code", *NEEDED] if column not in table]
    if missing:
        raise InputError(f"{file}: column {missing[0]!r} is missing, expected {['code', *NEEDED]}")
    repeated = table["code"][table["code"].duplicated()]
    if len(repeated):
        raise InputError(f"{file}: language {repeated.iloc[0]!r} is listed twice, expected once")
    if table["distance"].dtype.kind not in "fi" or not (table["distance"] >= 0).all():
        raise InputError(f"{file}: column 'distance': expected numbers, from 0")
    return table.set_index("code")
