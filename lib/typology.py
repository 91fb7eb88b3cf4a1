"""Look up what is known of each language: names, family, script, distance from the source."""

from functools import lru_cache
from pathlib import Path

import pandas as pd

from lib import paths
from lib.errors import InputError

NEEDED = ["name", "iso3", "family", "script", "distance"]


def languages(data_root: Path | None) -> pd.DataFrame:
    """Return the languages of a data folder, one row per language code.

    A folder with its own `languages.csv` (the artificial world) describes its own languages; else
    the committed table of the 40 XTREME languages is read. Columns: at least name, iso3, family,
    script and `distance`. For XTREME, `distance` is the cosine distance from English of the
    k-nearest-neighbour-completed syntax vectors of URIEL (Littell et al. 2017, lang2vec 1.1.2).
    For the world it is the share of grammatical parameters that differ from the source.

    Raises:
        InputError: a needed column is missing or a language is listed twice.
    """
    file = paths.LANGUAGES
    if data_root is not None and (data_root / "languages.csv").is_file():
        file = data_root / "languages.csv"
    return _read(file, file.stat().st_mtime_ns).copy()


@lru_cache(maxsize=8)
def _read(file: Path, changed: int) -> pd.DataFrame:
    """Read and check a table once for every state of its file."""
    # A code or name such as "na" or "None" is text, not a missing value.
    table = pd.read_csv(file, keep_default_na=False, na_values={"distance": [""]})
    missing = [column for column in ["code", *NEEDED] if column not in table]
    if missing:
        raise InputError(f"{file}: column {missing[0]!r} is missing, expected {['code', *NEEDED]}")
    repeated = table["code"][table["code"].duplicated()]
    if len(repeated):
        raise InputError(f"{file}: language {repeated.iloc[0]!r} is listed twice, expected once")
    return table.set_index("code")
