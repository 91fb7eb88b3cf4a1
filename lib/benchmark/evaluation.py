"""Time zero-shot evaluation over all languages: ours against a padded loop over the languages.

All recipes read the same features of the same examples, through the same head, to the same
predictions; decoding and scoring, alike for all, are left out. Languages that the tokenizer was not
trained on fall into more pieces than XLM-R's would make of them, and leave less to pad.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pandas as pd

from lib import encoder, evaluation, heads, tasks, transfer
from lib.batches import Collate, Feature, number_of_tokens
from lib.benchmark import material, measuring, stock
from lib.benchmark.material import Counted
from lib.heads import Head
from lib.profile import Profile, Target

PART = "evaluation"
# The default of `per_device_eval_batch_size`, and what goes with padding to the longest.
DEFAULT_BATCH, LARGER_BATCH = 8, 32


@dataclass(frozen=True)
class Case:
    """Name a target, what it pads to, and the examples of each language."""

    target: str
    length: int
    examples: int
    split: Literal["", "validation"] = ""


CASES = (
    Case("udpos", 128, 24),
    Case("xnli", 128, 40, "validation"),
    Case("xquad", 384, 8),
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


def ours(head: Head, sets: Sequence[list[Feature]], tokenizer: Any) -> list[list[Any]]:
    """Predict all sets as phase 3 does."""
    return evaluation.run(head, sets, tokenizer, 4 * Target().batch_tokens)


def loop(
    head: Head,
    sets: Sequence[list[Feature]],
    tokenizer: Any,
    batch: int,
    length: int = 0,
    half: bool = False,
) -> list[Any]:
    """Predict one set after the other as users do, padded to a length (0: the batch's longest)."""
    pad_id = tokenizer.pad_token_id
    collate: Collate = partial(head.collate, pad_id=pad_id)
    if length:
        collate = partial(stock.to_length, collate=collate, length=length, pad_id=pad_id)
    return stock.predict(stock.as_users_read(head), sets, collate, batch, half)


def _recipes(
    case: Case, sets: Sequence[list[Feature]], tokenizer: Any, quick: bool
) -> dict[str, measuring.Recipe]:
    """Return the recipes of a case."""

    def recipe(predict: Callable[..., Any], **options: int) -> measuring.Recipe:
        def run() -> tuple[float, float]:
            whole = material.model(len(tokenizer), quick)
            head = heads.make(tasks.get(case.target), whole.base_model).to(encoder.device())
            counted = Counted(head.collate)
            head.collate = counted  # type: ignore[method-assign]
            seconds = material.timed(lambda: predict(head, sets, tokenizer, **options))
            return counted.tokens, seconds

        return run

    return {
        measuring.OURS: recipe(ours),
        "loop, padded": recipe(loop, batch=DEFAULT_BATCH, length=case.length),
        "best flags, float32": recipe(loop, batch=LARGER_BATCH),
        "best flags, bfloat16": recipe(loop, batch=LARGER_BATCH, half=True),
    }
