"""Time zero-shot evaluation over all languages: ours against a padded loop over the languages.

All recipes read the same features of the same examples, through the same head, to the same kind of
predictions; decoding and scoring, alike for all, are left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pandas as pd

from lib import encoder, evaluation, heads, tasks, transfer
from lib.batches import Collate, Feature, for_evaluation, number_of_tokens
from lib.benchmark import material, measuring, stock
from lib.benchmark.material import Counted
from lib.heads import Head
from lib.profile import Profile, Target

PART = "evaluation"
DEFAULT_BATCH, FAIR_BATCH = 8, 32  # `per_device_eval_batch_size`; what a GPU user would set


@dataclass(frozen=True)
class Case:
    """Name a target, what it pads to, and the examples of each language."""

    target: str
    length: int
    examples: int
    split: Literal["", "validation"] = ""


CASES = (
    Case("udpos", 128, 32),
    Case("xnli", 128, 64, "validation"),
    Case("xquad", 384, 12),
)


def measure(quick: bool) -> pd.DataFrame:
    """Measure every target over all its languages; unit: real tokens, special ones included.

    Raises InputError where the mirror lacks a target's data.
    """
    settings = material.settings()
    tokenizer = material.tokenizer_of(settings)
    tables = []
    for case in CASES:
        sets = features_of(settings, case, tokenizer, 2 if quick else case.examples)
        name, repeats = f"{case.target}, {len(sets)} languages", 1 if quick else 3
        material.say_lengths(name, [number_of_tokens(feature) for made in sets for feature in made])
        recipes, warm_up = (_recipes(case, some, tokenizer, quick) for some in (sets, sets[:2]))
        tables.append(measuring.side_by_side(PART, name, recipes, "tokens", repeats, warm_up))
    return pd.concat(tables, ignore_index=True)


def features_of(
    settings: Profile, case: Case, tokenizer: Any, examples: int
) -> list[list[Feature]]:
    """Return the features of so many examples of each language that the data hold."""
    task = tasks.get(case.target)
    budget = Target(evaluation_examples=examples, split=case.split)
    found, _ = transfer.evaluation_sets(settings, task, budget, list(task.languages))
    return [evaluation.prepare(task, some, tokenizer, case.length) for some in found.values()]


def _recipes(
    case: Case, sets: Sequence[list[Feature]], tokenizer: Any, quick: bool
) -> dict[str, measuring.Recipe]:
    """Return the recipes of a case."""
    task, pad_id = tasks.get(case.target), tokenizer.pad_token_id
    budget = 4 * Target().batch_tokens  # as in lib.transfer

    def recipe(predict: Callable[[Head, Counted], None]) -> measuring.Recipe:
        def run() -> tuple[float, float]:
            head = heads.make(task, material.model(len(tokenizer), quick).base_model)
            head = head.to(encoder.device())
            counted = Counted(partial(head.collate, pad_id=pad_id))
            seconds = material.timed(lambda: predict(head, counted))
            return counted.tokens, seconds

        return run

    def ours(head: Head, counted: Counted) -> None:
        for made in sets:
            for _ in evaluation.predict(head, for_evaluation(made, budget, counted)):
                pass

    def loop(head: Head, counted: Counted, batch: int, padded: bool) -> None:
        collate: Collate = counted
        if padded:
            collate = partial(stock.to_length, collate=counted, length=case.length, pad_id=pad_id)
        collate = partial(stock.collate_flat, collate=collate)
        stock.predict(
            stock.as_users_read(head), [stock.flat(made) for made in sets], collate, batch
        )

    return {
        measuring.OURS: recipe(ours),
        "loop, padded, 8": recipe(partial(loop, batch=DEFAULT_BATCH, padded=True)),
        "loop, longest, 32": recipe(partial(loop, batch=FAIR_BATCH, padded=False)),
    }
