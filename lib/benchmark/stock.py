"""Train and predict as the examples of transformers do: with the stock `Trainer`.

The settings are those of the examples' own README: run_glue and XTREME's run_tag pad to 128 tokens,
run_qa to 384. The best flags are padding to the longest of a batch, batches of similar lengths
(`train_sampling_strategy="group_by_length"`) and bfloat16.
"""

import tempfile
from collections.abc import Sequence
from typing import Any

import torch
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import get_length_grouped_indices

from lib.batches import Collate, Feature
from lib.benchmark import material
from lib.heads import Head


def as_users_read(head: Head) -> Head:
    """Let a head read its encoder as stock code does, in whatever precision `Trainer` sets.

    What a head itself computes stays as it is, a parser's widest product in our precision.
    """

    def hidden(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        output = head.encoder(input_ids=input_ids, attention_mask=attention_mask)
        return head.dropout(output.last_hidden_state.float())

    head.hidden = hidden  # type: ignore[method-assign]
    return head


def plan(lengths: Sequence[int], batch: int, updates: int, grouped: bool) -> list[Sequence[int]]:
    """Return so many batches of an epoch that stand for it: random ones, or grouped by length."""
    generator = torch.Generator().manual_seed(1)
    order = (
        get_length_grouped_indices(list(lengths), batch, generator=generator)
        if grouped
        else torch.randperm(len(lengths), generator=generator).tolist()
    )
    epoch = [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]
    return material.sampled(epoch, lengths, updates)


def to_length(
    features: list[Feature], collate: Collate, length: int, pad_id: int
) -> dict[str, Any]:
    """Put features together, every sequence padded to a fixed length."""
    batch = collate(features)
    width = batch["input_ids"].shape[1]
    return {
        key: torch.nn.functional.pad(
            value, (0, length - width), value=pad_id if key == "input_ids" else 0
        )
        if value.ndim == 2 and value.shape[1] == width
        else value
        for key, value in batch.items()
    }


def flat(features: Sequence[Feature]) -> list[Feature]:
    """Return features as users have them: a single sequence as a plain list, which is measured."""
    return [feature | {"input_ids": feature["input_ids"][0]} for feature in features]


def collate_flat(features: list[Feature], collate: Collate) -> dict[str, Any]:
    """Put such features together as a head does."""
    return collate([feature | {"input_ids": [feature["input_ids"]]} for feature in features])


def train(
    model: torch.nn.Module,
    examples: Sequence[Any],
    collate: Collate,
    batch: int,
    *,
    half: bool = False,
    grouped: bool = False,
    in_order: bool = False,
) -> None:
    """Train one epoch with the stock `Trainer`, in random order unless otherwise said.

    `half` is bfloat16 where autocast has it.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = _arguments(
            folder,
            num_train_epochs=1,
            per_device_train_batch_size=batch,
            bf16=half,
            train_sampling_strategy="sequential"
            if in_order
            else "group_by_length"
            if grouped
            else "random",
        )
        _trainer(model, arguments, collate, train_dataset=examples).train()


def predict(
    head: torch.nn.Module, sets: Sequence[Sequence[Any]], collate: Collate, batch: int, half: bool
) -> list[Any]:
    """Predict one set after the other with the stock `Trainer`, in the order that they stand in.

    Returns an array per set: a prediction per example.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = _arguments(folder, per_device_eval_batch_size=batch, bf16=half)
        trainer = _trainer(head, arguments, collate)
        return [trainer.predict(examples).predictions for examples in sets]  # type: ignore[arg-type]


def _arguments(folder: str, **options: Any) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=folder,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        remove_unused_columns=False,
        save_strategy="no",
        use_cpu=not torch.cuda.is_available(),
        **options,
    )
    arguments._n_gpu = 1  # as ours: of several it would make copies in threads
    return arguments


def _trainer(model: Any, arguments: TrainingArguments, collate: Collate, **data: Any) -> Trainer:
    trainer = Trainer(model=model, args=arguments, data_collator=collate, **data)
    trainer.remove_callback(PrinterCallback)
    return trainer
