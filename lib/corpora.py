"""Read examples: one path, `load_dataset`, for the hub, a mirror of it, and the world.

An example is a dict with our column names (see `tasks.Source.columns`), its labels by name, and
`id`, its place in the file. Nothing else in `lib` knows where data come from.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from yaml import YAMLError

from lib import bitext, ccgbank, columns, paths, revisions, tasks, typology
from lib.columns import Example
from lib.errors import InputError
from lib.profile import Profile, data_root
from lib.tasks import Source, Task

PARQUET = "refs/convert/parquet"
FOR_READERS = ("name", "family", "licence", "published_size")  # of a row: no score hangs on them
_recordings: list[dict[str, str]] = []


def described(task: Task, names: Sequence[str], languages: Sequence[str]) -> dict[str, Any]:
    """Return what of a task's row scores depend on, as JSON has it, without what is empty.

    `names` are the training data, `languages` those of a study, of which the row's are kept.
    """

    def filled(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if value and key not in FOR_READERS}

    row = replace(task, languages=tuple(code for code in languages if code in task.languages))
    train = {name: asdict(tasks.training(name), dict_factory=filled) for name in names}
    return json.loads(json.dumps(asdict(row, dict_factory=filled) | {"train": train}))  # type: ignore[no-any-return]


def prepare(profile: Profile) -> Path | None:
    """Write the profile's world unless it stands already; return the root of the data.

    The folder appears whole or not at all; two processes do not write it twice.
    """
    root = data_root(profile)
    if profile.world is None or root is None or root.is_dir():
        return root
    from filelock import FileLock

    from lib.world import Settings, write

    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{root}.lock"):
        if not root.is_dir():
            with tempfile.TemporaryDirectory(dir=root.parent, prefix=".writing-") as folder:
                write(Path(folder) / "world", Settings(**profile.world))  # type: ignore[arg-type]
                (Path(folder) / "world").rename(root)
    return root


def load(
    profile: Profile, source: Source, language: str = "", limit: int = 0, required: bool = True
) -> list[Example]:
    """Load the examples of a source, those of one language where it is given.

    `limit` keeps the first so many of a fixed shuffle (0: all). Raises InputError with id,
    configuration and folder where the data are missing, unless not `required`: then the list is
    empty. Labels or tags of a single value are an error, and whatever `columns.read` refuses.
    """
    source = of_language(source, language, prepare(profile))
    examples = _read(profile, source, language, required)
    labels = _labels(examples) if len(examples) > 1 else set()
    if len(labels) == 1:
        raise InputError(f"{source.dataset} {source.config} {source.split}: every label is "
                         f"{labels.pop()!r}, expected a labelled split")  # fmt: skip
    return _shuffled(examples)[:limit] if limit and limit < len(examples) else examples


def _read(
    profile: Profile, source: Source, language: str = "", required: bool = True
) -> list[Example]:
    """Read a source whose language is filled in."""
    root, config = prepare(profile), source.config
    version = partial(fingerprint, root, source.dataset, config)
    if source.dataset == tasks.CCGBANK:
        folder = _ccgbank(profile, root)
        absent = folder is None and profile.world is not None
        table = None if absent else ccgbank.table(source.split, folder)
        version = partial(ccgbank.fingerprint, folder)
    else:
        table = _table(source.dataset, config, source.split, root)
    if table is not None and _recordings:
        note({f"{source.dataset}/{config}": version()})
    if table is not None:
        return columns.read(table, source, language)
    if required:
        raise InputError(
            f"{source.dataset}: no configuration {config!r} with a split {source.split!r} "
            f"in {root or 'the hub'}"
        )
    return []


def of_language(source: Source, language: str, root: Path | None) -> Source:
    """Fill a language's codes and name into a source; raises InputError for an unknown one."""
    if not language:
        return source
    codes = typology.languages(root)
    if language not in codes.index:
        raise InputError(f"unknown language {language!r}: expected one of {', '.join(codes.index)}")
    row = codes.loc[language]
    # Tatoeba names a few languages by their macrolanguage's code.
    iso3 = row.get("tatoeba") or row["iso3"]
    return replace(
        source,
        config=source.config.format(code=language, iso3=iso3, name=row["name"]),
        identifier_prefix=source.identifier_prefix.format(name=row["name"].lower()),
    )


def _ccgbank(profile: Profile, root: Path | None) -> Path | None:
    """Return the folder of CCGbank's files: in the mirror or world, else what the user names."""
    inside = root / tasks.CCGBANK if root else None
    if inside and inside.is_dir():
        return inside
    return paths.ccgbank() if profile.world is None else None


def load_training(
    profile: Profile,
    task: Task,
    names: Iterable[str],
    limit: int,
    translated: Sequence[str] = (),
) -> list[Example]:
    """Load and join the named training sources of a task; refuse labels that cannot teach.

    Where languages are given, the task's translated training set stands in (`_translated`). A full
    load of another size than the published one is a warning. Raises InputError for an empty load,
    for labels or tags of a single value, and for questions of which none has an answer.
    """
    if translated:
        examples = _translated(profile, task, translated)
    else:
        examples = [e for name in names for e in _read(profile, tasks.training(name))]
    examples = _shuffled(examples)[: limit or None]
    if not examples:
        raise InputError(f"{task.name}: its training data {', '.join(names)} hold no example")
    whole = not limit and tuple(names) == task.train and profile.world is None
    if whole and len(examples) != task.published_size > 0:
        print(f"{task.name}: {len(examples):,} training examples; published: "
              f"{task.published_size:,}")  # fmt: skip
    labels = _labels(examples)
    if len(labels) == 1:
        raise InputError(f"{task.name}: every training label is {labels.pop()!r}")
    return examples


def _translated(profile: Profile, task: Task, languages: Sequence[str]) -> list[Example]:
    """Load each example of a translated training set once, in one of the languages.

    Which one follows from its place in a fixed shuffle: every language has the same share, and the
    size is that of the English set. `all` is every language of the profile that is there.
    """
    assert task.translated is not None
    root, codes = prepare(profile), list(languages)
    if "all" in languages:
        located = {code: of_language(task.translated, code, root) for code in profile.languages}
        codes = [
            code
            for code, where in located.items()
            if _table(where.dataset, where.config, where.split, root) is not None
        ]
        absent = ", ".join(code for code in profile.languages if code not in codes)
        if absent:
            print(f"{task.name}: {task.translated.dataset} has no {absent}")
    examples: list[Example] = []
    size = 0
    for turn, code in enumerate(codes):
        found = load(profile, task.translated, code)
        size = size or len(found)
        if len(found) != size:
            raise InputError(
                f"{task.translated.dataset}: {code} has {len(found):,} examples, {codes[0]} "
                f"{size:,}: expected translations of each other"
            )
        turns = np.random.default_rng(size).permutation(size) % len(codes)
        examples += [found[i] | {"id": f"{code}-{i}"} for i in np.flatnonzero(turns == turn)]
    return examples


def _labels(examples: list[Example]) -> set[Any]:
    """Return the labels or tags that occur; of questions, `no answer` where none has one."""
    if "tags" in examples[0]:
        return {tag for example in examples for tag in example["tags"]}
    if "answers" in examples[0]:
        return set() if any(example["answers"] for example in examples) else {"no answer"}
    return {example["label"] for example in examples if "label" in example}


@contextmanager
def recording() -> Iterator[dict[str, str]]:
    """Collect what is read inside: `<id>/<configuration>` to its revision or hash."""
    record: dict[str, str] = {}
    _recordings.append(record)
    try:
        yield record
    finally:
        _recordings.pop()  # the innermost; two that are equal are not the same


def note(data: dict[str, str]) -> None:
    """Add to what is being recorded: what was read another way, or earlier."""
    for record in _recordings:
        record.update(data)


def evaluation_source(task: Task, split: str = "") -> Source:
    """Return where a target is evaluated, on another split where one is named.

    A validation source that has every language (BUCC's) is a split in another place.
    """
    source = task.evaluation
    assert source is not None
    if split == "validation" and task.validation and "{code}" in task.validation.config:
        return task.validation
    return replace(source, split=split or source.split)


@lru_cache(maxsize=64)
def _table(dataset: str, config: str, split: str, root: Path | None) -> Any:
    """Return one split as a `datasets.Dataset`, or None where there is none."""
    import datasets

    datasets.disable_progress_bars()
    try:
        if root is None:
            return from_hub(dataset, config, split)
        files = sorted((root / dataset / config).glob("*.parquet"))
        if not any(file.name.startswith(f"{split}-") for file in files):
            sides = bitext.files(root / dataset, config, split)
            return datasets.Dataset.from_dict(bitext.read(*sides)) if sides else None
        # `datasets` takes two folders with the same card for the same data: keep caches apart.
        cache = Path(datasets.config.HF_DATASETS_CACHE) / fingerprint(root, dataset, config)
        return datasets.load_dataset(str(root / dataset), config, split=split, cache_dir=str(cache))
    except InputError:
        raise
    except (datasets.exceptions.DatasetGenerationError, ValueError, OSError, YAMLError) as error:
        said = str(error)
        if "BuilderConfig" in said or "Unknown split" in said:
            return None
        if root is None:
            raise
        if isinstance(error, YAMLError):
            raise InputError(
                f"{root / dataset / 'README.md'}: not a dataset card: {said}"
            ) from None
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(cause, OSError) and cause.errno:  # of the disk, not of what is read
            raise InputError(f"{dataset} {config}: {cause}; what is read is kept in "
                             f"HF_DATASETS_CACHE, {datasets.config.HF_DATASETS_CACHE}"
                             ) from None  # fmt: skip
        if isinstance(error, FileNotFoundError):  # files that a card names are not there
            raise InputError(f"{dataset} {config}: {said.partition(chr(10))[0]}") from None
        raise InputError(f"{dataset} {config}: cannot be read; expected splits with the columns of "
                         f"its card and of each other, found {_difference(files)}"
                         ) from None  # fmt: skip


def from_hub(dataset: str, config: str, split: str) -> Any:
    """Return one split as a `datasets.Dataset`, at the revision that is pinned for its id."""
    import datasets

    name = revisions.HUB_IDS.get(dataset, dataset)
    if "/" not in name:
        raise InputError(
            f"{dataset} is not on the hub: build a mirror (data/README.md), set DATA_ROOT"
        )
    revision = fingerprint(None, dataset, config)
    return datasets.load_dataset(name, config, split=split, revision=revision)


def _difference(files: list[Path]) -> str:
    """Say which columns of parquet files are not in all of them; all, where no file differs."""
    from pyarrow import ArrowInvalid, parquet

    found = {}
    for file in files:
        try:
            empty = parquet.read_metadata(file).num_rows == 0
            names = [f"{column.name} {column.type}" for column in parquet.read_schema(file)]
            found[file.name] = ["no row"] if empty else names
        except (OSError, ArrowInvalid):
            found[file.name] = ["not a whole parquet file"]
    shared = set.intersection(*map(set, found.values()))
    if all(shared == set(names) for names in found.values()):
        shared = set()
    return "; ".join(
        f"{file}: {', '.join(name for name in names if name not in shared)}"
        for file, names in found.items()
    )


def _shuffled(examples: list[Example]) -> list[Example]:
    """Return the examples in an order that depends on their number alone."""
    order = np.random.default_rng(len(examples)).permutation(len(examples))
    return [examples[i] for i in order]


def fingerprint(root: Path | None, dataset: str, config: str) -> str:
    """Return the revision that is read (hub), or a hash of the data's files (mirror, world)."""
    if root is None:
        name = revisions.HUB_IDS.get(dataset, dataset)
        pinned = revisions.REVISIONS.get(name, "")
        return _commit(name, pinned or "main") if pinned in ("", PARQUET) else pinned
    hashed = hashlib.sha256()
    folder = root / dataset
    for file in sorted((folder / config).glob("*.parquet")) or sorted(folder.glob(f"{config}.*")):
        hashed.update(file.name.encode())
        hashed.update(file.read_bytes())
    return hashed.hexdigest()[:16]


@lru_cache
def _commit(dataset: str, branch: str) -> str:
    """Return the commit that a branch on the hub points at."""
    from huggingface_hub import HfApi

    return HfApi().dataset_info(dataset, revision=branch).sha or branch
