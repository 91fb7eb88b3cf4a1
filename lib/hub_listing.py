"""Say what a profile needs of the hub: ids, configurations, splits, revisions, sizes, commands.

`python -m lib.hub_mirror xtreme_base --folder data/mirror --list` prints it, without a network.
Sizes are those of the files where a mirror holds them, else estimated from `data/sizes.csv`.
"""

import shlex
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from lib import ccgbank, inventory, paths, plan, revisions, sizes, tasks
from lib.inventory import Split
from lib.profile import Profile

ENCODER_FILES = ("config.json", "tokenizer*", "sentencepiece*", "special_tokens_map.json", "vocab*",
                 "merges.txt", "*.safetensors", "*.safetensors.index.json")  # fmt: skip
WIDTH = 98


def describe(settings: Profile, folder: Path, downloads: str = "downloads") -> list[str]:
    """Lay out what a mirror in this folder must hold, and how to fetch it, in lines to print."""
    splits = [split for split in inventory.of(settings) if split.on_hub]
    rows = [
        (split.hub_id, split.source.config, split.source.split,
         _short(revision_of(split)), _said(_megabytes(settings, split, folder)))
        for split in splits
    ]  # fmt: skip
    found = [_megabytes(settings, split, folder) for split in splits]
    if of_hub(settings):
        revision = settings.encoder.revision or "main"
        for name in settings.encoder_ids:
            found.append(_encoder_megabytes(settings, folder / name))
            rows.append((name, "encoder", "", _short(revision), _said(found[-1])))
    heading = ("id", "configuration", "split", "revision", "MB")
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    return [
        *(_row(row, widths) for row in (heading, *rows)),
        "",
        *_sums(found),
        *(f"not on the hub: {line}" for line in elsewhere(settings, folder)),
        "",
        "# where there is a network (huggingface_hub 2: old ones heed the last --include alone):",
        *(line for command in commands(settings, downloads) for line in command),
        "# then, where there is none:",
        f"{settings.command('mirror')} MIRROR={shlex.quote(str(folder))} FROM={downloads}",
    ]


def revision_of(split: Split) -> str:
    """Return the commit or branch that is pinned for a split's repository."""
    return revisions.REVISIONS.get(split.hub_id, "") or "main"


def of_hub(settings: Profile) -> bool:
    """Say whether a profile's encoder comes from the hub: it is no folder here."""
    return any(
        not any(place.is_dir() for place in (paths.REPOSITORY / name, Path(name)))
        for name in settings.encoder_ids
    )


def commands(settings: Profile, downloads: str) -> list[list[str]]:
    """Return the hub's own download commands, one per repository, each as lines of a shell.

    A pattern holds configuration and split, wherever in the repository they lie.
    """
    patterns: dict[tuple[str, str], list[str]] = defaultdict(lambda: ["README.md"])
    for split in inventory.of(settings):
        if split.on_hub:
            source = split.source
            config = "" if source.config == "default" else f"{source.config}/"
            patterns[split.hub_id, revision_of(split)].append(f"*{config}{source.split}*")
    made = [
        _command(name, "--repo-type dataset ", revision, downloads, wanted)
        for (name, revision), wanted in patterns.items()
    ]
    if of_hub(settings):
        revision = settings.encoder.revision or "main"
        made += [
            _command(name, "", revision, downloads, list(ENCODER_FILES))
            for name in settings.encoder_ids
        ]
    return made


def _command(name: str, kind: str, revision: str, downloads: str, wanted: list[str]) -> list[str]:
    local = shlex.quote(f"{downloads}/{name}")
    lines = [f"hf download {name} {kind}--revision {revision}", f"  --local-dir {local}"]
    for pattern in wanted:
        part = f" --include {shlex.quote(pattern)}"
        if len(lines[-1] + part) > WIDTH:
            lines.append(" ")
        lines[-1] += part
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def elsewhere(settings: Profile, folder: Path) -> list[str]:
    """Say in a line each what a profile reads that is on no hub, and where it comes from."""
    absent = [s for s in inventory.of(settings) if not s.on_hub and not s.stands_in(folder)]
    texts = [split.language for split in absent if split.role == "text"]
    pairs = [split.source.config for split in absent if split.source.dataset == inventory.BITEXT]
    others = {split.source.dataset for split in absent} - {tasks.TEXT.dataset, inventory.BITEXT}
    lines = []
    if texts:
        lines.append(f"{tasks.TEXT.dataset}: python -m lib.multilingual_text --folder {folder} "
                     f"--characters 3000000 --languages {' '.join(texts)}")  # fmt: skip
    if pairs:
        lines.append(f"{inventory.BITEXT}: {', '.join(pairs)} from the shared task itself, see "
                     "data/README.md; without it bucc's threshold is cross-fitted")  # fmt: skip
    lines += [f"{name}: see data/README.md" for name in sorted(others)]
    if ccgbank.missing():
        lines.append(ccgbank.missing())
    return lines


def _megabytes(settings: Profile, split: Split, folder: Path) -> tuple[float, str]:
    """Return a split's size and whether it is `there`, of its `text`, or `unknown`."""
    place = folder / split.source.dataset / split.source.config
    files = list(place.glob(f"{split.source.split}-*.parquet"))
    if files:
        return sum(file.stat().st_size for file in files) / 1e6, "there"
    text = plan.characters(settings, split) / 1e6
    if split.source.language_column or split.source.identifier_prefix:
        text *= _languages_in_a_file(settings, split)
    return text, "text" if text else "unknown"


def _languages_in_a_file(settings: Profile, split: Split) -> float:
    """Return how often the text of one language stands in a file of all: as what is evaluated."""
    every = (
        plan.characters(settings, replace(split, role="evaluation", language=code))
        for code in (split.language or settings.source_language, *tasks.get(split.task).languages)
    )
    one = next(every)
    return sum(every) / one if one else 1.0


def _encoder_megabytes(settings: Profile, folder: Path) -> tuple[float, str]:
    files = [file for file in folder.glob("**/*") if file.is_file()]
    if files:
        return sum(file.stat().st_size for file in files) / 1e6, "there"
    shape = sizes.shape_of(settings)
    # The MLM's output layer, and two copies of a tokenizer of some 60 bytes a piece.
    more = shape.width**2 * 4 + shape.vocabulary * 60 if shape else 0
    return ((4 * shape.parameters + more) / 1e6, "text") if shape else (0.0, "unknown")


def _short(revision: str) -> str:
    return revision if "/" in revision else revision[:12]


def _said(size: tuple[float, str]) -> str:
    number, how = size
    return {"there": f"{number:,.1f}", "text": f"about {number:,.1f}"}.get(how, "unknown")


def _sums(found: list[tuple[float, str]]) -> list[str]:
    there, text = (
        sum(number for number, how in found if how == wanted) for wanted in ("there", "text")
    )
    unknown = sum(how == "unknown" for _, how in found)
    return [
        f"{len(found)} entries: {there:,.0f} MB there, about {text:,.0f} MB of text and weights to "
        f"fetch, {unknown} of unknown size.",
        "`about`: text by data/sizes.csv at four characters a token, or weights in single "
        "precision;",
        "parquet of such text was 0.2 to 0.7 of it on a mirror, that of a treebank 3 times.",
    ]


def _row(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
    return "  ".join([*cells, row[-1].rjust(widths[-1])])
