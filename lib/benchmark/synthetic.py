"""Make models with random weights and features of random tokens, of real shapes and lengths.

A GPU's speed depends on shapes and lengths alone, so that neither an encoder nor text is needed
where there is no network.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from lib import encoder, paths
from lib.batches import Feature, MaskedBlocks, SpecialTokens
from lib.profile import Encoder
from lib.sizes import Shape

HEAD_WIDTH = 64
FIRST_PIECE = 4  # after `<s> <pad> </s> <unk>`
MASKED = 0.15


def lengths(task: str, number: int, seed: int = 1, longest: int = 0) -> list[int]:
    """Return so many lengths of a task, evenly from its distribution, in random order.

    The distribution is that of `data/lengths.csv`; `longest` cuts them (0: as they are).
    """
    table = pd.read_csv(paths.LENGTHS).query("task == @task")
    places = (np.arange(number) + 0.5) / number * 100
    drawn = np.interp(places, table["quantile"], table["tokens"]).round().astype(int)
    drawn = np.minimum(drawn, longest or drawn.max())
    return np.random.default_rng(seed).permutation(drawn).tolist()


def features_of(task: str, of_lengths: Sequence[int], vocabulary: int) -> list[Feature]:
    """Return a feature of random tokens per length, with random labels of the task's kind."""
    rng = np.random.default_rng(1)
    made = []
    for number, length in enumerate(of_lengths):
        body = rng.integers(FIRST_PIECE, vocabulary - 1, size=max(1, length - 2)).tolist()
        feature: Feature = {"example": number, "input_ids": [[0, *body, 2]]}
        inside = len(body)
        if task == "udpos":
            starts = list(range(1, inside + 1, 2))
            labels: Any = rng.integers(17, size=len(starts)).tolist()
            feature |= {"first": 0, "starts": starts, "labels": labels}
        elif task == "xquad":
            question = min(12, inside // 2)
            begins = [i if i > question else -1 for i in range(inside + 1)]
            begin = int(rng.integers(question + 1, inside + 1))
            feature |= {"begins": [*begins, -1], "labels": [begin, begin]}
        else:
            feature |= {"labels": int(rng.integers(3))}
        made.append(feature)
    return made


def masked_blocks(
    number: int, length: int, vocabulary: int, plan: Sequence[Sequence[int]]
) -> MaskedBlocks:
    """Return batches of masked blocks of random tokens."""
    drawn = torch.Generator().manual_seed(1)
    blocks = torch.randint(FIRST_PIECE, vocabulary - 1, (number, length), generator=drawn)
    blocks[:, 0] = 0
    special = SpecialTokens(0, 2, 1, vocabulary - 1, (0, 1, 2, 3, vocabulary - 1))
    return MaskedBlocks(blocks, plan, special, vocabulary, MASKED, seed=1)


Attention = Literal["auto", "padded", "packed"]


def model(shape: Shape, attention: Attention = "padded") -> Any:
    """Return a masked language model of XLM-R's architecture on the device, weights random.

    Its encoder (`base_model`) reads as `attention` says (`lib.packing`).
    """
    sizes = Encoder(
        layers=shape.layers,
        hidden_size=shape.width,
        attention_heads=max(1, shape.width // HEAD_WIDTH),
        feed_forward_size=shape.feed_forward,
        attention=attention,
    )
    torch.manual_seed(1)
    with torch.device(encoder.device()):
        return encoder.new(sizes, shape.vocabulary)
