"""Time what a notebook runs against what users would run instead, side by side in one process.

The other side is the recipe of transformers' example scripts (`run_mlm`, `run_glue`, `run_ner`,
`run_qa`): stock models and `Trainer`, first as the scripts come (padded to the maximum length,
random batches), then with their best flags (padded to the longest, grouped by length). Both sides
read the same examples once, from the same encoder. `make bench` calls it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from transformers import Trainer, TrainingArguments

from lib import (
    batches,
    corpora,
    encoder,
    evaluation,
    features,
    heads,
    paths,
    profile,
    tasks,
    training,
)
from lib.batches import MaskedBlocks, SpecialTokens
from lib.errors import InputError
from lib.profile import Budget, Encoder, Profile
from lib.tasks import Task

OURS, STOCK, BEST = "ours", "examples' recipe", "its best flags"
BATCH = 32
# run_glue and run_ner cut at 128 subword tokens, run_qa at 384.
LENGTH = {"span": 384}
Timed = tuple[float, int]  # seconds, examples or tokens
Recipe = Callable[[], Timed]


def quiet(folder: str, **options: Any) -> TrainingArguments:
    """Return stock arguments that write and print nothing."""
    return TrainingArguments(
        output_dir=folder, per_device_train_batch_size=BATCH, num_train_epochs=1,
        save_strategy="no", report_to=[], disable_tqdm=True, logging_steps=10_000,
        bf16=torch.cuda.is_available(), **options,
    )  # fmt: skip


def timed(train: Callable[[], Any]) -> float:
    """Return the seconds that a call takes, the device's queue emptied."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    train()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


class Padded(torch.utils.data.Dataset):
    """Offer features as a script's tokenised dataset: padded to a length, or left to the collator."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


def stock_rows(task: Task, made: list[Any], tokenizer: Any, length: int) -> list[dict[str, Any]]:
    """Turn our features into those of the scripts; padded to `length` where it is not 0."""
    rows = []
    for feature in made:
        ids = feature["input_ids"][0]
        gap = max(0, length - len(ids))
        row: dict[str, Any] = {"input_ids": ids + [tokenizer.pad_token_id] * gap,
                               "attention_mask": [1] * len(ids) + [0] * gap}  # fmt: skip
        if task.kind == "tagging":
            labels = [-100] * (len(ids) + gap)
            for place, label in zip(feature["starts"], feature["labels"], strict=True):
                labels[place] = label
            row["labels"] = labels
        elif task.kind == "span":
            row["start_positions"], row["end_positions"] = feature["labels"]
        else:
            row["labels"] = feature["labels"]
        rows.append(row)
    return rows


def stock_model(task: Task, folder: str) -> Any:
    """Load the stock model of a kind."""
    kind = {
        "tagging": transformers.AutoModelForTokenClassification,
        "span": transformers.AutoModelForQuestionAnswering,
    }.get(task.kind, transformers.AutoModelForSequenceClassification)
    labels = {} if task.kind == "span" else {"num_labels": max(1, len(task.labels))}
    return kind.from_pretrained(folder, **labels)


def fine_tuning(task: Task, examples: list[Any], folder: str, tokenizer: Any) -> dict[str, Recipe]:
    """Return the recipes of a fine-tuning, each of which reads the examples once."""
    length = LENGTH.get(task.kind, 128)
    made = features.make(task, examples, tokenizer, length)
    lengths = [batches.number_of_tokens(feature) for feature in made]

    def ours() -> Timed:
        budget = Budget(epochs=1.0, batch_tokens=round(BATCH * float(np.mean(lengths))))
        head = heads.make(task, encoder.load(folder)).to(training.device())
        plan = batches.plan_training(lengths, budget, 1)
        data = batches.Batches(made, plan, partial(head.collate, pad_id=tokenizer.pad_token_id))
        return trained(head, data), sum(map(len, plan))

    def stock(best: bool) -> Timed:
        rows = Padded(stock_rows(task, made, tokenizer, 0 if best else length))
        collator: Any = transformers.default_data_collator
        flags: dict[str, Any] = {}
        if best:
            flags = {"train_sampling_strategy": "group_by_length"}
            named = transformers.DataCollatorForTokenClassification
            kind = named if task.kind == "tagging" else transformers.DataCollatorWithPadding
            collator = kind(tokenizer)
        with tempfile.TemporaryDirectory() as output:
            trainer = Trainer(stock_model(task, folder), quiet(output, **flags),
                              train_dataset=rows, data_collator=collator)  # fmt: skip
            return timed(trainer.train), len(rows)

    return {OURS: ours, STOCK: partial(stock, False), BEST: partial(stock, True)}


def trained(head: Any, data: Any) -> float:
    """Train as phases 2 and 3 do; return the seconds."""
    with tempfile.TemporaryDirectory() as output:
        train = partial(training.train, head, data, Path(output), learning_rate=1e-4,
                        warmup_ratio=0.1, weight_decay=0.01, seed=1, what="bench")  # fmt: skip
        return timed(train)


def pretraining(lines: list[str], folder: str, tokenizer: Any, block: int) -> dict[str, Recipe]:
    """Return the recipes of MLM on lines of text; they are measured in real tokens."""
    ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
    special = SpecialTokens.of(tokenizer)

    def ours() -> Timed:
        blocks = batches.cut_blocks(ids, block, special)
        order = np.random.default_rng(1).permutation(len(blocks)).tolist()
        plan = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        data = MaskedBlocks(blocks, plan, special, len(tokenizer), 0.15, 1)
        model = encoder.load_for_mlm(folder).to(training.device())
        return trained(heads.MaskedLanguageModel(model), data), blocks.numel()

    def stock(by_line: bool) -> Timed:
        if by_line:
            rows = [{"input_ids": tokenizer.build_inputs_with_special_tokens(s[: block * 4])}
                    for s in ids] if hasattr(tokenizer, "build_inputs_with_special_tokens") else []  # fmt: skip
        else:
            whole = [token for line in ids for token in (special.start, *line, special.end)]
            cut = range(0, len(whole) - block + 1, block)
            rows = [{"input_ids": whole[i : i + block]} for i in cut]
        collator = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
        with tempfile.TemporaryDirectory() as output:
            model = encoder.load_for_mlm(folder)
            trainer = Trainer(model, quiet(output), train_dataset=Padded(rows),
                              data_collator=collator)  # fmt: skip
            return timed(trainer.train), sum(len(row["input_ids"]) for row in rows)

    return {
        OURS: ours,
        STOCK: partial(stock, False),
        "examples' recipe, by line": partial(stock, True),
    }


def compare(name: str, recipes: dict[str, Recipe], repeats: int) -> Iterator[dict[str, Any]]:
    """Run the recipes in turn, so often; yield a row for each run."""
    for repeat in range(repeats):
        for recipe, run in recipes.items():
            seconds, number = run()
            row = {"benchmark": name, "recipe": recipe, "repeat": repeat, "seconds": seconds,
                   "number": number, "rate": number / seconds}  # fmt: skip
            print(f"{name:12} {recipe:28} {row['rate']:10.1f} per s", flush=True)
            yield row
