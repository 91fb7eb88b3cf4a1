"""What a study survives: kills at any moment, full and read-only disks, dead kernels, two runners.

`make test` tries some of it, a little; `make test-faults` all of it, as often as the README says.
"""

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml
from test_execution import alive

from lib import profile, workflow
from lib.checkpoints import STATE
from lib.profile import Profile
from lib.results import Cell

KILLS = int(os.environ.get("FAULTS", 2))  # of each phase, and of the workflow
SHARD = int(os.environ.get("FAULT_SHARD", 0))  # other moments, another day
INTERVAL = 0.3  # seconds between checkpoints
SLACK = 0.1
PHASES = ("pretrain", "intermediate", "transfer")


def _rare(value: Any) -> Any:
    """Leave a case to `make test-faults`, and to a day of CI."""
    return pytest.param(value, marks=pytest.mark.faults)


# A phase as a notebook calls it, saying when it begins and when an update ends.
PHASE = """
import sys, time
from lib import intermediate, pretraining, profile, training, transfer

def tell(self, args, state, control, **rest):
    print("update", state.global_step, time.time(), flush=True)

training._Progress.on_step_end = tell
settings = profile.load(sys.argv[1])
print("begins", flush=True)
{"pretrain": lambda: pretraining.run(settings, 1),
 "intermediate": lambda: intermediate.run_one(settings, "ud_parsing", 1),
 "transfer": lambda: transfer.run(settings, "ud_parsing", "udpos", 1)}[sys.argv[2]]()
"""


@dataclass
class Store:
    """Hold a profile's file, and the folder below which all that runs of it write lies."""

    file: Path
    folder: Path
    roots: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a run."""
        found = {"RESULTS_ROOT": self.folder / "results", "FIGURES_ROOT": self.folder / "figures"}
        return os.environ | {key: str(value) for key, value in found.items()} | self.roots

    @property
    def settings(self) -> Profile:
        """Return the profile."""
        return profile.load(str(self.file))

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start python in a session of its own, which can be killed as a whole."""
        return subprocess.Popen(
            [sys.executable, *command], env=self.environment, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *command: str) -> tuple[int, str]:
        """Run python to its end; return its exit status and what it said."""
        running = self.start(*command)
        said, _ = running.communicate()
        return running.returncode, said

    def phase(self, name: str) -> tuple[int, str]:
        """Run a phase to its end."""
        return self.run("-c", PHASE, str(self.file), name)

    def cell(self, phase: str) -> Cell:
        """Name the cell of a phase."""
        return {
            "pretrain": Cell(self.file.stem, "pretrain", 1),
            "intermediate": Cell(self.file.stem, "intermediate", 1, "ud_parsing"),
            "transfer": Cell(self.file.stem, "transfer", 1, "ud_parsing", "udpos"),
        }[phase]

    def folder_of(self, cell: Cell) -> Path:
        """Return where a finished cell lies."""
        return self.folder / "results" / cell.profile / cell.key

    def contents(self, cell: Cell) -> dict[str, Any]:
        """Return a finished cell's tables, and its weights to the byte."""
        folder = self.folder_of(cell)
        assert (folder / "run.json").is_file(), cell
        tables = {file.name: pd.read_parquet(file) for file in folder.glob("*.parquet")}
        weights = {
            str(file.relative_to(folder)): file.read_bytes()
            for file in folder.rglob("*.safetensors")
        }
        return tables | weights

    def others(self, folder: Path) -> "Store":
        """Return a store of the same profile elsewhere, over the same data."""
        return Store(self.file, folder, self.roots)


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    if first.keys() != second.keys():
        return False
    return all(
        value.equals(second[name]) if isinstance(value, pd.DataFrame) else value == second[name]
        for name, value in first.items()
    )


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, micro_content: Callable[[], Any]
) -> tuple[Store, dict[str, float]]:
    """Run every phase of a small profile undisturbed; return it, and the seconds each took."""
    folder = tmp_path_factory.mktemp("whole")
    content = micro_content()
    content["encoder"] |= {"precision": "float32"}
    content["pretraining"] |= {"tokens": 40_000, "checkpoint_updates": 15}
    content["intermediate"] |= {"updates": 120}
    content["targets"] = {"udpos": {"updates": 120, "batch_tokens": 128}, "tatoeba": {}}
    names = ("none", "random", "ud_parsing", "stsb")
    content["conditions"] = {name: content["conditions"][name] for name in names}
    content["workflow"] = {"kernel_per": "seed", "checkpoint_minutes": INTERVAL / 60}
    file = folder / "faults.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    store = Store(file, folder, {"WORLDS_ROOT": str(folder / "world")})
    seconds = {}
    for phase in PHASES:
        running = store.start("-c", PHASE, str(file), phase)
        assert running.stdout is not None
        begins = next(time.monotonic() for line in running.stdout if line == "begins\n")
        said = running.communicate()[0]
        assert running.returncode == 0, said
        seconds[phase] = time.monotonic() - begins
    return store, seconds


def _killed(store: Store, phase: str, after: float) -> list[tuple[int, float]] | None:
    """Kill a phase so long after its beginning; return its updates and their times.

    None where it had ended by then.
    """
    running = store.start("-c", PHASE, str(store.file), phase)
    assert running.stdout is not None
    for line in running.stdout:
        if line == "begins\n":
            break
    try:
        running.wait(after)
        return None
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
    return _updates(running.communicate()[0])


def _updates(said: str) -> list[tuple[int, float]]:
    """Return the updates that a phase said, and their times; a kill may cut off the last."""
    found = [line.split() for line in said.splitlines() if line.startswith("update ")]
    whole = [words for words in found if len(words) == 3 and words[2][-1:].isdigit()]
    return [(int(number), float(when)) for _, number, when in whole]


def _kill_all(running: subprocess.Popen[str]) -> None:
    """Kill a process and all that it has started: kernels too, which have their own sessions."""
    for process in [*psutil.Process(running.pid).children(recursive=True), running]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    running.communicate()


def _newest(work: Path) -> int:
    """Return the update of the newest checkpoint that was written to its end; 0 for none."""
    found = work.rglob(f"checkpoint-*/{STATE}")
    return max((int(file.parent.name.split("-")[1]) for file in found), default=0)


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_that_is_killed_at_any_moment_goes_on_to_the_same_weights_and_scores(
    whole: tuple[Store, dict[str, float]], phase: str, tmp_path: Path, record: Any
) -> None:
    reference, seconds = whole
    wanted, moments = reference.contents(reference.cell(phase)), random.Random(SHARD)
    killed, most = 0, 0
    for attempt in itertools.count():
        store = reference.others(tmp_path / str(attempt))
        # What a phase needs is there; killed again and again, each time further on.
        for earlier in PHASES[: PHASES.index(phase)]:
            place = store.folder_of(store.cell(earlier))
            shutil.copytree(reference.folder_of(reference.cell(earlier)), place)
        folder = store.folder_of(store.cell(phase))
        work = store.folder / "results" / store.file.stem / ".work"
        went_on = 0
        while killed < KILLS:
            updates = _killed(store, phase, moments.uniform(0, seconds[phase]))
            if updates is None:
                break
            killed += 1
            # What is trained again is what was behind the checkpoint, and nothing else.
            assert not updates or updates[0][0] == went_on + 1
            if (folder / "run.json").is_file():
                assert same(store.contents(store.cell(phase)), wanted)
                break
            went_on = max(went_on, _newest(work))
            lost = [when for number, when in updates if number > went_on]
            most = max(most, len(lost))
            if phase == "pretrain":
                assert len(lost) <= 15
            else:  # an update over the interval is saved, unless the kill came in between
                start = next((when for number, when in updates if number == went_on), None)
                since = start if start is not None else (lost or [0.0])[0]
                assert sum(when - since > INTERVAL + SLACK for when in lost) <= 1
        status, said = store.phase(phase)
        assert status == 0, said
        assert same(store.contents(store.cell(phase)), wanted)
        left = _updates(said)
        assert not left or left[0][0] == went_on + 1
        assert not (went_on and left) or f"goes on from checkpoint-{went_on}" in said
        if killed >= KILLS:
            break
    record(f"kill -9 in phase {PHASES.index(phase) + 1}", killed,
           f"nothing; at most {most} updates were trained again")  # fmt: skip


def _grid(store: Store) -> dict[str, dict[str, Any]]:
    return {cell.key: store.contents(cell) for cell in workflow.cells(store.settings)}


@pytest.fixture(scope="module")
def grid(whole: tuple[Store, dict[str, float]]) -> tuple[Store, float]:
    """Run the whole grid undisturbed; return the seconds it took."""
    store = whole[0]
    started = time.monotonic()
    status, said = store.run("-m", "lib.workflow", str(store.file))
    assert status == 0, said
    return store, time.monotonic() - started


@pytest.mark.faults
def test_a_workflow_that_is_killed_at_any_moment_is_finished_by_the_next_call(
    grid: tuple[Store, float], tmp_path: Path, record: Any
) -> None:
    reference, seconds = grid
    wanted, moments = _grid(reference), random.Random(SHARD)
    killed = 0
    for attempt in itertools.count():
        store = reference.others(tmp_path / str(attempt))
        before: dict[Path, int] = {}
        while killed < KILLS:
            running = store.start("-m", "lib.workflow", str(store.file))
            try:
                running.communicate(timeout=moments.uniform(1, seconds / 2))
                break
            except subprocess.TimeoutExpired:
                _kill_all(running)
            killed += 1
            finished = {
                file: file.stat().st_mtime_ns
                for cell in workflow.cells(store.settings)
                if (file := store.folder_of(cell) / "run.json").is_file()
            }
            assert before.items() <= finished.items(), "a finished cell was made again"
            before = finished
        status, said = store.run("-m", "lib.workflow", str(store.file))
        assert status == 0, said
        assert all(file.stat().st_mtime_ns == when for file, when in before.items())
        made = _grid(store)
        assert made.keys() == wanted.keys()
        assert all(same(made[key], wanted[key]) for key in wanted)
        if killed >= KILLS:
            break
    record("kill -9 of the workflow and all it started", killed)


def _kernel(running: subprocess.Popen[str]) -> psutil.Process:
    """Wait until a call of the workflow has a kernel at work."""
    while running.poll() is None:
        time.sleep(0.2)
        for child in psutil.Process(running.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "ipykernel_launcher" in " ".join(child.cmdline()):
                    return child
    raise AssertionError(running.communicate()[0])


@pytest.mark.parametrize("which", ["the call of the workflow", _rare("Snakemake")])
def test_what_a_killed_process_started_ends_with_it_and_the_next_call_finishes(
    whole: tuple[Store, dict[str, float]], tmp_path: Path, which: str, record: Any
) -> None:
    reference, store = whole[0], whole[0].others(tmp_path)
    command = ("-m", "lib.workflow", str(store.file), "--until", "pretrain")
    running = store.start(*command)
    kernel = _kernel(running)
    started = psutil.Process(running.pid).children(recursive=True)
    (snakemake,) = psutil.Process(running.pid).children()
    time.sleep(1)
    (running if which != "Snakemake" else snakemake).kill()
    status, said = store.run(*command)  # at once: nothing is cleared up by hand
    assert status == 0, said
    assert same(store.contents(store.cell("pretrain")), reference.contents(store.cell("pretrain")))
    running.communicate()
    assert not alive([*started, kernel])
    record(f"kill -9 of {which} alone")


def test_of_two_calls_of_the_workflow_one_is_refused_and_says_whom_it_would_disturb(
    whole: tuple[Store, dict[str, float]], tmp_path: Path, record: Any
) -> None:
    reference, store = whole[0], whole[0].others(tmp_path)
    command = ("-m", "lib.workflow", str(store.file), "--until", "pretrain")
    two = [store.start(*command) for _ in range(2)]
    said = {running.pid: running.communicate()[0] for running in two}
    refused, made = sorted(two, key=lambda running: running.returncode, reverse=True)
    assert (refused.returncode, made.returncode) == (2, 0), said
    (line,) = [line for line in said[refused.pid].splitlines() if line.startswith("error: ")]
    assert "another run is at work" in line and f"(process {made.pid} on " in line
    assert same(store.contents(store.cell("pretrain")), reference.contents(store.cell("pretrain")))
    log = store.folder_of(store.cell("pretrain")) / "log.txt"
    assert log.read_text(encoding="utf-8").count(" starts on ") == 1
    record("two calls of the workflow at once")


@pytest.mark.faults
def test_a_kernel_that_dies_is_a_line_and_the_next_call_finishes(
    whole: tuple[Store, dict[str, float]], tmp_path: Path, record: Any
) -> None:
    reference = whole[0]
    store = reference.others(tmp_path)
    running = store.start("-m", "lib.workflow", str(store.file))
    kernel = _kernel(running)
    time.sleep(1)
    kernel.kill()
    said = running.communicate()[0]
    assert running.returncode != 0
    assert any("failed: " in line and "pretrain" in line for line in said.splitlines()), said
    status, said = store.phase("pretrain")
    assert status == 0, said
    assert same(store.contents(store.cell("pretrain")), reference.contents(store.cell("pretrain")))
    record("kill -9 of a kernel")


@pytest.mark.faults
def test_a_job_that_fails_after_its_cell_is_finished_keeps_it(
    whole: tuple[Store, dict[str, float]], tmp_path: Path, record: Any
) -> None:
    reference, store = whole[0], whole[0].others(tmp_path)
    running = store.start("-m", "lib.workflow", str(store.file))
    made = store.folder_of(store.cell("pretrain")) / "run.json"
    while not made.is_file() and running.poll() is None:
        time.sleep(0.01)
    for child in psutil.Process(running.pid).children(recursive=True):
        if "ipykernel_launcher" in " ".join(child.cmdline()):
            child.kill()
    said = running.communicate()[0]
    assert running.returncode != 0 and "failed: " in said, said
    assert same(store.contents(store.cell("pretrain")), reference.contents(store.cell("pretrain")))
    before = made.stat().st_mtime_ns
    status, said = store.run("-m", "lib.workflow", str(store.file), "--until", "pretrain")
    assert status == 0, said
    assert made.stat().st_mtime_ns == before
    record("a kernel that dies after its cell is finished")


@pytest.mark.faults
@pytest.mark.parametrize("kilobytes", [150])
def test_a_disk_that_is_full_under_the_workflow_is_one_line_and_the_next_call_goes_on(
    whole: tuple[Store, dict[str, float]], kilobytes: int, small_disk: Any, record: Any
) -> None:
    reference = whole[0]
    store = reference.others(small_disk(f"size={kilobytes}k"))
    command = ("-m", "lib.workflow", str(store.file), "--until", "pretrain")
    status, said = store.run(*command)
    assert status != 0 and "no space left" in said.lower()
    told = [line for line in said.splitlines() if "Error" in line or "Exception" in line]
    assert all(line.startswith(("failed: ", "error: ")) for line in told), said
    small_disk("size=64m")
    status, said = store.run(*command)
    assert status == 0, said
    assert same(store.contents(store.cell("pretrain")), reference.contents(store.cell("pretrain")))
    record("a full disk under the workflow")


def test_two_calls_for_one_cell_make_it_once(
    whole: tuple[Store, dict[str, float]], tmp_path: Path, record: Any
) -> None:
    reference, store = whole[0], whole[0].others(tmp_path)
    # Each needs the encoder of phase 1, which neither finds.
    two = [store.start("-c", PHASE, str(store.file), "intermediate") for _ in range(2)]
    said = [running.communicate()[0] for running in two]
    assert [running.returncode for running in two] == [0, 0], said
    trained = [text.count("update 1 ") for text in said]
    assert sorted(trained) == [0, 2], said  # phases 1 and 2, by one of them
    cell = store.cell("intermediate")
    assert same(store.contents(cell), reference.contents(cell))
    record("two calls for one cell")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return what mounts, or mounts again, a disk of so many bytes; skip where none may."""
    place = tmp_path / "disk"
    place.mkdir()
    made = False

    def mount(options: str) -> Path:
        nonlocal made
        options = f"remount,{options}" if made else options
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and not made:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
        made = True
        return place

    try:
        yield mount
    finally:
        if made:
            subprocess.run(["umount", "-l", str(place)], check=True)


def _one_line(said: str) -> str:
    (line,) = [line for line in said.splitlines() if line.startswith("lib.errors.InputError: ")]
    return line


@pytest.mark.faults
@pytest.mark.parametrize("kilobytes", [40, 120, 250, 400])
def test_a_full_disk_is_one_line_and_the_next_call_goes_on(
    whole: tuple[Store, dict[str, float]], kilobytes: int, small_disk: Any, record: Any
) -> None:
    reference = whole[0]
    store = reference.others(small_disk(f"size={kilobytes}k"))
    refused = 0
    for phase in PHASES:
        status, said = store.phase(phase)
        if status:
            assert "no space left on the disk" in _one_line(said)
            assert not (store.folder_of(store.cell(phase)) / "run.json").exists()
            refused += 1
            break
    assert refused, "the disk was large enough: nothing was tried"
    small_disk("size=64m")
    for phase in PHASES:
        status, said = store.phase(phase)
        assert status == 0, said
        assert same(store.contents(store.cell(phase)), reference.contents(store.cell(phase)))
    record("a full disk")


@pytest.mark.faults
@pytest.mark.parametrize("phase", PHASES)
def test_results_that_are_read_only_are_one_line_and_stay(
    whole: tuple[Store, dict[str, float]], phase: str, small_disk: Any, record: Any
) -> None:
    reference = whole[0]
    store = reference.others(small_disk("size=64m"))
    for earlier in PHASES[: PHASES.index(phase)]:
        place = store.folder_of(store.cell(earlier))
        shutil.copytree(reference.folder_of(reference.cell(earlier)), place)
    before = {file: file.read_bytes() for file in store.folder.rglob("*") if file.is_file()}
    small_disk("ro")
    status, said = store.phase(phase)
    assert status != 0 and "the disk is read-only" in _one_line(said)
    assert before == {f: f.read_bytes() for f in store.folder.rglob("*") if f.is_file()}
    small_disk("rw")
    assert store.phase(phase)[0] == 0
    assert same(store.contents(store.cell(phase)), reference.contents(store.cell(phase)))
    record("results on a read-only disk")


@pytest.mark.faults
def test_a_cache_that_cannot_be_written_is_one_line_or_does_without(
    whole: tuple[Store, dict[str, float]], small_disk: Any, tmp_path: Path, record: Any
) -> None:
    reference = whole[0]
    store = reference.others(tmp_path / "store")
    place = small_disk("size=1m")
    store.roots |= {"HF_DATASETS_CACHE": str(place / "datasets"), "HF_HOME": str(place / "hub")}
    small_disk("ro")
    status, said = store.phase("pretrain")
    if status:
        assert str(place) in _one_line(said) or "read-only" in _one_line(said)
    else:
        cell = store.cell("pretrain")
        assert same(store.contents(cell), reference.contents(cell))
    record("a cache that cannot be written")


@pytest.mark.faults
@pytest.mark.parametrize("days", [-20_000, 1])
def test_a_clock_that_was_wrong_makes_nothing_again(
    grid: tuple[Store, float], days: int, record: Any
) -> None:
    store = grid[0]
    shifted = time.time() + 86_400 * days
    for file in store.folder.rglob("run.json"):
        os.utime(file, (shifted, shifted))
    before = {file: file.read_bytes() for file in store.folder.rglob("run.json")}
    status, said = store.run("-m", "lib.workflow", str(store.file))
    assert status == 0 and "Nothing to be done" in said, said
    assert before == {file: file.read_bytes() for file in store.folder.rglob("run.json")}
    record("a clock that was days or years off")


@pytest.mark.parametrize("other", ["parameters", _rare("version")])
def test_a_checkpoint_of_another_training_is_not_gone_on_from(
    whole: tuple[Store, dict[str, float]], tmp_path: Path, record: Any, other: str
) -> None:
    phase = PHASE
    reference, store = whole[0], whole[0].others(tmp_path)
    changed = yaml.safe_load(store.file.read_text(encoding="utf-8"))
    if other == "parameters":
        changed["pretraining"]["learning_rate"] = 1e-4
    else:
        phase = "from lib import results\nresults._packages = lambda: {'torch': '1'}\n" + PHASE
    before = Store(tmp_path / store.file.name, tmp_path, store.roots)
    before.file.write_text(yaml.safe_dump(changed, sort_keys=False), encoding="utf-8")
    running = before.start("-c", phase, str(before.file), "pretrain")
    while not _newest(tmp_path / "results") and running.poll() is None:
        time.sleep(0.005)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert _newest(tmp_path / "results")
    assert not (before.folder_of(before.cell("pretrain")) / "run.json").exists()
    status, said = store.phase("pretrain")
    assert status == 0 and "goes on" not in said, said
    assert same(store.contents(store.cell("pretrain")), reference.contents(store.cell("pretrain")))
    record("a checkpoint of other parameters, or of another version of a package")


def test_a_table_that_is_cut_off_is_named(
    whole: tuple[Store, dict[str, float]], tmp_path: Path, record: Any
) -> None:
    store = whole[0].others(tmp_path)
    shutil.copytree(whole[0].folder / "results", tmp_path / "results")
    file = store.folder_of(store.cell("transfer")) / "scores.parquet"
    file.write_bytes(file.read_bytes()[:200])
    asked = (
        "from lib import profile, results; results.collect(profile.load(__import__('sys').argv[1]))"
    )
    status, said = store.run("-c", asked, str(store.file))
    assert status != 0 and str(file) in _one_line(said)
    record("a table of scores, cut off")
