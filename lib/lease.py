"""Use a machine for some minutes: pack what it needs, work there, bring back what is finished.

For a GPU that is lent without a network. What travels is a compressed archive in pieces of at most
so many MiB, which `cat` and `tar` put together again:

    python -m lib.lease pack small_gpu there                               # here
    (cd there && sha256sum -c SHA256SUMS) && cat there/*.xz.* | tar -xJ    # there, in a new folder
    DATA_ROOT=mirror python3 -m lib.lease work small_gpu back --minutes 9  # and again: back2, ...
    (cd back && sha256sum -c SHA256SUMS) && cat back/*.gz.* | tar -xz --skip-old-files     # here
"""

import argparse
import gzip
import hashlib
import io
import lzma
import multiprocessing
import queue
import sys
import tarfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lib import bitext, inventory, paths, pretraining, profile, results, text_blocks, transfer
from lib.errors import InputError, Stopped
from lib.profile import Profile

MIB = 2**20
CODE = ("lib", "notebooks", "data/published")
GRACE = 30  # seconds in which trainings leave their checkpoints
NEEDED = ("torch", "transformers", "datasets", "accelerate", "pandas", "safetensors", "seqeval",
          "scipy", "sklearn", "psutil")  # fmt: skip
Job = tuple[str, int]  # condition (none: phase 1), seed


def pack(settings: Profile, folder: Path, piece: int) -> dict[str, float]:
    """Write code, blocks of text, data, and what is finished; return the MiB of each, compressed.

    Data are the files of every configuration that is read, whole, for their hash stands in every
    record, and a dataset's card names them all. Finished
    cells, and checkpoints of unfinished ones, go along. Raises InputError where there is no mirror,
    or it lacks what the profile reads, and for an encoder that is in no folder of it or of ours.
    """
    check(folder, piece)
    root = profile.data_root(settings)
    if settings.world is None and root is None:
        raise InputError("DATA_ROOT: not set; a pack holds the files of a mirror")
    inventory.check(settings)
    files = {str(file.relative_to(paths.REPOSITORY)): file for file in _code()}
    if inventory.reads_text(settings):
        for seed in sorted(set(settings.seeds.values())):
            text_blocks.prepare(settings, seed)
            files |= _below(text_blocks.kept_in(settings, seed), "results/.features")
    if root is not None and settings.world is None:
        files |= {f"mirror/{file.relative_to(root)}": file for file in _data(settings, root)}
    files |= _encoders(settings, root)
    _brought(settings).unlink(missing_ok=True)
    _note(settings, finished(settings))
    files |= _below(paths.results(settings.name), "results")
    return _write(files, folder, piece, "xz")


def check(folder: Path, piece: int) -> None:
    """Raise InputError where nothing could be written in the end, before anything is done."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: not empty; expected a new folder for the pieces")
    if piece < 1:
        raise InputError(f"--piece: found {piece}, expected 1 MiB or more")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from None


def work(settings: Profile, minutes: float, processes: int, phase: str = "") -> list[str]:
    """Make the encoders, then the cells in the order of the profile, until the minutes are over.

    So many processes share the device; `phase` may be `pretrain`, for that alone. Trainings that
    are not done leave checkpoints, from which the next call goes on. Returns a line for each job
    that failed. Raises InputError for too little time, no process, or a package that is missing.
    """
    if not 60 * minutes > GRACE:
        raise InputError(f"--minutes: found {minutes:g}, expected more than {GRACE / 60:g}, which "
                         "go to the last checkpoints")  # fmt: skip
    if processes < 1:
        raise InputError(f"--processes: found {processes}, expected 1 or more")
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(f"not installed here: {', '.join(missing)}")
    ends = time.monotonic() + 60 * minutes - GRACE
    context = multiprocessing.get_context("spawn")
    jobs, failed = context.Queue(), context.Queue()
    for job in _jobs(settings, phase):
        jobs.put(job)
    for _ in range(processes):
        jobs.put(None)
    workers = [
        context.Process(target=_work, args=(settings, jobs, failed)) for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    said: list[str] = []
    # A process that has said much ends when it is heard.
    while any(worker.is_alive() for worker in workers) and time.monotonic() < ends:
        said += _heard(failed)
    ended = [worker.exitcode for worker in workers if worker.exitcode]
    for stop in (multiprocessing.Process.terminate, multiprocessing.Process.kill):
        for worker in workers:
            stop(worker)
        over = time.monotonic() + GRACE
        for worker in workers:
            worker.join(max(0.0, over - time.monotonic()))
    lost = [f"a process ended with status {status}: its jobs were left" for status in ended]
    return said + _heard(failed) + lost


def _heard(failed: Any) -> list[str]:
    """Return the lines that come until none does for a moment."""
    lines = []
    while True:
        try:
            lines.append(failed.get(timeout=0.2))
        except queue.Empty:
            return lines


def _jobs(settings: Profile, phase: str) -> list[Job]:
    first: list[Job] = [("", seed) for seed in sorted(set(settings.seeds.values()))]
    return first if phase == "pretrain" else first + settings.runs


def _work(settings: Profile, jobs: Any, failed: Any) -> None:
    """Take jobs until none is left; runs in a process of its own."""
    while (job := jobs.get()) is not None:
        condition, seed = job
        for target in settings.targets if condition else [""]:
            try:
                if condition:
                    (run,) = transfer.run(settings, condition, target, seed)
                else:
                    run = pretraining.run(settings, seed)
                print(run.summary(), flush=True)
            except Stopped as stopped:
                print(stopped, flush=True)
                return
            # Whatever one job fails of, a lack of memory say, the others may do.
            except Exception as error:
                what = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
                failed.put(f"{condition or 'pretrain'} {target or 'seed'} {seed}: {what}{error}")


def bring(settings: Profile, folder: Path, piece: int, weights: bool = True) -> dict[str, float]:
    """Write the cells that are finished and were not brought before; return MiB as `pack` does.

    Without `weights` those of phase 2 stay: an analysis by layer has to be run there, and `make
    check` misses them; a cell of phase 2 then comes when all that starts from it is finished.
    Weights hardly shrink, so that they are compressed as fast as it goes.
    """
    check(folder, piece)
    store, noted = paths.results(settings.name), _brought(settings)
    before = noted.read_text(encoding="utf-8").split("\n") if noted.is_file() else []
    new = [file for file in finished(settings) if str(file.relative_to(store)) not in before]
    new = [file for file in new if weights or not _awaited(settings, file)]
    files: dict[str, Path] = {}
    for cell in sorted(file.parent for file in new):
        of_cell = _below(cell, f"results/{cell.parent.relative_to(store.parent)}")
        phase = cell.relative_to(store).parts[0]
        files |= {
            name: file
            for name, file in of_cell.items()
            if weights or file.suffix != ".safetensors" or phase != "intermediate"
        }
    sizes = _write(files, folder, piece, "gz")
    _note(settings, new)
    return sizes


def _awaited(settings: Profile, record: Path) -> bool:
    """Say whether it is of an encoder of phase 2 from which a target is still to start."""
    phase, condition, seed = record.relative_to(paths.results(settings.name)).parts[:3]
    return phase == "intermediate" and any(
        not results.Cell(
            settings.name, "transfer", int(seed.partition("=")[2]), condition, target
        ).run_file.is_file()
        for target in settings.targets
    )


def _brought(settings: Profile) -> Path:
    """Return the list of what the other side has."""
    return paths.results(settings.name) / ".brought"


def _note(settings: Profile, records: list[Path]) -> None:
    store = paths.results(settings.name)
    store.mkdir(parents=True, exist_ok=True)
    with _brought(settings).open("a", encoding="utf-8") as noted:
        noted.writelines(f"{file.relative_to(store)}\n" for file in records)


def finished(settings: Profile) -> list[Path]:
    """List the records of the finished cells."""
    store = paths.results(settings.name)
    return [file for file in store.rglob("run.json") if ".work" not in file.parts]


def _code() -> list[Path]:
    here = [paths.REPOSITORY / "pyproject.toml", *(paths.REPOSITORY / "data").glob("*.*")]
    for name in CODE:
        here += (paths.REPOSITORY / name).rglob("*")
    return [file for file in here if file.is_file() and "__pycache__" not in file.parts]


def _data(settings: Profile, root: Path) -> list[Path]:
    """List the files of what a profile reads, but those of text: its blocks go along."""
    found: list[Path] = []
    for split in inventory.of(settings):
        folder, source = root / split.source.dataset, split.source
        if split.role != "text":
            found += folder.glob(f"{source.config}/*.parquet")
            found += bitext.files(folder, source.config, source.split)
            found += folder.glob("README.md")
    return list(dict.fromkeys(found))


def _encoders(settings: Profile, root: Path | None) -> dict[str, Path]:
    """List the files of the encoders that exist, where `profile.encoder_path` looks for them."""
    found: dict[str, Path] = {}
    for seed in sorted(set(settings.seeds.values())) if settings.encoder.path else ():
        folder = Path(profile.encoder_path(settings, seed)).resolve()
        for place, name in ((paths.REPOSITORY, ""), (root, "mirror")):
            if place and folder.is_dir() and folder.is_relative_to(place.resolve()):
                inside = folder.parent.relative_to(place.resolve())
                found |= _below(folder, str(Path(name) / inside))
                break
        else:
            raise InputError(f"encoder.path: {folder}: no folder of repository or DATA_ROOT: "
                             "it cannot be packed")  # fmt: skip
    return found


def _below(folder: Path, place: str) -> dict[str, Path]:
    """Name the files below a folder by where they go: into `place`, under the folder's name.

    Records come last: what was cut off is no finished cell.
    """
    return {
        f"{place}/{folder.name}/{file.relative_to(folder)}": file
        for file in sorted(folder.rglob("*"), key=lambda file: (file.name == "run.json", file))
        if file.is_file() and file.name != ".lock"
    }


def _write(files: dict[str, Path], folder: Path, piece: int, way: str) -> dict[str, float]:
    """Write an archive in pieces, and `SHA256SUMS` of them; return the MiB of each piece."""
    pieces = _Pieces(folder / f"{folder.name}.tar.{way}", piece * MIB)
    # Lines and their pairs repeat each other over more than the usual 8 MiB.
    large = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 128 * MIB}]
    into: Any = pieces
    with (
        lzma.open(into, "wb", filters=large)
        if way == "xz"
        else gzip.GzipFile(fileobj=into, mode="wb", compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w|", dereference=True) as archive,
    ):
        for name, file in files.items():
            archive.add(file, name, recursive=False)
        if way == "xz":
            said = results.commit().encode()
            entry = tarfile.TarInfo(results.PACKED_COMMIT)
            entry.size = len(said)
            archive.addfile(entry, io.BytesIO(said))
    pieces.close()
    made = sorted(folder.glob("*.tar.*"))
    sums = [f"{hashlib.sha256(part.read_bytes()).hexdigest()}  {part.name}\n" for part in made]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    return {part.name: part.stat().st_size / MIB for part in made}


class _Pieces:
    """A file to write to that is cut into files of so many bytes."""

    def __init__(self, name: Path, size: int) -> None:
        self.name, self.size, self.number, self.room = name, size, 0, 0
        self.part: Any = None

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            if not self.room:
                self.close()
                self.part = self.name.with_name(f"{self.name.name}.{self.number:06}").open("wb")
                self.number, self.room = self.number + 1, self.size
            taken = view[: self.room]
            self.part.write(taken)
            self.room, view = self.room - len(taken), view[len(taken) :]
        return len(data)

    def flush(self) -> None:
        """Do nothing: what was written is in the piece when it is closed."""

    def close(self) -> None:
        if self.part:
            self.part.close()


def main(arguments: list[str] | None = None) -> int:
    """Pack, or work and pack what was finished; exit 1 where a job failed."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.lease", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("do", choices=["pack", "work"])
    parser.add_argument("profile")
    parser.add_argument("folder", type=Path, help="a new one, for the pieces")
    parser.add_argument("--piece", type=int, default=16, help="MiB of a piece at most")
    parser.add_argument("--minutes", type=float, default=10.0, help="until work ends")
    parser.add_argument("--processes", type=int, default=1, help="that share the device")
    parser.add_argument("--without-weights", action="store_true", help="bring scores alone back")
    parser.add_argument("--phase", choices=["pretrain"], default="", help="the encoders alone")
    asked = parser.parse_args(arguments)
    settings, failed = profile.load(asked.profile), []
    if asked.do == "pack":
        sizes = pack(settings, asked.folder, asked.piece)
    else:
        check(asked.folder, asked.piece)
        failed = work(settings, asked.minutes, asked.processes, asked.phase)
        sizes = bring(settings, asked.folder, asked.piece, not asked.without_weights)
    print(f"{asked.folder}: {len(sizes)} pieces, {sum(sizes.values()):.1f} MiB", flush=True)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(str(error))
