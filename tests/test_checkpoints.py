"""A training that is ended, cut off or short of memory goes on to what it would have been."""

import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
from transformers import TrainerCallback

from lib import batches, encoder, evaluation, heads, training
from lib.errors import InputError, Stopped
from lib.profile import Encoder

SPECIAL = batches.SpecialTokens(start=0, end=2, pad=1, mask=49, every=(0, 1, 2, 3, 49))
SIZES = Encoder(layers=1, hidden_size=16, attention_heads=2, feed_forward_size=32, dropout=0.1)
UPDATES = 12
FILES = (
    "model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "log.json",
    "trainer_state.json",
)  # fmt: skip


def train(
    folder: Path, sizes: Encoder = SIZES, before: Callable[[Any], None] = lambda model: None,
    updates: int = UPDATES, log: list | None = None, **changes: float,
) -> dict[str, torch.Tensor]:  # fmt: skip
    training.use_threads(1)
    training.set_seed(1)
    model = heads.MaskedLanguageModel(encoder.new(sizes, 50))
    before(model)
    blocks = torch.randint(4, 49, (40, 12), generator=torch.Generator().manual_seed(0))
    plan = [[(i + k) % 40 for k in range(4)] for i in range(updates)]
    data = batches.MaskedBlocks(blocks, plan, SPECIAL, 50, 0.3, seed=5)
    settings: dict[str, Any] = {"learning_rate": 1e-2, "warmup_ratio": 0.1, "weight_decay": 0.01}
    found = training.train(model, data, folder, seed=5, what="small", **settings | changes)
    if log is not None:
        log += found
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(weight, second[name]) for name, weight in first.items())


class At(TrainerCallback):
    """Do something after an update."""

    def __init__(self, update: int, act: Callable[[], None]) -> None:
        self.update, self.act = update, act

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.update:
            self.act()


@pytest.fixture
def after_update(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Return what makes trainings do something after an update, before it is seen to."""

    def wanted(update: int, act: Callable[[], None]) -> None:
        at = At(update, act)
        monkeypatch.setattr(training._StopOnBadLoss, "on_step_end", at.on_step_end)

    return wanted


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("update", [1, 7, UPDATES - 1])
def test_sigterm_leaves_a_checkpoint_that_the_next_call_goes_on_from_to_the_bit(
    update: int,
    tmp_path: Path,
    after_update: Any,
    capsys: pytest.CaptureFixture[str],
    record: Any,
) -> None:
    whole = train(tmp_path / "whole")
    after_update(update, terminate)
    with pytest.raises(Stopped, match=f"SIGTERM at update {update} of {UPDATES}"):
        train(tmp_path / "ended")
    assert [path.name for path in (tmp_path / "ended").iterdir()] == [f"checkpoint-{update}"]
    after_update(0, terminate)
    assert same(train(tmp_path / "ended"), whole)
    assert f"goes on from checkpoint-{update}" in capsys.readouterr().err
    record("SIGTERM while a phase trains")


@pytest.mark.parametrize("update", [1, 75, 119])
def test_the_log_of_a_training_that_went_on_is_that_of_one_that_was_not_disturbed(
    update: int, tmp_path: Path, after_update: Any
) -> None:
    whole: list[dict[str, float]] = []
    train(tmp_path / "whole", updates=120, log=whole)
    assert [row["step"] for row in whole] == list(range(2, 121, 2))  # a row for two updates
    after_update(update, terminate)
    with pytest.raises(Stopped):
        train(tmp_path / "ended", updates=120)
    after_update(0, terminate)
    again: list[dict[str, float]] = []
    train(tmp_path / "ended", updates=120, log=again)
    assert again == whole


def test_sigterm_at_the_last_update_is_too_late_to_stop_anything(
    tmp_path: Path, after_update: Any
) -> None:
    whole = train(tmp_path / "whole")
    after_update(UPDATES, terminate)
    assert same(train(tmp_path / "ended"), whole)


def test_outside_a_training_sigterm_does_what_it_did_before(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    train(tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before


def test_checkpoints_are_left_by_the_clock(tmp_path: Path, after_update: Any) -> None:
    def kill() -> None:
        raise KeyboardInterrupt

    whole = train(tmp_path / "whole")
    after_update(7, kill)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", checkpoint_minutes=1e-9)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["checkpoint-6"]
    after_update(0, kill)
    assert same(train(tmp_path / "killed"), whole)


@pytest.mark.parametrize("damage", ["cut off", "empty", "missing"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_deleted_and_said(
    name: str,
    damage: str,
    tmp_path: Path,
    after_update: Any,
    capsys: pytest.CaptureFixture[str],
    record: Any,
) -> None:
    after_update(5, terminate)
    with pytest.raises(Stopped):
        train(tmp_path)
    after_update(0, terminate)
    file = tmp_path / "checkpoint-5" / name
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[: len(whole) // 2] if damage == "cut off" else b"")
    undisturbed = train(tmp_path / "other")
    assert same(train(tmp_path), undisturbed)
    assert "checkpoint-5 is not whole, so it is deleted" in capsys.readouterr().err
    record("a file of a checkpoint cut off, empty or missing", lost="that checkpoint")


class Marks:
    """Leave a mark as soon as it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_code_that_a_checkpoint_brings_is_never_run(
    name: str, tmp_path: Path, after_update: Any
) -> None:
    after_update(5, terminate)
    with pytest.raises(Stopped):
        train(tmp_path)
    after_update(0, terminate)
    file, mark = tmp_path / "checkpoint-5" / name, tmp_path / "mark"
    torch.save({"state": Marks(mark)}, file)
    with pytest.raises(pickle.UnpicklingError):
        train(tmp_path)
    assert not mark.exists()
    with ZipFile(file) as whole:
        (inside,) = [part for part in whole.namelist() if part.endswith("data.pkl")]
        pickle.loads(whole.read(inside))
    assert mark.exists(), "the mark would have been left"


def times(factor: float) -> Callable[[Any], None]:
    """Make a model whose third loss is so many times what it is."""
    calls: list[int] = []

    def wrap(model: torch.nn.Module) -> None:
        def change(module: Any, given: Any, named: Any, made: dict[str, Any]) -> dict[str, Any]:
            calls.append(1)
            return made | {"loss": made["loss"] * (factor if len(calls) == 3 else 1.0)}

        model.register_forward_hook(change, with_kwargs=True)

    return wrap


@pytest.mark.parametrize("factor", [1e12, 1e30])
def test_a_gradient_that_explodes_is_clipped_and_training_goes_on(
    factor: float, tmp_path: Path, record: Any
) -> None:
    whole: list = []
    train(tmp_path / "whole", updates=60, log=whole)
    log: list = []
    weights = train(tmp_path / "exploded", before=times(factor), updates=60, log=log)
    assert all(torch.isfinite(weight).all() for weight in weights.values())
    assert log[-1]["loss"] == pytest.approx(whole[-1]["loss"], rel=0.1)
    assert whole[-1]["loss"] < 0.95 * whole[0]["loss"]
    record("a gradient that explodes")


def test_a_loss_without_bound_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="loss") as error:
        train(tmp_path, before=times(float("inf")), updates=60)
    assert "\n" not in str(error.value)


OF_CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
OF_CUBLAS = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")


def short_of_memory(tokens: int, error: Exception = OF_CUDA) -> Callable[[Any], None]:
    """Make a model that runs out of memory on more than so many tokens, after some of the work."""

    def wrap(model: torch.nn.Module) -> None:
        def refuse(module: Any, given: Any, named: dict[str, torch.Tensor], made: Any) -> None:
            if named["input_ids"].numel() > tokens:
                raise error

        model.register_forward_hook(refuse, with_kwargs=True)

    return wrap


def test_memory_that_does_not_hold_the_optimizer_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, closure: Any = None) -> None:
        raise OF_CUDA

    monkeypatch.setattr(torch.optim.AdamW, "step", refuse)
    with pytest.raises(InputError, match=r"outside of a batch .*2 GiB.*moments alone") as error:
        train(tmp_path)
    assert "\n" not in str(error.value)


def test_an_error_that_is_not_of_memory_is_raised_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="device-side assert"):
        train(tmp_path, SIZES, short_of_memory(30, RuntimeError("device-side assert triggered")))


@pytest.mark.parametrize("tokens", [30, 12])
def test_a_batch_too_large_for_the_memory_is_read_in_parts_with_the_same_gradient(
    tokens: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], record: Any
) -> None:
    sizes = SIZES.model_copy(update={"dropout": 0.0})
    whole = train(tmp_path / "whole", sizes)
    capsys.readouterr()
    error = {"error": OF_CUBLAS} if tokens == 30 else {}
    parts = train(tmp_path / "parts", sizes, short_of_memory(tokens, **error))
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, msg=name)
    said = capsys.readouterr().out.splitlines()
    limits = [24] if tokens == 30 else [24, 12]
    assert len(said) == len(limits)
    for line, limit in zip(said, limits, strict=True):
        assert line.startswith("update 1: out of memory") and f"{limit} tokens at once" in line
    record("out of memory in a training, feigned")


def test_an_example_too_large_for_the_memory_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"out of memory on a part of 12 tokens \(CUDA out"
    ) as error:
        train(tmp_path, SIZES, short_of_memory(11))
    assert "\n" not in str(error.value)


def test_weights_that_are_not_finite_are_never_a_checkpoint(
    tmp_path: Path, after_update: Any, record: Any
) -> None:
    spoilt: list[torch.nn.Module] = []

    def spoil() -> None:
        with torch.no_grad():
            next(spoilt[0].parameters()).fill_(float("nan"))
        terminate()

    after_update(3, spoil)
    with pytest.raises(InputError, match="not finite at update 3: lower learning_rate"):
        train(tmp_path, before=spoilt.append)
    assert not list(tmp_path.glob("checkpoint-*/trainer_state.json"))
    record("weights that are not finite")


def test_weights_that_are_not_finite_at_the_end_are_no_result(
    tmp_path: Path, after_update: Any
) -> None:
    spoilt: list[torch.nn.Module] = []

    def spoil() -> None:
        with torch.no_grad():
            next(spoilt[0].parameters()).fill_(float("nan"))

    after_update(119, spoil)
    with pytest.raises(InputError, match=r"not finite at update 119|loss is nan"):
        train(tmp_path, before=spoilt.append, updates=119)


def test_evaluation_halves_a_batch_too_large_for_the_memory(
    capsys: pytest.CaptureFixture[str], record: Any
) -> None:
    features = [{"input_ids": [[0, 5 + i, 6, 2][: 3 + i % 2]], "labels": 0} for i in range(9)]
    training.set_seed(1)
    head = heads.PairClassifier(encoder.new(SIZES, 50).base_model, 3, "mean").eval()
    tokenizer = type("Tokenizer", (), {"pad_token_id": 1})
    whole = evaluation.run(head, [features], tokenizer, 100)
    short_of_memory(8)(head)
    assert evaluation.run(head, [features], tokenizer, 100) == whole
    assert "out of memory on 9 examples" in capsys.readouterr().out
    record("out of memory in an evaluation, feigned")
    short_of_memory(2)(head)
    with pytest.raises(InputError, match="out of memory on one example"):
        evaluation.run(head, [features], tokenizer, 100)
