"""Make a mirror of what a profile reads: data and encoder, from the hub, at their revisions.

`python -m lib.hub_mirror xtreme_base --folder data/mirror` is what `make mirror` calls. What comes
out is a folder for `DATA_ROOT`. A file appears whole or not at all, and `manifest.json` names it
only then, so that a killed download loses one file at most and the next call goes on from there.
With `--list` it says what it would bring (`lib.hub_listing`); with `--downloads` it reads what the
hub's own command has left in a folder, and asks nothing of the hub.
Only a stand-in of the hub was read when this was written: there was no network.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from lib import corpora, hub_listing, inventory, paths, profile
from lib.errors import InputError
from lib.inventory import Split
from lib.profile import Profile

MANIFEST = "manifest.json"
COMMIT = re.compile(r"[0-9a-f]{40}")
Manifest = dict[str, dict[str, Any]]


def build(settings: Profile, folder: Path, downloads: Path | None = None) -> list[str]:
    """Bring every split of a profile, and its encoder, into a mirror; a line for each is printed.

    What stands there whole, at the same revision, is left. `downloads` is a folder that the
    commands of `lib.hub_listing` have filled: then nothing is asked of the hub. Returns a line for
    each that was not had. Raises InputError for a world, which is made here, for a manifest that
    cannot be read, and for downloads that are no folder.
    """
    check(settings)
    if downloads and not downloads.is_dir():
        raise InputError(f"FROM: no such folder: {downloads}; LIST=1 says what fills one")
    folder.mkdir(parents=True, exist_ok=True)
    manifest, failed = _read(folder), []
    jobs: list[Split | str] = [split for split in inventory.of(settings) if split.on_hub]
    if hub_listing.of_hub(settings):
        jobs += settings.encoder_ids
    for job in jobs:
        name = job if isinstance(job, str) else job.name
        try:
            if isinstance(job, str):
                line = _bring_encoder(job, settings.encoder.revision, folder, manifest, downloads)
            else:
                line = _bring_split(job, folder, manifest, downloads)
        # The hub and what lies between fail in many ways; the next call tries again.
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            line = "not had"
        print(f"{name}: {line}", flush=True)
    return failed


def check(settings: Profile) -> None:
    """Raise InputError for a profile that reads a world: the hub has nothing of it."""
    if settings.world is not None:
        raise InputError(f"profile {settings.name!r} reads a world, which is made here: there is "
                         "nothing to mirror")  # fmt: skip


def _bring_split(
    split: Split, folder: Path, manifest: Manifest, downloads: Path | None = None
) -> str:
    """Write one split as the hub's layout wants it, unless it stands; return what to say of it."""
    source, local = split.source, downloads and downloads / split.hub_id
    if local:
        revision = _downloaded(local, hub_listing.revision_of(split))
    else:
        revision = corpora.fingerprint(None, source.dataset, source.config)
    file = folder / source.dataset / source.config / f"{source.split}-00000-of-00001.parquet"
    if _stands(file, revision, folder, manifest):
        return f"was there, {_size(file)}"
    table = (
        _read_download(local, source.config, source.split)
        if local
        else corpora.from_hub(source.dataset, source.config, source.split)
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    table.to_parquet(part)
    os.replace(part, file)
    _write_card(folder / source.dataset)
    facts = {"id": source.dataset, "config": source.config, "split": source.split}
    _note(file, facts | {"revision": revision, "rows": len(table)}, folder, manifest)
    return f"{_size(file)}, {len(table):,} rows"


def _read_download(folder: Path, config: str, split: str) -> Any:
    """Read a split from a repository that was downloaded, wherever in it its files lie."""
    import datasets

    datasets.disable_progress_bars()
    pattern = f"*/{split}*" if config == "default" else f"*/{config}/{split}*"
    names = {file: f"/{file.relative_to(folder)}" for file in folder.glob("**/*")}
    for suffix, kind in (("parquet", "parquet"), ("jsonl", "json"), ("jsonl.gz", "json")):
        found = [str(f) for f, name in names.items() if fnmatch(name, f"{pattern}.{suffix}")]
        if found and folder.is_dir():
            return datasets.load_dataset(kind, data_files=sorted(found), split="train")
    raise InputError(f"{folder}: no {pattern[2:]}.parquet or .jsonl, expected what LIST=1 asks for")


def _downloaded(folder: Path, wanted: str) -> str:
    """Return the commit that a repository was downloaded at, as the hub's command notes it.

    Raises InputError where that is not the pinned one.
    """
    notes = sorted((folder / ".cache" / "huggingface" / "download").glob("**/*.metadata"))
    commits = {note.read_text(encoding="utf-8").partition("\n")[0] for note in notes}
    if len(commits) > 1 or (COMMIT.fullmatch(wanted) and commits - {wanted}):
        raise InputError(f"{folder}: downloaded at {', '.join(sorted(commits))}, expected {wanted}")
    return commits.pop() if commits else wanted


def _bring_encoder(
    path: str, revision: str, folder: Path, manifest: Manifest, downloads: Path | None = None
) -> str:
    """Bring an encoder's configuration, tokenizer and safetensors; return what to say of it."""
    from huggingface_hub import snapshot_download

    target, wanted = folder / path, revision or "main"
    if downloads:
        wanted = _downloaded(downloads / path, wanted)
    files = [folder / name for name, entry in manifest.items() if entry["id"] == path]
    if files and all(_stands(file, wanted, folder, manifest) for file in files):
        return f"was there, {_size(*files)}"
    part = target.with_name(f".{target.name}.part")  # what is there of it is not asked for again
    if downloads:
        shutil.copytree(downloads / path, part, dirs_exist_ok=True)
    else:
        files_of = list(hub_listing.ENCODER_FILES)
        snapshot_download(path, revision=wanted, local_dir=part, allow_patterns=files_of)
    if not any(part.glob("*.safetensors")):
        raise InputError(f"encoder {path}: no safetensors at {wanted}")
    shutil.rmtree(part / ".cache", ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    files = sorted(file for file in target.rglob("*") if file.is_file())
    for file in files:
        _note(file, {"id": path, "revision": wanted}, folder, manifest)
    return _size(*files)


def _stands(file: Path, revision: str, folder: Path, manifest: Manifest) -> bool:
    entry = manifest.get(str(file.relative_to(folder)))
    return (
        entry is not None
        and file.is_file()
        and (entry["revision"], entry["bytes"]) == (revision, file.stat().st_size)
    )


def _write_card(repository: Path) -> None:
    """List the configurations and splits that a repository's folder holds."""
    lines = ["---", "configs:"]
    for folder in sorted(path for path in repository.iterdir() if path.is_dir()):
        splits = sorted({file.name.rsplit("-", 3)[0] for file in folder.glob("*-*.parquet")})
        lines += [f"- config_name: {folder.name}", "  data_files:"] if splits else []
        for split in splits:
            lines += [f"  - split: {split}", f"    path: {folder.name}/{split}-*"]
    (repository / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")


def _read(folder: Path) -> Manifest:
    file = folder / MANIFEST
    try:
        found: Manifest = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError:
        raise InputError(f"{file}: not a manifest; delete it to fetch everything anew") from None
    return found


def _note(file: Path, facts: dict[str, Any], folder: Path, manifest: Manifest) -> None:
    """Enter a whole file in the manifest, and write that."""
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    entry = {**facts, "bytes": file.stat().st_size, "sha256": sha256}
    manifest[str(file.relative_to(folder))] = entry
    part = folder / f".{MANIFEST}.part"
    part.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(part, folder / MANIFEST)


def _size(*files: Path) -> str:
    return f"{sum(file.stat().st_size for file in files) / 1e6:,.2f} MB"


def main(arguments: list[str] | None = None) -> int:
    """Read the command line; an InputError is one line on standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", help="name of a profile, or path of a YAML file")
    parser.add_argument("--folder", type=Path, required=True, help="mirror to write into")
    parser.add_argument("--list", action="store_true", help="only say what it must hold")
    parser.add_argument("--downloads", type=Path, help="read what the hub's command left here")
    wanted = parser.parse_args(arguments)
    try:
        settings = profile.load(wanted.profile, whole=True)
        if wanted.list:
            check(settings)
            print("\n".join(hub_listing.describe(settings, wanted.folder)))
            return 0
        folder = (paths.REPOSITORY / wanted.folder.expanduser()).resolve()
        downloads = wanted.downloads and paths.REPOSITORY / wanted.downloads.expanduser()
        absent = hub_listing.elsewhere(settings, folder)
        failed = build(settings, folder, downloads)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in failed:
        print(f"not had: {line}", file=sys.stderr)
    for line in absent:
        print(f"not on the hub: {line}")
    print(f"DATA_ROOT={folder} reads from it" + (", once the rest is there" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
