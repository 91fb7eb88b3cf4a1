"""Build `multilingual-text`, the unlabelled text of phase 1, which no hub repository holds.

`python -m lib.multilingual_text --folder data/mirror --languages de fr --characters 3000000`
takes it from a pinned Wikipedia. It holds back no evaluation sentence that Wikipedia has, too.
Reading from the hub is untested (no network where this was written); `--root` is tested.
"""

import argparse
import hashlib
import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lib import corpora, typology
from lib.errors import InputError

NAME = "multilingual-text"
WIKIPEDIA = "wikimedia/wikipedia"
REVISION = "b04c8d1ceb2f5cd4588862100d08de323dccfbaa"
DUMP = "20231101"
FILE = "train-00000-of-00001.parquet"
SHORTEST = 20  # characters of the shortest line kept
LONGEST_HEADING = 60  # characters; a longer line without final punctuation may be Thai prose


def build(
    folder: Path, languages: Iterable[str], characters: int, root: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Verify the languages that stand in `folder/multilingual-text`, build the missing ones.

    A language ends with the line that reaches `characters`, or with its Wikipedia. `root` is a
    mirror to read Wikipedia from instead of the hub. Returns what `checksums.json` then holds:
    per file its sha256, the source's revision (of a mirror a hash of its files), the characters
    `asked` for, lines and characters. The same version of pyarrow writes the same bytes.

    Raises InputError for an unknown language or one without text, and for a file that differs
    from its checksum or was built for another number of characters or from another revision.
    """
    languages, known = list(languages), typology.languages(None).index
    if set(languages) - set(known):
        raise InputError(f"languages: {languages}, expected codes among {', '.join(known)}")
    if characters < 1:
        raise InputError(f"characters: {characters}, expected at least 1")
    files = verify(target := Path(folder) / NAME)
    for language in languages:
        config, name = f"{DUMP}.{language}", f"{language}/{FILE}"
        revision = corpora.fingerprint(root, WIKIPEDIA, config) if root else REVISION
        asked = {"revision": revision, "asked": characters}
        if name not in files:
            lines = list(_lines(_articles(config, root), characters))
            if not lines:
                raise InputError(f"{WIKIPEDIA} {config}: no paragraph in {root or 'the hub'}")
            files[name] = asked | _write(target / name, lines)
            _save(target, files)  # after every language, so that a killed build loses at most one
        for key, value in asked.items():
            if files[name][key] != value:
                raise InputError(f"{target / name}: {key} {files[name][key]}, expected {value}")
    return files


def verify(target: Path) -> dict[str, dict[str, Any]]:
    """Return what `checksums.json` of a built folder holds, nothing where there is none.

    Raises InputError, naming the file, for one that is missing or differs from its checksum, and
    for checksums that cannot be read.
    """
    checksums = target / "checksums.json"
    if not checksums.is_file():
        return {}
    try:
        files: dict[str, dict[str, Any]] = json.loads(checksums.read_text())
        expected = {name: str(entry["sha256"]) for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{checksums}: not a list of files; delete {target} to build it anew"
                         ) from None  # fmt: skip
    for name, sha256 in expected.items():
        if not (target / name).is_file() or _sha256(target / name) != sha256:
            raise InputError(f"{target / name}: missing, or not the file that {checksums} lists")
    return files


def _articles(config: str, root: Path | None) -> Iterator[str]:
    import datasets

    if root is not None and not any((root / WIKIPEDIA / config).glob("train-*.parquet")):
        raise InputError(f"{WIKIPEDIA}: no configuration {config!r} with a split 'train' in {root}")
    path, revision = (str(root / WIKIPEDIA), None) if root else (WIKIPEDIA, REVISION)
    rows = datasets.load_dataset(path, config, split="train", streaming=True, revision=revision)
    return (row["text"] for row in rows)


def _lines(articles: Iterable[str], characters: int) -> Iterator[str]:
    """Yield each paragraph once, in order, on one line; headings and scraps are left out."""
    seen = set()
    for article in articles:
        for paragraph in article.splitlines():
            line = " ".join(paragraph.split())
            # The dump marks no heading (or list item), but no punctuation ends one.
            ended = len(line) > LONGEST_HEADING or unicodedata.category(line[-1:] or "a")[0] == "P"
            if len(line) >= SHORTEST and ended and line not in seen:
                seen.add(line)
                yield line
                characters -= len(line)
            if characters <= 0:
                return


def _write(file: Path, lines: list[str]) -> dict[str, Any]:
    from pyarrow import parquet, table

    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table({"text": lines, "source": ["wikipedia"] * len(lines)}), file)
    characters = sum(map(len, lines))
    return {"sha256": _sha256(file), "lines": len(lines), "characters": characters}


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _save(target: Path, files: dict[str, dict[str, Any]]) -> None:
    """Write the dataset card, which lists the configurations, and the checksums."""
    configs = "".join(
        f"- config_name: {code}\n  data_files:\n  - split: train\n    path: {code}/train-*\n"
        for code in sorted(name.split("/")[0] for name in files)
    )
    card = f"---\nlicense: [cc-by-sa-3.0, gfdl]\nconfigs:\n{configs}---\n"
    (target / "README.md").write_text(card)
    (target / "checksums.json").write_text(json.dumps(files, indent=2, sort_keys=True) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Read the command line; an InputError is one line on standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="mirror to write into")
    parser.add_argument("--languages", nargs="+", required=True, help="codes, such as de fr")
    parser.add_argument("--characters", type=int, required=True, help="of each language")
    parser.add_argument("--root", type=Path, help="mirror to read Wikipedia from (default: hub)")
    wanted = parser.parse_args(arguments)
    try:
        before = verify(wanted.folder / NAME)
        after = build(wanted.folder, wanted.languages, wanted.characters, wanted.root)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    for name, entry in after.items():
        done = "verified" if name in before else "built"
        print(f"{name}: {done}, {entry['lines']} lines, {entry['characters']} characters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
