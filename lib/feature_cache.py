"""Keep features on disk by the hash of all that they are made from: each is made once.

A study makes the same features for every condition and seed. They lie in `<results>/.features/` as
JSON, which runs nothing when it is read; the folder may be deleted at any time.
"""

import gc
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from functools import cache, lru_cache
from io import StringIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from lib import features, paths
from lib.batches import Feature
from lib.corpora import Example
from lib.tasks import Task


def make(
    task: Task, examples: Sequence[Example], tokenizer: Any, length: int, pair: str = "cross"
) -> list[Feature]:
    """Return what `features.make` does, from the disk where it was made before.

    What it prints is kept, and printed again. Raises InputError as it does.
    """
    wanted = [_version(), fingerprint(tokenizer), asdict(task), list(examples), length, pair]
    text = json.dumps(wanted, ensure_ascii=False)
    file = paths.features() / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    with _no_collection():
        kept = _read(file)
        if kept:
            sys.stdout.write(kept["said"])
            return kept["features"]
        printed = StringIO()
        try:
            with redirect_stdout(printed):
                made = features.make(task, examples, tokenizer, length, pair)
        finally:
            sys.stdout.write(printed.getvalue())
        _write(file, {"said": printed.getvalue(), "features": made})
        return made


def _read(file: Path) -> dict[str, Any] | None:
    """Return what is kept, or None where that is nothing or damaged."""
    try:
        kept = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) and kept.keys() == {"said", "features"} else None


def _write(file: Path, content: Any) -> None:
    """Write whole or not at all; several processes may write the same. Without room, go on."""
    part = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(
            "w", dir=file.parent, suffix=".part", delete=False, encoding="utf-8"
        ) as part:
            part.write(json.dumps(content, ensure_ascii=False, separators=(",", ":")))
        os.replace(part.name, file)
    except OSError as error:
        print(f"{file.parent}: features are not kept: {error.strerror}", file=sys.stderr)
        if part:
            Path(part.name).unlink(missing_ok=True)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the search for cycles: among millions of new lists it takes most of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@cache
def _version() -> str:
    """Return the hash of the code that makes features, and the version of what cuts words."""
    from tokenizers import __version__

    code = Path(features.__file__).read_bytes()
    return f"{hashlib.sha256(code).hexdigest()} {__version__}"


@lru_cache(maxsize=8)
def fingerprint(tokenizer: Any) -> str:
    """Return the hash of a tokenizer; how it cut its last batch is no part of it."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    content |= {"truncation": None, "padding": None}
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    cuts = [tokenizer.model_max_length, tokenizer.truncation_side]
    told = json.dumps([content, special, cuts], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
