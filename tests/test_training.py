"""Training resumes exactly, and batches hold what they promise."""

import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from lib import batches, encoder, heads, training
from lib.errors import InputError, Stopped
from lib.profile import Encoder

SPECIAL = batches.SpecialTokens(start=0, end=2, pad=1, mask=49, every=(0, 1, 2, 3, 49))
SIZES = Encoder(layers=1, hidden_size=16, attention_heads=2, feed_forward_size=32, dropout=0.1)


def _train(folder: Path, seed: int = 5, **changes: float) -> torch.nn.Module:
    training.use_threads(1)
    training.set_seed(1)
    model = heads.MaskedLanguageModel(encoder.new(SIZES, 50))
    blocks = torch.randint(4, 49, (40, 12), generator=torch.Generator().manual_seed(0))
    plan = [[i, i + 1] for i in range(12)]
    data = batches.MaskedBlocks(blocks, plan, SPECIAL, 50, 0.3, seed)
    settings = {"learning_rate": 1e-2, "warmup_ratio": 0.1, "weight_decay": 0.01} | changes
    training.train(model, data, folder, seed=seed, what="test", checkpoint_updates=5, **settings)
    return model


@pytest.mark.parametrize("precision", ["single_precision", "half_precision"])
def test_training_that_was_interrupted_gives_the_same_weights_to_the_bit(
    precision: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(precision)
    whole = _train(tmp_path / "whole").state_dict()
    # What a run killed after update 5 leaves behind is its checkpoint 5 alone.
    first = tmp_path / "killed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training._Progress, "on_step_end", _die_after_7, raising=False)
        with pytest.raises(KeyboardInterrupt):
            _train(first)
    assert [path.name for path in first.glob("checkpoint-*")] == ["checkpoint-5"]
    resumed = _train(first).state_dict()
    for name, weight in whole.items():
        assert torch.equal(weight, resumed[name]), name


def _die_after_7(self: object, args: object, state: object, control: object, **_: object) -> None:
    if state.global_step == 7:  # type: ignore[attr-defined]
        raise KeyboardInterrupt


def test_batches_that_other_processes_make_train_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _train(tmp_path / "here").state_dict()
    workers = []
    made = training.TrainingArguments

    def recorded(**settings: Any) -> Any:
        settings |= {"dataloader_pin_memory": False}  # there may be no GPU to pin it for
        workers.append(settings["dataloader_num_workers"])
        return made(**settings)

    monkeypatch.setattr(training, "TrainingArguments", recorded)
    gpu = SimpleNamespace(device=lambda: torch.device("cuda"))
    monkeypatch.setattr(training, "encoder", gpu)
    overlapped = _train(tmp_path / "elsewhere").state_dict()
    assert workers == [1]
    for name, weight in whole.items():
        assert torch.equal(weight, overlapped[name]), name


def test_sigterm_to_the_process_that_makes_batches_too_leaves_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = training.TrainingArguments
    monkeypatch.setattr(training, "encoder", SimpleNamespace(device=lambda: torch.device("cuda")))
    monkeypatch.setattr(
        training, "TrainingArguments", lambda **how: made(**how | {"dataloader_pin_memory": False})
    )
    begun: list[int] = []

    def tell(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        begun.append(state.global_step)
        if begun[-1] == 3:  # from elsewhere, as a cluster does; the worker first
            worker = psutil.Process().children()[0].pid
            subprocess.run(["kill", "-TERM", str(worker), str(os.getpid())], check=True)
            time.sleep(0.5)

    monkeypatch.setattr(training._Progress, "on_step_end", tell, raising=False)
    with pytest.raises(Stopped):
        _train(tmp_path, checkpoint_minutes=10)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-3"]


def test_a_loss_that_is_not_a_number_is_one_clear_error(tmp_path: Path, record: Any) -> None:
    with pytest.raises(InputError, match="lower learning_rate"):
        _train(tmp_path, learning_rate=float("inf"))
    record("a loss that is not a number")


def test_a_batch_in_which_nothing_is_masked_changes_nothing(small_encoder: Any) -> None:
    model = heads.MaskedLanguageModel(small_encoder(mlm=True))
    blocks = torch.randint(4, 30, (2, 8))
    data = batches.MaskedBlocks(blocks, [[0, 1]], SPECIAL, 31, 1e-9, seed=1)
    loss = model(**data[0])["loss"]
    loss.backward()
    assert loss == 0
    assert all(not weight.grad.any() for weight in model.parameters() if weight.grad is not None)
