"""Several processes train the encoder that one would, on a processor as on GPUs."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from lib import batches, distributed, paths, pretraining, profile, results
from lib.errors import InputError, Stopped
from lib.heads import number_of_items
from lib.profile import Profile

SPECIAL = batches.SpecialTokens(start=0, end=2, pad=1, mask=49, every=(0, 1, 2, 3, 49))


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory, micro_content: Callable[[], Any]) -> Any:
    """Return a loader of a small profile under another name, dropout off: orders of sums differ."""

    def one(name: str, dropout: float = 0.0, **pretraining: Any) -> Profile:
        content = micro_content()
        content["encoder"] |= {"dropout": dropout, "precision": "float32"}
        content["pretraining"] |= pretraining
        file = tmp_path_factory.mktemp("profiles") / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return profile.load(str(file))

    return one


def weights(settings: Profile) -> dict[str, torch.Tensor]:
    folder = pretraining.cell(settings, 1).folder
    return load_file(folder / "encoder" / "model.safetensors")


def test_two_processes_train_the_encoder_that_one_does(load: Any) -> None:
    one = pretraining.run(load("alone"), 1)
    two = pretraining.run(load("together"), 1, processes=2)
    assert (one.facts["processes"], two.facts["processes"]) == (1, 2)
    for name in ("tokens", "updates", "passes", "text_tokens"):
        assert one.facts[name] == two.facts[name]
    for column in ("step", "loss"):
        assert two.log[column].tolist() == pytest.approx(one.log[column].tolist(), rel=1e-4)
    alone, together = (weights(run_of) for run_of in (load("alone"), load("together")))
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, rtol=0, atol=2e-3, msg=name)


@pytest.mark.parametrize(("there", "processes"), [(0, "here"), (1, "here"), (2, 2), (3, 3), (8, 3)])
def test_phase_1_takes_the_gpus_that_there_are_up_to_those_that_the_profile_asks_for(
    load: Any, monkeypatch: pytest.MonkeyPatch, there: int, processes: int | str
) -> None:
    settings = load("gpus")
    three = settings.workflow.resources.pretrain.model_copy(update={"gpus": 3})
    resources = settings.workflow.resources.model_copy(update={"pretrain": three})
    how = settings.workflow.model_copy(update={"resources": resources})
    settings = settings.model_copy(update={"workflow": how})
    here = pretraining.cell(settings, 1)
    here.work.mkdir(parents=True, exist_ok=True)
    made: list[int | str] = []

    def made_here(*_: Any) -> results.Run:
        made.append("here")
        return results.Run(here, {})

    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.setattr(distributed, "launch", lambda module, told, number: made.append(number))
    monkeypatch.setattr(pretraining, "_make_here", made_here)
    monkeypatch.setattr(pretraining, "read", lambda *_: results.Run(here, {}))
    pretraining._make(settings, 1, processes=0)
    assert made == [processes]


@pytest.mark.faults
def test_sigterm_reaches_every_process_and_the_next_call_goes_on(load: Any, record: Any) -> None:
    long = {"tokens": 20_000, "checkpoint_updates": 20}
    whole, ended = load("whole", 0.1, **long), load("ended", 0.1, **long)
    pretraining.run(whole, 1, processes=2)
    work = pretraining.cell(ended, 1).work

    def terminate() -> None:
        while not list(work.rglob("checkpoint-*/trainer_state.json")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    with pytest.raises(Stopped, match="ended by SIGTERM at update"):
        pretraining.run(ended, 1, processes=2)
    assert list(work.rglob("checkpoint-*/trainer_state.json"))
    pretraining.run(ended, 1, processes=2)
    first, second = weights(whole), weights(ended)
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name
    record("SIGTERM to a training in several processes")


def test_what_a_process_refuses_is_one_line(load: Any) -> None:
    with pytest.raises(InputError, match="8 blocks an update cannot be dealt out evenly to 3") as e:
        pretraining.run(load("uneven"), 1, processes=3)
    assert "\n" not in str(e.value)
    assert not (paths.results("uneven") / "pretrain").exists()


@pytest.mark.parametrize("at_once", [0, 24, 100])
def test_processes_read_every_row_once_and_count_by_its_items(at_once: int) -> None:
    blocks = torch.randint(4, 49, (40, 12), generator=torch.Generator().manual_seed(0))
    plan = [list(range(i, i + 8)) for i in range(5)]
    data = batches.MaskedBlocks(blocks, plan, SPECIAL, 50, 0.3, 5, at_once)
    shared = distributed.Shared(data, 2)
    assert len(shared) == 10
    for batch in range(5):
        (whole,) = data.cut(batch, 0)
        items = [shared[2 * batch + place] for place in (0, 1)]
        parts = [part for item in items for part in item["parts"]]
        assert len(items[0]["parts"]) == len(items[1]["parts"])
        for key in ("input_ids", "labels"):
            assert torch.equal(torch.cat([part[key] for part in parts]), whole[key])
        if at_once:
            assert max(part["input_ids"].numel() for part in parts) <= at_once
        shares = [number_of_items(part) / item["items"] for item in items for part in item["parts"]]
        assert sum(shares) / 2 == pytest.approx(1)  # gradients are averaged over processes


def test_processes_end_with_the_one_that_started_them_however_that_went(tmp_path: Path) -> None:
    (tmp_path / "sleeping.py").write_text(
        "import time\nfrom lib.distributed import work\n"
        "def wait():\n    print('ready', flush=True)\n    time.sleep(600)\nwork(wait)\n"
    )
    started = "from lib.distributed import launch; launch('sleeping', ['here'], 2)"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{paths.REPOSITORY}"}
    running = subprocess.Popen([sys.executable, "-c", started], env=environment,
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert running.stdout is not None
    assert [running.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    workers = psutil.Process(running.pid).children()
    assert len(workers) == 2
    running.kill()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert len(gone) == 2 and not alive


def test_one_that_fails_takes_the_others_with_it(tmp_path: Path) -> None:
    (tmp_path / "uneven.py").write_text(
        "import os, time\nfrom lib.errors import InputError\n"
        "if os.environ['RANK'] == '1':\n    raise InputError('no place')\ntime.sleep(600)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        patch.setattr(distributed, "PATIENCE", 1)
        with pytest.raises(InputError, match="no place"):
            distributed.launch("uneven", [], 2)


def test_a_crash_of_a_process_is_said_and_leaves_no_result(load: Any, tmp_path: Path) -> None:
    settings = load("crash")
    file = tmp_path / "profile.json"
    file.write_text("{", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"lib\.pretraining ended with status 1"):
        distributed.launch("lib.pretraining", [str(file), "1"], 2)
    assert not pretraining.cell(settings, 1).run_file.exists()
