"""Train with Hugging Face's `Trainer`, configured: ready batches, resume, one log.

Measured on two cores, the tricks matter and the loop does not; Trainer brings resume and logging.
"""

import gc
import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from torch.utils.data import Dataset, SequentialSampler, get_worker_info
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from lib import checkpoints, distributed, encoder
from lib.checkpoints import LOG, Checkpoints
from lib.errors import InputError
from lib.heads import number_of_items, number_of_positions
from lib.profile import Budget
from lib.results import Cell


class _ReadyBatches(Trainer):
    """Feed batches in their planned order: one item of the dataset is one batch."""

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Any:
        return SequentialSampler(train_dataset or self.train_dataset)  # type: ignore[arg-type]

    at_once = 0  # tokens that the device's memory held, once it did not hold a batch

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # Trainer's own log forgets, when a training goes on, what was not yet logged.
        self.rows: list[dict[str, float]] = []
        self.losses: list[torch.Tensor] = []

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        loss = self._fitting_step(model, inputs, num_items_in_batch)
        self.losses.append(loss.detach().float())
        if self.args.world_size > 1:
            torch.distributed.all_reduce(self.losses[-1])
            self.losses[-1] /= self.args.world_size
        step = self.state.global_step + 1
        if step % self.args.logging_steps == 0:
            mean = torch.stack(self.losses).double().mean()
            rate = float(self._get_learning_rate())
            self.rows.append({"step": step, "loss": float(mean), "learning_rate": rate})
            self.losses.clear()
        return loss

    def _fitting_step(self, model: Any, inputs: Any, num_items_in_batch: Any) -> Any:
        parts, whole = inputs.get("parts", [inputs]), inputs.get("items", 0)
        if self.at_once and max(map(number_of_positions, parts)) > self.at_once:
            parts = self._cut()
        while True:
            try:
                return self._step(model, parts, whole, num_items_in_batch)
            except RuntimeError as error:
                if not encoder.is_out_of_memory(error):
                    raise
                largest = max(map(number_of_positions, parts))
                cause = str(error).partition("\n")[0]
            # Beyond the handler, whose traceback holds on to what the step has computed.
            if self.args.world_size > 1:
                raise InputError(f"out of memory on a part of {largest} tokens ({cause}): lower "
                                 "pretraining.tokens_at_once")  # fmt: skip
            model.zero_grad(set_to_none=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self.at_once, before = largest // 2, len(parts)
            parts = self._cut()
            if len(parts) == before:
                raise InputError(f"out of memory on a part of {largest} tokens ({cause}): lower "
                                 "tokens_at_once or max_sequence_length")  # fmt: skip
            print(f"update {self.state.global_step + 1}: out of memory on {largest} tokens; from "
                  f"here on batches are read {self.at_once} tokens at once, gradients as of the "
                  "whole", flush=True)  # fmt: skip

    def _cut(self) -> list[dict[str, Any]]:
        return self.train_dataset.cut(self.state.global_step, self.at_once)  # type: ignore[union-attr]

    def _step(
        self, model: Any, parts: list[dict[str, Any]], whole: float, number_in_batch: Any
    ) -> Any:
        if len(parts) == 1 and not whole:
            self.share = 1.0
            return super().training_step(model, parts[0], number_in_batch)
        # Each part counts by its items, so that the gradient is that of the whole batch.
        items = [number_of_items(part) for part in parts]
        loss = torch.zeros((), device=self.args.device)
        for part, number in zip(parts, items, strict=True):
            if number or self.args.world_size > 1:  # where the others wait for this one
                self.share = number / (whole or sum(items))
                loss += super().training_step(model, part, number_in_batch)
        return loss

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        loss = model(**inputs)["loss"]
        return loss * self.share if self.share else loss.nan_to_num() * 0

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # The stock method refuses a plain module whose tensors are tied, as an MLM head's are.
        folder = Path(output_dir or self.args.output_dir or "")
        folder.mkdir(parents=True, exist_ok=True)
        assert self.model is not None
        self.check_weights()
        save_model(self.model, str(folder / "model.safetensors"))
        logged = {"rows": self.rows, "losses": [float(loss) for loss in self.losses]}
        (folder / LOG).write_text(json.dumps(logged), encoding="utf-8")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        assert self.model is not None
        folder = Path(resume_from_checkpoint)
        load_model(self.model, str(folder / "model.safetensors"))
        logged = json.loads((folder / LOG).read_text(encoding="utf-8"))
        self.rows, losses = logged["rows"], logged["losses"]
        self.losses = [torch.tensor(loss, device=self.args.device) for loss in losses]

    def check_weights(self) -> None:
        """Raise InputError where a weight is not a number."""
        assert self.model is not None
        if not all(bool(weight.isfinite().all()) for weight in self.model.parameters()):
            raise InputError(f"weights are not finite at update {self.state.global_step}: lower "
                             f"learning_rate (now {self.args.learning_rate:g})")  # fmt: skip


def _ready(items: list[Any]) -> Any:
    """Return the one ready batch of a list of one."""
    if get_worker_info():  # a process of its own makes it, whose end would be that of the training
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return items[0]


class _StopOnBadLoss(TrainerCallback):
    """End a training whose loss is not a number, before it is saved as a result."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and not np.isfinite(logs.get("loss", 0.0)):
            raise InputError(
                f"loss is {logs['loss']} at update {state.global_step}: lower learning_rate "
                f"(now {args.learning_rate:g})"
            )


class _Progress(TrainerCallback):
    """Print one line now and then: bars flood a batch log."""

    def __init__(self, what: str, seconds: float = 20.0) -> None:
        self.what, self.seconds, self.last = what, seconds, time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs and time.monotonic() - self.last > self.seconds:
            self.last = time.monotonic()
            print(f"{self.what}: update {state.global_step}/{state.max_steps}, "
                  f"loss {logs['loss']:.3f}", flush=True)  # fmt: skip


def use_threads(threads: int) -> None:
    """Fix the number of threads, without which sums on CPU are not bit-identical."""
    torch.set_num_threads(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def train(
    model: torch.nn.Module,
    batches: Dataset,
    folder: Path,
    *,
    learning_rate: float,
    warmup_ratio: float,
    weight_decay: float,
    seed: int,
    what: str,
    checkpoint_updates: int = 0,
    checkpoint_minutes: float = 0,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, float]]:
    """Train for one pass over ready batches; return the log: `step`, `loss`, `learning_rate`.

    Linear warm-up and decay, AdamW, gradient norm clipped at 1. A checkpoint is left in `folder`
    every so many updates and minutes (0: never), and training goes on from the last one. A batch
    that the device's memory does not hold is read in smaller parts from then on. Of several
    processes each reads its part of every batch; `batches` are then `MaskedBlocks`.

    Raises:
        Stopped: SIGTERM asked for an end; a checkpoint is left.
        InputError: the loss is not a number, or memory does not hold a single example, or not even
            the weights with their moments.
    """
    updates = len(batches)  # type: ignore[arg-type]
    on_gpu = encoder.device().type == "cuda"
    set_seed(seed)
    arguments = TrainingArguments(
        output_dir=str(folder),
        use_cpu=not on_gpu,  # without a GPU accelerate joins processes only where it is told so
        ddp_find_unused_parameters=False,
        max_steps=updates,
        per_device_train_batch_size=1,
        learning_rate=learning_rate,
        warmup_steps=round(warmup_ratio * updates),
        weight_decay=weight_decay,
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        seed=seed,
        logging_steps=max(1, updates // 50),
        logging_nan_inf_filter=False,
        save_strategy="steps" if checkpoint_updates else "no",
        save_steps=checkpoint_updates or updates,
        save_total_limit=1,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        # On a GPU batches are padded and brought over while it works on those before. One process
        # is enough for that, and each has a copy of the features as it reads them.
        dataloader_num_workers=1 if on_gpu else 0,
        dataloader_prefetch_factor=4 if on_gpu else None,
        dataloader_pin_memory=on_gpu,
        accelerator_config={"non_blocking": on_gpu},
    )
    arguments._n_gpu = 1  # a ready batch cannot be split over devices
    if arguments.world_size != distributed.processes():
        raise RuntimeError(f"{what}: {distributed.processes()} processes do not train together")
    if arguments.world_size > 1:
        batches = distributed.Shared(batches, arguments.world_size)  # type: ignore[arg-type]
    keeper = Checkpoints(checkpoint_minutes)
    trainer = _ReadyBatches(
        model=model,
        args=arguments,
        train_dataset=batches,
        data_collator=_ready,
        callbacks=[_StopOnBadLoss(), _Progress(what), keeper, *callbacks],
    )
    trainer.remove_callback(_printer())
    trainer.model_accepts_loss_kwargs = False
    start = checkpoints.last(folder, what)
    # Trainer ends with a search for garbage among all that stands, whatever the training's length.
    gc.freeze()
    try:
        with keeper:
            trainer.train(resume_from_checkpoint=str(start) if start else None)
    except RuntimeError as error:
        if not encoder.is_out_of_memory(error):
            raise
        held = 16 * sum(weight.numel() for weight in model.parameters()) / 2**30
        raise InputError(f"{what}: out of memory outside of a batch "
                         f"({str(error).partition(chr(10))[0]}): weights, gradients and AdamW's "
                         f"moments alone take {held:.1f} GiB: take a smaller encoder or a larger "
                         "device") from None  # fmt: skip
    finally:
        gc.unfreeze()
    keeper.raise_if_stopped(what, trainer.state.global_step, updates)
    trainer.check_weights()
    return trainer.rows


def fit(
    model: torch.nn.Module,
    data: Dataset,
    budget: Budget,
    here: Cell,
    wanted: dict[str, Any],
    minutes: float,
) -> list[dict[str, float]]:
    """Train a head on planned batches as the budget of phase 2 or 3 says; return the log.

    `wanted` are the parameters of the cell.
    """
    return train(
        model,
        data,
        here.checkpoints(wanted),
        learning_rate=budget.learning_rate,
        warmup_ratio=budget.warmup_ratio,
        weight_decay=budget.weight_decay,
        seed=here.seed,
        what=here.key,
        checkpoint_minutes=minutes,
    )


def _printer() -> type[TrainerCallback]:
    """Name the callback that prints every log row."""
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback
