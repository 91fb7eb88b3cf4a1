"""Time fine-tuning on real lengths: ours against the examples' recipe and its best flags.

Every recipe reads the same examples once, through the same head, in as many updates. Ours is what
phases 2 and 3 run: `batches.plan_training`, `Batches`, `training.train`.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from lib import batches, corpora, encoder, features, heads, tasks, training
from lib.batches import Feature
from lib.benchmark import material, measuring, stock
from lib.benchmark.material import Counted
from lib.heads import Head
from lib.profile import Budget, Profile

UPDATES = 32  # what `batches.plan_updates` takes at once: each example is read once


@dataclass(frozen=True)
class Case:
    """Name a training: its task, what it pads to, and the examples of a batch.

    16 is the smaller of the batches that BERT was fine-tuned with (Devlin et al. 2019, appendix
    A.3); 384 tokens are run_qa's.
    """

    name: str
    task: str
    length: int = 128
    batch: int = 16
    evaluated: bool = False  # trained on what the task evaluates: the mirror has no training set


CASES = (
    Case("EWT parsing", "ud_parsing"),
    Case("UDPOS", "udpos"),
    Case("STS-B", "stsb"),
    Case("XNLI pairs", "xnli", evaluated=True),
    Case("XQuAD", "xquad", length=384, batch=8, evaluated=True),
)


def measure(quick: bool) -> pd.DataFrame:
    """Measure every case; unit: real tokens, special ones included.

    Raises InputError where the mirror lacks a case's data.
    """
    settings = material.settings()
    tokenizer = material.tokenizer_of(settings)
    tables = []
    for each in CASES:
        case = replace(each, batch=2) if quick else each
        made = features_of(settings, case, tokenizer)
        material.say_lengths(case.name, [batches.number_of_tokens(feature) for feature in made])
        recipes, warm_up = (
            _recipes(case, some, tokenizer, quick) for some in (made, made[: 2 * case.batch])
        )
        repeats = 1 if quick else 3
        tables.append(
            measuring.side_by_side("fine_tuning", case.name, recipes, "tokens", repeats, warm_up)
        )
    return pd.concat(tables, ignore_index=True)


def features_of(settings: Profile, case: Case, tokenizer: Any) -> list[Feature]:
    """Return the features of a case's updates."""
    task, number = tasks.get(case.task), UPDATES * case.batch
    if case.evaluated:
        source = corpora.evaluation_source(task, "validation")
        examples = corpora.load(settings, source, "en", number)
    else:
        examples = corpora.load_training(settings, task, task.train, number)
    return features.make(task, examples, tokenizer, case.length)[:number]


def _recipes(
    case: Case, made: Sequence[Feature], tokenizer: Any, quick: bool
) -> dict[str, measuring.Recipe]:
    """Return the recipes of a case."""
    batch, pad_id = case.batch, tokenizer.pad_token_id

    def recipe(run: Callable[[Head, Counted], None]) -> measuring.Recipe:
        def timed() -> tuple[float, float]:
            whole = material.model(len(tokenizer), quick)
            head = heads.make(tasks.get(case.task), whole.base_model).to(encoder.device())
            counted = Counted(partial(head.collate, pad_id=pad_id))
            seconds = material.timed(lambda: run(head, counted))
            return counted.tokens, seconds

        return timed

    def ours(head: Head, counted: Counted) -> None:
        budget = Budget(epochs=1.0, batch_examples=batch)
        lengths = [batches.number_of_tokens(feature) for feature in made]
        data = batches.Batches(made, batches.plan_training(lengths, budget, 1), counted)
        with tempfile.TemporaryDirectory() as folder:
            training.train(
                head,
                data,
                Path(folder),
                learning_rate=budget.learning_rate,
                warmup_ratio=budget.warmup_ratio,
                weight_decay=budget.weight_decay,
                seed=1,
                what=case.name,
            )

    def examples_recipe(head: Head, counted: Counted) -> None:
        padded = partial(stock.to_length, collate=counted, length=case.length, pad_id=pad_id)
        collate = partial(stock.collate_flat, collate=padded)
        stock.train(stock.as_users_read(head), stock.flat(made), collate, batch)

    def best_flags(head: Head, counted: Counted, half: bool) -> None:
        collate = partial(stock.collate_flat, collate=counted)
        stock.train(
            stock.as_users_read(head), stock.flat(made), collate, batch, half=half, grouped=True
        )

    return {
        measuring.OURS: recipe(ours),
        "examples, padded": recipe(examples_recipe),
        "best flags, float32": recipe(partial(best_flags, half=False)),
        "best flags, bfloat16": recipe(partial(best_flags, half=True)),
    }
