"""Time fine-tuning on real lengths: ours against the examples' recipe and its best flags.

Every recipe plans an epoch over the same thousands of examples, and is timed on as many of its
batches: a small set would not be grouped by length as a whole one is. Ours is what phases 2 and 3
run: `batches.plan_training`, `Batches`, `training.train`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from lib import batches, corpora, encoder, features, heads, tasks
from lib.batches import Feature
from lib.benchmark import material, measuring, stock
from lib.benchmark.material import Counted
from lib.heads import Head
from lib.profile import Budget, Profile

PART = "fine_tuning"
EXAMPLES = 4000  # that are planned; enough for transformers to group by length in full
Plan = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Case:
    """Name a training: its task, what it pads to, the examples of a batch, the updates timed.

    16 is the smaller of the batches that BERT was fine-tuned with (Devlin et al. 2019, appendix
    A.3); 384 tokens are run_qa's.
    """

    name: str
    task: str
    length: int = 128
    batch: int = 16
    updates: int = 32
    evaluated: bool = False  # trained on what the task evaluates: the mirror has no training set


CASES = (
    Case("EWT parsing", "ud_parsing"),
    Case("UDPOS", "udpos"),
    Case("STS-B", "stsb"),
    Case("XNLI pairs", "xnli", evaluated=True),
    Case("XQuAD", "xquad", length=384, batch=8, updates=16, evaluated=True),
)


def measure(quick: bool) -> pd.DataFrame:
    """Measure every case; unit: real tokens, special ones included.

    Raises InputError where the mirror lacks a case's data.
    """
    settings = material.settings()
    tokenizer = material.tokenizer_of(settings)
    tables = []
    for each in CASES:
        case = replace(each, batch=2, updates=4) if quick else each
        made = features_of(settings, case, tokenizer, 64 if quick else EXAMPLES)
        material.say_lengths(case.name, [batches.number_of_tokens(feature) for feature in made])
        recipes, warm_up = (
            _recipes(case, made, tokenizer, quick, updates) for updates in (case.updates, 2)
        )
        repeats = 1 if quick else 3
        tables.append(measuring.side_by_side(PART, case.name, recipes, "tokens", repeats, warm_up))
    return pd.concat(tables, ignore_index=True)


def features_of(settings: Profile, case: Case, tokenizer: Any, number: int) -> list[Feature]:
    """Return the features of so many examples, where there are so many."""
    task = tasks.get(case.task)
    if case.evaluated:
        source = corpora.evaluation_source(task, "validation")
        examples = corpora.load(settings, source, "en", number)
    else:
        examples = corpora.load_training(settings, task, task.train, number)
    return features.make(task, examples, tokenizer, case.length)


def _recipes(
    case: Case, made: Sequence[Feature], tokenizer: Any, quick: bool, updates: int
) -> dict[str, measuring.Recipe]:
    """Return the recipes of a case, each of so many updates."""
    pad_id = tokenizer.pad_token_id
    lengths = [batches.number_of_tokens(feature) for feature in made]
    budget = Budget(epochs=1.0, batch_examples=case.batch)

    def recipe(run: Callable[[Head, Plan], None], plan: Plan) -> measuring.Recipe:
        def timed() -> tuple[float, float]:
            whole = material.model(len(tokenizer), quick)
            head = heads.make(tasks.get(case.task), whole.base_model).to(encoder.device())
            counted = Counted(head.collate)
            head.collate = counted  # type: ignore[method-assign]
            seconds = material.timed(lambda: run(head, plan))
            return counted.tokens, seconds

        return timed

    def ours(head: Head, plan: Plan) -> None:
        data = batches.Batches(made, plan, partial(head.collate, pad_id=pad_id))
        material.train(head, data, budget, case.name)

    def examples(head: Head, plan: Plan, padded: bool, half: bool = False) -> None:
        collate: batches.Collate = partial(head.collate, pad_id=pad_id)
        if padded:
            collate = partial(stock.to_length, collate=collate, length=case.length, pad_id=pad_id)
        chosen = [made[i] for batch in plan for i in batch]
        model = stock.as_users_read(head)
        stock.train(model, chosen, collate, case.batch, half=half, in_order=True)

    epoch = batches.plan_training(lengths, budget, 1)
    grouped = stock.plan(lengths, case.batch, updates, grouped=True)
    random = stock.plan(lengths, case.batch, updates, grouped=False)
    return {
        measuring.OURS: recipe(ours, material.sampled(epoch, lengths, updates)),
        "examples, padded": recipe(partial(examples, padded=True), random),
        "best flags, float32": recipe(partial(examples, padded=False), grouped),
        "best flags, bfloat16": recipe(partial(examples, padded=False, half=True), grouped),
    }
