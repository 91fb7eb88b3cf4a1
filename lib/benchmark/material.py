"""Make what every recipe of a case shares: the model, the tokenizer, the data, the clock."""

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lib import encoder, paths, profile
from lib.batches import Feature, number_of_tokens
from lib.errors import InputError
from lib.profile import Budget, Encoder, Pretraining, Profile

PROFILE = "small_cpu"
MODEL = Encoder(layers=4, hidden_size=256, attention_heads=4, feed_forward_size=1024)
QUICK_MODEL = Encoder(layers=1, hidden_size=32, attention_heads=2, feed_forward_size=64)


def settings() -> Profile:
    """Return the profile of real languages whose data and tokenizer are measured with.

    Raises InputError where `DATA_ROOT` names no mirror: times are of real lengths of text.
    """
    if paths.mirror() is None:
        raise InputError("DATA_ROOT is not set: this part of the benchmark reads real text; "
                         "expected a mirror of the hub (data/README.md)")  # fmt: skip
    return profile.load(PROFILE)


def tokenizer_of(of: Profile) -> Any:
    """Load the profile's tokenizer."""
    return encoder.load_tokenizer(profile.encoder_path(of))


def model(vocabulary_size: int, quick: bool) -> Any:
    """Return a masked language model with random weights, always the same, on the device.

    Its encoder (`base_model`) reads as that of a profile does by default.
    """
    from lib import training

    training.set_seed(1)
    return encoder.new(QUICK_MODEL if quick else MODEL, vocabulary_size)


def train(model: Any, data: Any, budget: Budget | Pretraining, what: str, seed: int = 1) -> None:
    """Train on ready batches as the phases do, and keep nothing."""
    from lib import training

    with tempfile.TemporaryDirectory() as folder:
        training.train(
            model, data, Path(folder), seed=seed, what=what,
            learning_rate=budget.learning_rate, warmup_ratio=budget.warmup_ratio,
            weight_decay=budget.weight_decay,
        )  # fmt: skip


class Counted:
    """Put features together, and count the examples and the real tokens that were read."""

    def __init__(self, collate: Callable[..., dict[str, Any]]) -> None:
        self.collate, self.examples, self.tokens = collate, 0, 0

    def __call__(self, features: list[Feature], pad_id: int) -> dict[str, Any]:
        self.examples += len(features)
        self.tokens += sum(map(number_of_tokens, features))
        return self.collate(features, pad_id)


def sampled(
    plan: Sequence[Sequence[int]], lengths: Sequence[int], updates: int
) -> list[Sequence[int]]:
    """Return so many batches that stand for an epoch: even in their number of tokens, in its order.

    Batches of similar lengths differ from each other by as much as their lengths do.
    """
    tokens = [sum(lengths[i] for i in batch) for batch in plan]
    places = ((np.arange(updates) + 0.5) / updates * len(plan)).astype(int)
    return [plan[i] for i in sorted(np.argsort(tokens, kind="stable")[places])]


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that a piece of work takes."""
    # Trainer ends with a collection of garbage, which looks at all that this process holds: near
    # half a second, whatever the work.
    gc.collect()
    gc.freeze()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    gc.unfreeze()
    return seconds


def say_lengths(case: str, lengths: Sequence[int]) -> None:
    """Say how long the sequences of a case are, in subword tokens."""
    ordered = sorted(lengths)
    mean, median = sum(ordered) / len(ordered), ordered[len(ordered) // 2]
    print(f"{case}: {len(ordered):,} sequences of {mean:.0f} tokens in the mean, {median} in the "
          f"median, {ordered[-1]} at most", flush=True)  # fmt: skip
