"""Train with Hugging Face's `Trainer`, configured: ready batches, resume, one log.

Measured on two cores, the tricks matter and the loop does not; Trainer brings resume and logging.
"""

import gc
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from lib import encoder
from lib.errors import InputError
from lib.heads import number_of_items
from lib.profile import Budget
from lib.results import Cell


class _ReadyBatches(Trainer):
    """Feed batches in their planned order: one item of the dataset is one batch."""

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Any:
        return SequentialSampler(train_dataset or self.train_dataset)  # type: ignore[arg-type]

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        if "parts" not in inputs:
            self.share = 1.0
            return super().training_step(model, inputs, num_items_in_batch)
        # Each part counts by its items, so that the gradient is that of the whole batch.
        items = [number_of_items(part) for part in inputs["parts"]]
        loss = torch.zeros((), device=self.args.device)
        for part, number in zip(inputs["parts"], items, strict=True):
            if number:
                self.share = number / sum(items)
                loss += super().training_step(model, part, num_items_in_batch)
        return loss

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return model(**inputs)["loss"] * self.share

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # The stock method refuses a plain module whose tensors are tied, as an MLM head's are.
        folder = Path(output_dir or self.args.output_dir or "")
        folder.mkdir(parents=True, exist_ok=True)
        assert self.model is not None
        save_model(self.model, str(folder / "model.safetensors"))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        assert self.model is not None
        load_model(self.model, str(Path(resume_from_checkpoint) / "model.safetensors"))


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
) -> list[dict[str, float]]:
    """Train for one pass over ready batches; return the log: `step`, `loss`, `learning_rate`.

    Linear warm-up and decay, AdamW, gradient norm clipped at 1. With `checkpoint_updates` a
    checkpoint is left in `folder` every so many updates, and training goes on from the last one.
    """
    updates = len(batches)  # type: ignore[arg-type]
    on_gpu = encoder.device().type == "cuda"
    set_seed(seed)
    arguments = TrainingArguments(
        output_dir=str(folder),
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
    trainer = _ReadyBatches(
        model=model,
        args=arguments,
        train_dataset=batches,
        data_collator=lambda items: items[0],
        callbacks=[_StopOnBadLoss(), _Progress(what)],
    )
    trainer.remove_callback(_printer())
    trainer.model_accepts_loss_kwargs = False
    # Trainer writes its state last: a checkpoint without it was cut off by a kill.
    whole = [file.parent for file in folder.glob("checkpoint-*/trainer_state.json")]
    last = max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)
    if last:
        print(f"{what}: goes on from {last.name}", file=sys.stderr)
    # Trainer ends with a search for garbage among all that stands, whatever the training's length.
    gc.freeze()
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        gc.unfreeze()
    keys = ("step", "loss", "learning_rate")
    return [{k: row[k] for k in keys} for row in trainer.state.log_history if "loss" in row]


def fit(
    model: torch.nn.Module, data: Dataset, budget: Budget, here: Cell, seed: int
) -> list[dict[str, float]]:
    """Train a head on planned batches as the budget of phase 2 or 3 says; return the log."""
    return train(
        model,
        data,
        here.work,
        learning_rate=budget.learning_rate,
        warmup_ratio=budget.warmup_ratio,
        weight_decay=budget.weight_decay,
        seed=seed,
        what=here.key,
    )


def _printer() -> type[TrainerCallback]:
    """Name the callback that prints every log row."""
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback
