"""Read CCGbank's AUTO files: words and their lexical categories, the supertags.

CCGbank (LDC2005T13; Hockenmaier & Steedman 2007) is licensed by the LDC and on no hub: it is read
from the folder that `CCGBANK_ROOT` names, or from `ccgbank/` in a mirror or world, and never
copied. An AUTO file has two lines a sentence, `ID=…` and a derivation, whose leaves are
`(<L category POS POS word category>)`.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib import paths
from lib.errors import InputError

SECTIONS = {"train": range(2, 22), "validation": range(1)}
_LEAF = re.compile(r"\(<L (\S+) \S+ \S+ (\S+) \S+>\)")
_NODE = re.compile(r"\(<T \S+ \d+ \d+>")


def missing() -> str:
    """Say in a line what to do where no folder is named; empty where one is.

    Raises InputError where one is named that is not there.
    """
    if (folder := paths.ccgbank()) is not None:
        if not folder.is_dir():
            raise InputError(f"CCGBANK_ROOT: no such folder: {folder}")
        return ""
    return "CCGbank is not here: set CCGBANK_ROOT to the folder of LDC2005T13 that holds AUTO/"


def table(split: str, folder: Path | None) -> Any:
    """Return a split as a `datasets.Dataset` with columns `tokens` and `supertags`.

    Sections 02-21 are `train`, 00 is `validation`; what is missing of them shows in the size.
    Raises InputError where no folder is named, a split has no file, or a line is no derivation.
    """
    from datasets import Dataset

    found = [sentence for file in _files(split, folder) for sentence in _read(file)]
    return Dataset.from_dict(
        {"tokens": [words for words, _ in found], "supertags": [tags for _, tags in found]}
    )


def fingerprint(folder: Path | None) -> str:
    """Return a hash of every file that training and validation read."""
    hashed = hashlib.sha256()
    for split in SECTIONS:
        for file in _files(split, folder):
            hashed.update(file.name.encode())
            hashed.update(file.read_bytes())
    return hashed.hexdigest()[:16]


def _files(split: str, folder: Path | None) -> list[Path]:
    if folder is None:
        raise InputError(missing())
    wanted = {f"{section:02d}" for section in SECTIONS[split]}
    files = [file for file in folder.rglob("AUTO/*/*.auto") if file.parent.name in wanted]
    if not files:
        raise InputError(f"{folder}: no AUTO/{min(wanted)}/*.auto, nor of any other section that "
                         f"{split} reads")  # fmt: skip
    return sorted(files)


def _read(file: Path) -> Iterator[tuple[list[str], list[str]]]:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start} is not UTF-8") from None
    lines = [line for line in enumerate(text.splitlines(), start=1) if line[1].strip()]
    for number, line in lines:
        if line.startswith("ID="):
            continue
        leaves, nodes = _LEAF.findall(line), _NODE.findall(line)
        # What is left are the ends of nodes: fewer where a line is cut off between two leaves.
        rest = "".join(_NODE.sub("", _LEAF.sub("", line)).split())
        if not leaves or rest != ")" * len(nodes):
            raise InputError(f"{file}, line {number}: not a derivation with leaves "
                             "(<L category POS POS word category>), each of its nodes closed"
                             )  # fmt: skip
        yield [word for _, word in leaves], [category for category, _ in leaves]
    if lines and lines[-1][1].startswith("ID="):
        raise InputError(f"{file}, line {lines[-1][0]}: ends without this sentence's derivation")
