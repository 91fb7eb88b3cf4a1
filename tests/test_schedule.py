"""A schedule is of the kernels that Snakemake runs, keeps its bounds, and comes near real runs."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lib import calls, paths, plan, profile, schedule, workflow
from lib.profile import Profile
from lib.results import Cell
from lib.schedule import Kernel

MEASURED = json.loads((Path(__file__).parent / "measured_schedule.json").read_text())


@pytest.fixture
def grid_of(
    tmp_path: Path, micro_content: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Profile]:
    """Return a loader of the micro profile with two seeds, of a kernel per what is named."""
    for name in ("results", "figures"):
        monkeypatch.setenv(f"{name}_root".upper(), str(tmp_path / name))

    def one(kernel_per: str, **changes: Any) -> Profile:
        content = micro_content() | {
            "seeds": {1: 1, 2: 2, 3: 1}, "workflow": {"kernel_per": kernel_per},
        } | changes  # fmt: skip
        content["conditions"] = content["conditions"] | {
            "stsb-bi": {"task": "stsb", "pair": "bi", "seeds": [1, 3]}
        }
        file = tmp_path / "grid.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return profile.load(str(file))

    return one


def graph(dot: str) -> dict[str, set[str]]:
    """Read Snakemake's graph of jobs: the key of each, and of those that it waits for.

    A label leaves out what the job that needs it has named already.
    """
    labels = dict(re.findall(r'^\s*(\d+)\[label = "([^"]+)"', dot, re.M))
    before: dict[str, list[str]] = {}
    for first, second in re.findall(r"^\s*(\d+) -> (\d+)", dot, re.M):
        before.setdefault(second, []).append(first)

    def facts_of(number: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for other in before.get(number, []):
            found |= facts_of(other)
        return found | dict(part.split(": ") for part in labels[number].split("\\n")[1:])

    def key(number: str) -> str:
        rule, facts = labels[number].split("\\n")[0], facts_of(number)
        names = {"transfer": ("condition", "target"), "intermediate": ("condition",)}
        if rule == "analysis":
            return facts["analysis"]
        return "/".join([rule, *(facts[name] for name in names.get(rule, ())),
                         f"seed={facts['seed']}"])  # fmt: skip

    keys = {number: key(number) for number, label in labels.items() if label != "all"}
    return {name: {keys[other] for other in before.get(number, [])}
            for number, name in keys.items()}  # fmt: skip


@pytest.mark.parametrize("kernel_per", ["target", "condition", "seed"])
def test_kernels_and_what_they_wait_for_are_those_that_snakemake_would_run(
    grid_of: Callable[..., Profile], kernel_per: str, tmp_path: Path
) -> None:
    settings = grid_of(kernel_per)
    command = workflow.command(settings, str(tmp_path / "grid.yaml"), "2", ["--dag", "dot"])
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=paths.REPOSITORY)
    jobs = graph(done.stdout)
    found = schedule.kernels(settings)
    assert len(jobs) > 6 and {kernel.key: set(kernel.after) for kernel in found} == jobs
    made = [cell for kernel in found for cell in kernel.cells]
    assert len(made) == len(set(made)) and set(made) == set(workflow.cells(settings))
    assert [k.key for k in found if not k.devices] == sorted(k for k in jobs if "analysis" in k)


def kernels(**after: str) -> list[Kernel]:
    return [Kernel(key, (), tuple(names.split())) for key, names in after.items()]


def test_a_small_grid_is_scheduled_as_by_hand() -> None:
    grid = [*kernels(a="", b="a", c="a", d="b c"), Kernel("e", (), ("d",), devices=0)]
    seconds = {"a": 2.0, "b": 3.0, "c": 4.0, "d": 1.0, "e": 5.0}
    two = schedule.simulate(grid, seconds, 2)
    assert two.starts == {"a": 0, "b": 2, "c": 2, "d": 6, "e": 7} and two.wall == 12
    assert two.busy == 10 and two.utilisation == pytest.approx(10 / 24)
    assert schedule.simulate(grid, seconds, 1).wall == 15
    assert schedule.critical_path(grid, seconds) == ["a", "c", "d", "e"]
    # What is done already is waited for no longer.
    rest = {key: seconds[key] for key in ("c", "d")}
    assert schedule.simulate(grid, rest, 2).starts == {"c": 0, "d": 4}


def test_analyses_need_a_core_and_no_device() -> None:
    grid = [Kernel(name, (), (), devices=0) for name in "xyz"] + kernels(a="", b="")
    seconds = dict.fromkeys("xyzab", 1.0)
    assert schedule.simulate(grid, seconds, 1).wall == 2
    assert schedule.simulate(grid, seconds, 1, cores=1).wall == 5
    assert schedule.simulate(grid, seconds, 2, cores=2).wall == 3


def test_a_kernel_of_several_devices_waits_for_all_of_them() -> None:
    grid = [Kernel("a"), Kernel("wide", (), (), devices=2), Kernel("b"), Kernel("c")]
    seconds = {"a": 1.0, "wide": 4.0, "b": 2.0, "c": 1.0}
    made = schedule.simulate(grid, seconds, 2)
    assert made.starts == {"a": 0, "b": 0, "c": 1, "wide": 2} and made.busy == 12
    assert schedule.simulate(grid, seconds, 1).wall == 8  # no more than there are


@pytest.mark.parametrize("seed", range(20))
def test_every_schedule_keeps_grahams_bounds(seed: int) -> None:
    # Graham 1969: work / m and the critical path L from below, work / m + (1 - 1/m) L from above.
    rng = np.random.default_rng(seed)
    grid, seconds = [], {}
    for place in range(30):
        after = [f"k{i}" for i in range(place) if rng.random() < 0.1]
        grid.append(Kernel(f"k{place}", (), tuple(after)))
        seconds[f"k{place}"] = float(rng.exponential(10))
    work = sum(seconds.values())
    longest = sum(seconds[key] for key in schedule.critical_path(grid, seconds))
    assert schedule.simulate(grid, seconds, 30).wall == pytest.approx(longest)
    for devices in (1, 2, 3, 7):
        made = schedule.simulate(grid, seconds, devices, seed=seed)
        above = work / devices + (1 - 1 / devices) * longest
        assert max(work / devices, longest) - 1e-9 <= made.wall <= above + 1e-9
        for kernel in grid:
            assert all(made.ends[name] <= made.starts[kernel.key] for name in kernel.after)
        for now in made.starts.values():
            running = [k for k in made.starts if made.starts[k] <= now < made.ends[k]]
            assert len(running) <= devices


@pytest.mark.parametrize("run", MEASURED["runs"], ids=lambda run: f"{run['at_once']} at once")
def test_a_real_run_took_what_is_simulated_from_its_seconds(run: dict[str, Any]) -> None:
    grid = [Kernel(key, (), tuple(one["after"])) for key, one in run["kernels"].items()]
    seconds = {key: one["seconds"] for key, one in run["kernels"].items()}
    simulated = schedule.simulate(grid, seconds, run["at_once"], run["at_once"]).wall
    assert simulated == pytest.approx(run["took"], rel=0.1)


def record(cell: Cell, wanted: Any, seconds: float) -> None:
    cell.folder.mkdir(parents=True, exist_ok=True)
    facts = {"parameters": wanted, "parameters_hash": profile.digest(wanted), "seconds": seconds}
    cell.run_file.write_text(json.dumps(facts), encoding="utf-8")


def notebook(settings: Profile, key: str, start: float, end: float) -> None:
    file = paths.results(settings.name) / key / "notebook.ipynb"
    file.parent.mkdir(parents=True, exist_ok=True)
    times = {name: f"2026-11-26T10:{seconds // 60:02.0f}:{seconds % 60:02.0f}+00:00"
             for name, seconds in (("start_time", start), ("end_time", end))}  # fmt: skip
    file.write_text(json.dumps({"metadata": {"papermill": times}}))


def test_calls_of_the_journal_are_simulated_from_the_cells_that_they_made(
    grid_of: Callable[..., Profile],
) -> None:
    settings = grid_of("condition")
    cells = workflow.cells(settings)
    for cell, wanted in cells.items():
        record(cell, wanted, 2.0)
    # Five seconds with a cell of two, then an analysis of seven every eleven, four after the last.
    notebook(settings, "pretrain/seed=1", 0, 5)
    analyses = [kernel.key for kernel in schedule.kernels(settings) if not kernel.cells]
    for place, key in enumerate(analyses):
        notebook(settings, key, 9 + 11 * place, 16 + 11 * place)
    first = [cell.key for cell in cells if cell.phase == "pretrain"]
    again = first[:1]
    rest = [cell.key for cell in cells if cell.phase != "pretrain"]
    journal = [("a", first, 1), ("b", again, 1), ("c", rest, 1)]
    lines = [
        {"finished": name, "seconds": 100.0, "kernels_at_once": number, "cells": made}
        for name, made, number in journal
    ]
    file = paths.results(settings.name) / calls.JOURNAL
    file.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    again_call, last = schedule.compare(settings)  # of the first, a cell was made anew
    assert (again_call.finished, again_call.cells, again_call.simulated) == ("b", 1, 4 + 5.0)
    number = len([k for k in schedule.kernels(settings) if k.cells and "pretrain" not in k.key])
    beside = (4 + 3) * number + (4 + 7) * len(analyses)
    assert last.simulated == pytest.approx(2 * len(rest) + beside)


def test_a_grid_that_was_run_is_planned_from_its_own_seconds(
    grid_of: Callable[..., Profile], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = grid_of("target")
    file = str(tmp_path / "grid.yaml")
    assert plan.main([file, "--devices", "2"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "GPUS: profile 'grid' cannot be scheduled" in error
    for cell, wanted in workflow.cells(settings).items():
        record(cell, wanted, 3600.0)
    assert plan.main([file, "--devices", "2", "--price", "2"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    number = len(workflow.cells(settings))
    work = number * (3600 + schedule.START + schedule.BETWEEN) / 3600
    assert f"for the {work:,.1f} hours at work, at 2 an hour" in said
    assert f"{2 * work:,.2f} for the" in said and "as measured here" in said
    more = schedule.START + schedule.BETWEEN
    alone = 3 * (3600 + more) + schedule.ANALYSIS + schedule.BETWEEN
    assert f"critical {alone / 3600:.1f} h on any number of devices: pretrain/seed=" in said


def test_a_profile_that_never_ran_is_planned_from_operations(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("DATA_ROOT", "CCGBANK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    assert plan.main(["xtreme_base", "--devices", "4", "--price", "1.5"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    hours = float(re.search(r"time ([\d.]+) GPU hours", said)[1])  # type: ignore[index]
    wall = float(re.search(r"schedule ([\d.]+) h on 4 devices", said)[1])  # type: ignore[index]
    kernels = int(re.search(r"(\d+) kernels, one per target", said)[1])  # type: ignore[index]
    at_work = hours + (schedule.START + schedule.BETWEEN) * kernels / 3600
    assert wall >= at_work / 4 - 0.05 and wall == pytest.approx(at_work / 4, rel=0.1)
    cost = [float(n) for n in re.search(r"cost ([\d.]+) with.* end, ([\d.]+)", said).groups()]  # type: ignore[union-attr]
    assert cost[0] == pytest.approx(1.5 * 4 * wall, rel=0.01)
    assert cost[1] == pytest.approx(1.5 * at_work, rel=0.01)
    assert "checked" not in said


def test_what_no_schedule_can_be_made_of_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.main(["xtreme_base", "--devices", "-1"]) == 2
    assert plan.main(["xtreme_base", "--devices", "1", "--price", "-3"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
