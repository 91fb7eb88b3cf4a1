"""What a machine without network needs fits into pieces; what it finished comes back as it was."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
import yaml
from datasets import ClassLabel, List

from lib import lease, paths, pretraining, profile, results, transfer
from lib.errors import InputError
from lib.profile import Profile

TAGS = List(ClassLabel(names=["NOUN", "VERB", "PUNCT"]))


@pytest.fixture
def real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: Callable[[Path], Callable[..., None]]
) -> Callable[..., Profile]:
    """Return a maker of a profile of two languages, on a mirror of the test's own."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "home"))
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write = writer(tmp_path / "home")
    for code in ("en", "de"):
        lines = [f"{code} line {i} of {chr(97 + i % 26) * (1 + i % 7)}" for i in range(300)]
        write("multilingual-text", code, "train", {"text": lines, "source": ["s"] * 300})
    words = {"tokens": [["a", "b", "."], ["c", "."]] * 4, "pos_tags": [[0, 1, 2], [1, 2]] * 4}
    # German has a split of which the profile reads nothing, and of which the card knows.
    for config, splits in (
        ("English", ("train", "validation", "test")), ("German", ("validation", "test")),
    ):  # fmt: skip
        for split in splits:
            write("google/xtreme", f"udpos.{config}", split, words, pos_tags=TAGS)
    write("google/xtreme", "udpos.French", "test", words, pos_tags=TAGS)  # of no use to the profile
    content = yaml.safe_load((paths.PROFILES / "small_cpu.yaml").read_text(encoding="utf-8"))

    def make(**changes: object) -> Profile:
        file = tmp_path / "leased.yaml"
        file.write_text(yaml.safe_dump(content | {
            "languages": ["en", "de"],
            "all_languages": {},
            "encoder": {"layers": 1, "hidden_size": 16, "vocabulary_size": 150,
                        "feed_forward_size": 16},
            "pretraining": {"tokens": 1024, "block_tokens": 16, "batch_tokens": 64},
            "conditions": {"none": {}, "random": {"random_encoder": True}},
            "targets": {"udpos": {"updates": 2}},
            "clean_targets": [],
            "seeds": {1: 1},
        } | changes), encoding="utf-8")  # fmt: skip
        return profile.load(str(file))

    return make


def unpack(pieces: Path, into: Path, way: str) -> None:
    into.mkdir(exist_ok=True)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=pieces, check=True)
    command = f"cat {pieces}/*.tar.* | tar -x{way} --skip-old-files -C {into}"
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)


def without_git(folder: Path) -> str:
    """Return a PATH on which there is no git."""
    folder.mkdir()
    return str(folder)


def test_what_is_packed_works_elsewhere_and_what_is_brought_back_counts_as_made_here(
    real: Callable[..., Profile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, there, home = real(), tmp_path / "there", tmp_path / "again"
    sizes = lease.pack(settings, tmp_path / "out", piece=1)
    assert 0 < max(sizes.values()) <= 1
    unpack(tmp_path / "out", there, "J")
    assert not (there / "data/encoders").exists()  # the profile reads none
    assert not (there / "mirror" / "multilingual-text").exists()
    assert not (there / "mirror/google/xtreme/udpos.French").exists()
    environment = {key: value for key, value in os.environ.items() if key != "RESULTS_ROOT"}
    environment |= {"DATA_ROOT": "mirror", "PYTHONPATH": str(there)}
    environment["PATH"] = without_git(tmp_path / "bin")
    command = [sys.executable, "-m", "lib.lease", "work", str(tmp_path / "leased.yaml"), "back"]
    done = subprocess.run(
        [*command, "--minutes", "5"], cwd=there, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Called again with the same folder it refuses before it works; with another it brings nothing.
    again = subprocess.run(
        [*command, "--minutes", "5"], cwd=there, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert again.returncode == 1 and again.stderr.strip() == (
        "back: not empty; expected a new folder for the pieces"
    )
    unpack(there / "back", home, "z")
    monkeypatch.setenv("RESULTS_ROOT", str(home / "results"))
    (run,) = transfer.run(settings, "none", "udpos", 1)
    assert not run.fresh and not pretraining.run(settings, 1).fresh
    assert run.facts["commit"] == results.commit()
    # A second pack takes along what is finished, and a second call there finds nothing to do.
    assert [file.parent.name for file in lease.finished(settings)] == ["seed=1"] * 3
    assert lease.work(settings, 1.0, processes=1) == []
    first = lease.bring(settings, tmp_path / "first", piece=1)
    second = lease.bring(settings, tmp_path / "second", piece=1)
    assert sum(first.values()) > sum(second.values())
    (paths.results(settings.name) / ".brought").unlink()
    lease.bring(settings, tmp_path / "scores", piece=1, weights=False)
    unpack(tmp_path / "scores", tmp_path / "light", "z")
    brought = {file.suffix for file in (tmp_path / "light").rglob("*") if file.is_file()}
    assert ".parquet" in brought and ".safetensors" in brought  # the encoder's, of phase 1


def test_without_weights_phase_2_comes_when_nothing_is_to_start_from_it(
    real: Callable[..., Profile], tmp_path: Path
) -> None:
    settings = real()
    encoders = results.Cell(settings.name, "intermediate", 1, "mlm")
    started = results.Cell(settings.name, "transfer", 1, "mlm", "udpos")
    for cell in (encoders, started):
        cell.folder.mkdir(parents=True)
        (cell.folder / "model.safetensors").touch()
    encoders.run_file.touch()
    for way, expected in ((True, {"model.safetensors", "run.json"}), (False, set())):
        lease._brought(settings).unlink(missing_ok=True)
        lease.bring(settings, tmp_path / f"early-{way}", 1, weights=way)
        assert brought(tmp_path / f"early-{way}") == expected
    started.run_file.touch()
    lease._brought(settings).unlink()
    lease.bring(settings, tmp_path / "late", 1, weights=False)
    unpack(tmp_path / "late", tmp_path / "light", "z")
    assert not list(tmp_path.glob("light/results/*/intermediate/**/*.safetensors"))
    assert len(list(tmp_path.glob("light/results/*/*/**/run.json"))) == 2


def brought(pieces: Path) -> set[str]:
    into = pieces.with_name(f"{pieces.name}-unpacked")
    unpack(pieces, into, "z")
    return {file.name for file in into.rglob("*") if file.is_file()}


def test_a_record_is_the_last_file_of_its_cell_so_that_a_part_is_no_finished_cell(
    tmp_path: Path,
) -> None:
    for name in ("a.txt", "run.json", "scores.parquet", "snapshots/z.txt"):
        (tmp_path / "seed=1" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "seed=1" / name).touch()
    assert [Path(name).name for name in lease._below(tmp_path / "seed=1", "results")] == [
        "a.txt", "scores.parquet", "z.txt", "run.json"
    ]  # fmt: skip


def test_what_is_large_comes_in_pieces_of_the_size_that_was_asked(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(random.Random(1).randbytes(5 * lease.MIB // 2))
    (tmp_path / "out").mkdir()
    sizes = lease._write({"large": large}, tmp_path / "out", 1, "gz")
    assert [round(size, 1) for size in sizes.values()] == [1.0, 1.0, 0.5]
    unpack(tmp_path / "out", tmp_path / "there", "z")
    assert (tmp_path / "there/large").read_bytes() == large.read_bytes()


def test_a_training_that_outlasts_the_minutes_goes_on_in_the_next_call(
    real: Callable[..., Profile],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    long = {"tokens": 6_400_000, "block_tokens": 16, "batch_tokens": 64, "learning_rate": 1e-4,
            "checkpoint_updates": 200}  # fmt: skip
    settings = real(pretraining=long)
    here = pretraining.cell(settings, 1)

    def checkpoint() -> int:
        made = here.work.glob("*/checkpoint-*")  # no deeper: old ones are being deleted
        return max((int(folder.name.partition("-")[2]) for folder in made), default=0)

    def reached() -> int:
        last = checkpoint()
        # By this clock the minutes are over as soon as there is a checkpoint more.
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 600 * (checkpoint() > last))
        monkeypatch.setattr(lease, "time", clock)
        assert lease.work(settings, 10.0, processes=1, phase="pretrain") == []
        assert not here.run_file.exists()
        return checkpoint()

    first, second = reached(), reached()
    assert f"goes on from checkpoint-{first}\n" in capfd.readouterr().err
    assert 0 < first < second


def test_a_job_that_cannot_be_done_is_a_line_and_the_others_are_done(
    real: Callable[..., Profile], tmp_path: Path
) -> None:
    settings = real(targets={"udpos": {"updates": 2}, "panx": {"updates": 2}})
    failed = lease.work(settings, 5.0, processes=1)
    assert [line.partition(": ")[0] for line in sorted(failed)] == ["none panx 1", "random panx 1"]
    assert all("google/xtreme" in line for line in failed)
    assert len(lease.finished(settings)) == 3


def test_without_a_mirror_or_with_an_old_pack_in_the_way_nothing_is_packed(
    real: Callable[..., Profile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = real()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(InputError, match="out: not empty"):
        lease.pack(settings, tmp_path / "out", piece=1)
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(InputError, match="--piece: found 0, expected 1 MiB or more"):
        lease.pack(settings, tmp_path / "out", piece=0)
    with pytest.raises(InputError, match=r"encoder\.path: .*no folder of repository or DATA"):
        lease.pack(
            real(encoder={"path": "x/y", "revision": "c0ffee"}, pretraining={}),
            tmp_path / "out",
            piece=1,
        )
    monkeypatch.delenv("DATA_ROOT")
    with pytest.raises(InputError, match="DATA_ROOT: not set"):
        lease.pack(settings, tmp_path / "out", piece=1)


def test_an_encoder_that_exists_goes_along(real: Callable[..., Profile], tmp_path: Path) -> None:
    made = pretraining.run(real(), 1).cell.folder / "encoder"
    shutil.copytree(made, tmp_path / "home" / "ours" / "seed=1")
    settings = real(encoder={"path": "ours/seed={seed}"}, pretraining={})
    lease.pack(settings, tmp_path / "out", piece=16)
    unpack(tmp_path / "out", tmp_path / "there", "J")
    assert (tmp_path / "there/mirror/ours/seed=1/model.safetensors").is_file()


def test_what_one_job_dies_of_is_said_and_the_others_go_on(
    real: Callable[..., Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    import queue

    jobs, failed = queue.Queue(), queue.Queue()
    for job in (("none", 1), ("random", 1), None):
        jobs.put(job)

    def fall(settings: Profile, condition: str, target: str, seed: int) -> None:
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(transfer, "run", fall)
    lease._work(real(), jobs, failed)
    assert [failed.get_nowait() for _ in range(2)] == [
        "none udpos 1: RuntimeError: CUDA error", "random udpos 1: RuntimeError: CUDA error"
    ]  # fmt: skip
