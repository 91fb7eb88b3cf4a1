"""Read BUCC's two sides and gold pairs as the shared task hands them out: three text files.

`<pair>.<split>.<language>` holds one `id<TAB>sentence` a line, `<pair>.<split>.gold` one
`id<TAB>id` (Zweigenbaum et al. 2018). XTREME takes `sample` for development, under the name of
`dev`, and `training` for its test, because the true test has no public gold pairs.
"""

from pathlib import Path

from lib.errors import InputError

NAMES = {"validation": ("dev", "sample"), "test": ("test", "training")}


def files(folder: Path, pair: str, split: str) -> list[Path]:
    """Return the files of first side, second side and gold pairs; none where one is missing."""
    for name in NAMES.get(split, ()):
        found = [folder / f"{pair}.{name}.{part}" for part in (*pair.split("-"), "gold")]
        if all(file.is_file() for file in found):
            return found
    return []


def read(first: Path, second: Path, gold: Path) -> dict[str, list[object]]:
    """Return the one row that `mteb/BUCC` has for a language pair.

    Columns: `sentence1`, `sentence2`, lists of sentences; `gold`, pairs of places, 1-based.
    Raises InputError, naming file and line, for a line that is not id and text, an id that comes
    twice, and a gold pair of unknown ids.
    """
    places: list[dict[str, int]] = []
    sides: list[list[str]] = []
    for file in (first, second):
        lines = _lines(file)
        place = {identifier: number for number, (identifier, _) in enumerate(lines, start=1)}
        if len(place) < len(lines):
            raise InputError(f"{file}: {len(lines) - len(place)} ids come twice, expected once")
        places.append(place)
        sides.append([sentence for _, sentence in lines])
    pairs = []
    for number, ids in enumerate(_lines(gold), start=1):
        if any(identifier not in place for identifier, place in zip(ids, places, strict=True)):
            raise InputError(f"{gold}:{number}: {ids}: expected ids of {first.name}, {second.name}")
        pairs.append([place[identifier] for identifier, place in zip(ids, places, strict=True)])
    return {"sentence1": [sides[0]], "sentence2": [sides[1]], "gold": [pairs]}


def _lines(file: Path) -> list[tuple[str, str]]:
    """Split each line at its first tab."""
    found = []
    # Only a line feed ends a line: sentences hold other separators that `splitlines` would cut at.
    try:
        text = file.read_bytes().decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start} is not UTF-8") from None
    for number, line in enumerate(text.split("\n"), start=1):
        identifier, tab, sentence = line.partition("\t")
        if not identifier.strip() or not tab or not sentence.strip():
            raise InputError(f"{file}:{number}: {line[:60]!r}: expected an id, a tab and text")
        found.append((identifier, sentence.strip()))
    return found
