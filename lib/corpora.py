"""Read examples: one path, `load_dataset`, for the hub, a mirror of it, and the world.

An example is a dict with our column names (see `tasks.Source.columns`), its labels by name, and
`id`, its place in the file. Nothing else in `lib` knows where data come from.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from lib import bitext, ccgbank, paths, revisions, tasks, typology
from lib.errors import InputError
from lib.profile import Profile, data_root
from lib.tasks import Source, Task

Example = dict[str, Any]
PARQUET = "refs/convert/parquet"
_recordings: list[dict[str, str]] = []


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
    empty. A renamed column and a text column without text are errors, too.
    """
    root = prepare(profile)
    source = of_language(source, language, root)
    config = source.config
    version = partial(fingerprint, root, source.dataset, config)
    if source.dataset == tasks.CCGBANK:
        folder = _ccgbank(profile, root)
        absent = folder is None and profile.world is not None
        table = None if absent else ccgbank.table(source.split, folder)
        version = partial(ccgbank.fingerprint, folder)
    else:
        table = _table(source.dataset, config, source.split, root)
    for record in _recordings if table is not None else []:
        record[f"{source.dataset}/{config}"] = version()
    if table is None:
        if not required:
            return []
        raise InputError(
            f"{source.dataset}: no configuration {config!r} with a split {source.split!r} "
            f"in {root or 'the hub'}"
        )
    missing = [
        theirs
        for theirs in source.columns.values()
        if theirs.partition(".")[0] not in table.column_names
    ]
    if missing:
        raise InputError(
            f"{source.dataset} {config}: no column {missing[0]!r}; found {table.column_names}"
        )
    return _examples(table, source, language, limit)


def of_language(source: Source, language: str, root: Path | None) -> Source:
    """Fill a language's codes and name into a source."""
    if not language:
        return source
    row = typology.languages(root).loc[language]
    # Tatoeba names a few languages by their macrolanguage's code.
    iso3 = row.get("tatoeba") or row["iso3"]
    config = source.config.format(code=language, iso3=iso3, name=row["name"])
    prefix = source.identifier_prefix.format(name=row["name"].lower())
    return replace(source, config=config, identifier_prefix=prefix)


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
        examples = [e for name in names for e in load(profile, tasks.TRAINING[name])]
    examples = _shuffled(examples)[: limit or None]
    if not examples:
        raise InputError(f"{task.name}: its training data {', '.join(names)} hold no example")
    whole = not limit and tuple(names) == task.train and profile.world is None
    if whole and len(examples) != task.published_size:
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
        _recordings.remove(record)


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
    except datasets.exceptions.DatasetGenerationError:
        if root is None:
            raise
        found = "; ".join(f"{file.name}: {_columns(file)}" for file in files)
        raise InputError(f"{dataset} {config}: its splits do not have the columns that its card or "
                         f"each other's files say; found {found}") from None  # fmt: skip
    except ValueError as error:
        if isinstance(error, InputError) or "config" not in str(error).lower():
            raise
        return None


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


def _columns(file: Path) -> str:
    """List the columns of a parquet file."""
    from pyarrow import parquet

    try:
        return ", ".join(parquet.read_schema(file).names)
    except OSError:
        return "not a parquet file"


def _examples(table: Any, source: Source, language: str, limit: int) -> list[Example]:
    columns = {ours: _names(table, theirs) for ours, theirs in source.columns.items()}
    kept: Iterable[int] = range(len(table))
    if source.language_column and language:
        kept = [i for i, code in enumerate(table[source.language_column][:]) if code == language]
    if source.identifier_prefix:
        identifiers = table[source.columns["identifier"]][:]
        kept = [
            i for i, name in enumerate(identifiers) if name.startswith(source.identifier_prefix)
        ]
    examples = [
        {"id": str(i)} | {ours: values[i] for ours, values in columns.items()} for i in kept
    ]  # fmt: skip
    if "label" in columns:
        unlabelled = (None, -1, "-1", "")
        examples = [example for example in examples if example["label"] not in unlabelled]
    if "choice0" in columns:
        names = [name for name in columns if name.startswith("choice")]
        examples = [e | {"choices": [e[name] for name in names]} for e in examples]
    if "answers" in columns:
        for example in examples:
            example["starts"] = list(example["answers"]["answer_start"])
            example["answers"] = list(example["answers"]["text"])
    if "heads" in columns:
        examples = [_basic_tree(example) for example in examples]
    if limit and limit < len(examples):
        examples = _shuffled(examples)[:limit]
    return examples


def _names(table: Any, column: str) -> list[Any]:
    """Return a column, or the field of a struct, with class labels as names."""
    import datasets

    outer, _, inside = column.partition(".")
    if inside:
        return [row[inside] for row in table[outer]]
    feature = table.features[column]
    values = table[column][:]
    if isinstance(feature, datasets.ClassLabel):
        return [feature.names[value] if value >= 0 else None for value in values]
    inner = getattr(feature, "feature", None)
    if isinstance(inner, datasets.ClassLabel):
        return [[inner.names[value] for value in row] for row in values]
    return values


def _basic_tree(example: Example) -> Example:
    """Keep the words of the basic tree: a multiword token or empty node has no head of its own."""
    heads = example["heads"]
    kept = [i for i, head in enumerate(heads) if head not in (None, "None", "_", "")]
    return example | {
        "words": [example["words"][i] for i in kept],
        "heads": [int(heads[i]) for i in kept],
        "relations": [example["relations"][i] for i in kept],
        "upos": [example["upos"][i] for i in kept],
    }


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
