"""Time MLM pre-training on real text: ours against the recipes of transformers' run_mlm.

Ours is what phase 1 runs: packed blocks of every language, logits at masked positions only. All
recipes read the same text once, masked alike, and about as many tokens of it in an update.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import pandas as pd
import torch
from transformers import DataCollatorForLanguageModeling

from lib import heads, text_blocks
from lib.benchmark import material, measuring, stock
from lib.profile import Pretraining, Profile

PART = "pretraining"
COMPILED = "ours, compiled"
LINES = 32  # of text in a batch: about as many real tokens as a batch of ours
# Of the output matrix alone: the tokenizer stays, and the further rows stand for no token.
LARGE_VOCABULARY = 64_000
LARGE = (measuring.OURS, "examples, blocks")

Row = Mapping[str, list[int]]


def measure(quick: bool) -> pd.DataFrame:
    """Measure with the tokenizer's vocabulary, and with a larger output matrix.

    Unit: tokens of text, without padding and special tokens. What `torch.compile` takes, once in a
    training, is a case of its own (`compilation`): the seconds of a first update. Raises InputError
    where the mirror lacks a language's text.
    """
    settings, small = (_settings(characters) for characters in (1000 if quick else 1600, 600))
    tokenizer = material.tokenizer_of(settings)
    texts, short = text_blocks.texts_of(settings), text_blocks.texts_of(small)
    lengths = [len(ids) for ids in tokenizer(_lines(texts))["input_ids"]]
    material.say_lengths(PART, lengths)
    tables = []
    for vocabulary in (len(tokenizer), LARGE_VOCABULARY)[: 1 if quick else 2]:
        compiled = None if quick or vocabulary != len(tokenizer) else _Compiled(vocabulary)
        recipes, warm_up = (
            _recipes(settings, tokenizer, some, vocabulary, quick, compiled)
            for some in (texts, short)
        )
        case = f"vocabulary {vocabulary:,}"
        repeats = 1 if quick else 3
        tables.append(measuring.side_by_side(PART, case, recipes, "tokens", repeats, warm_up))
        if compiled and compiled.head:
            row = [PART, "compilation", COMPILED, 1, compiled.seconds, 1, "compilations"]
            tables.append(pd.DataFrame([row], columns=measuring.COLUMNS))
            print(f"{PART:12} torch.compile took {compiled.seconds:.1f} s", flush=True)
    return pd.concat(tables, ignore_index=True)


class _Compiled:
    """Compile the model once: all its trainings read batches of one shape."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary, self.seconds = vocabulary, 0.0
        self.head: heads.MaskedLanguageModel | None = None

    def ready(self, batch: dict[str, torch.Tensor]) -> heads.MaskedLanguageModel:
        """Return the compiled head; the first call takes the time, and no earlier run's cache."""
        from torch._inductor import config as inductor

        if self.head is None:
            self.head = heads.MaskedLanguageModel(material.model(self.vocabulary, quick=False))
            self.head.model.base_model.compile()
            device = self.head.model.device
            moved = {key: value.to(device) for key, value in batch.items()}
            head = self.head.train()
            with inductor.patch(force_disable_caches=True):
                self.seconds = material.timed(lambda: head(**moved)["loss"].backward())
            self.head.zero_grad()
        return self.head


def _settings(characters: int) -> Profile:
    """Return the profile with the usual budget of phase 1, and so much text of each language."""
    budget = Pretraining(text_characters=characters)
    return material.settings().model_copy(update={"pretraining": budget})


def _lines(texts: Mapping[str, list[str]]) -> list[str]:
    return list(chain.from_iterable(texts.values()))


def _recipes(
    settings: Profile,
    tokenizer: Any,
    texts: dict[str, list[str]],
    vocabulary: int,
    quick: bool,
    compiled: _Compiled | None,
) -> dict[str, measuring.Recipe]:
    """Return the recipes over a text."""
    budget, special = settings.pretraining, torch.tensor(tokenizer.all_special_ids)
    length, of_update = (
        budget.block_tokens,
        text_blocks.tokens_of_update(settings, budget.batch_tokens),
    )
    whole = tokenizer(_lines(texts), return_special_tokens_mask=True)
    updates = max(1, sum(map(len, whole["input_ids"])) // of_update)
    text = text_blocks.cut(texts, tokenizer, length)
    data = text_blocks.masked(settings, text, tokenizer, updates, budget, seed=1)

    def count(rows: Sequence[Sequence[int]] | torch.Tensor) -> int:
        flat = rows if isinstance(rows, torch.Tensor) else torch.tensor(list(chain(*rows)))
        return int((~torch.isin(flat, special)).sum())

    def run_ours(head: heads.MaskedLanguageModel) -> tuple[float, float]:
        seconds = material.timed(lambda: material.train(head, data, budget, PART))
        return count(data.blocks[list(chain(*data.plan))]), seconds

    def ours() -> tuple[float, float]:
        return run_ours(heads.MaskedLanguageModel(material.model(vocabulary, quick)))

    def examples(rows: Sequence[Row], batch: int, half: bool = False) -> measuring.Recipe:
        masking = budget.masking_probability
        collate: Any = DataCollatorForLanguageModeling(tokenizer, mlm_probability=masking)

        def run() -> tuple[float, float]:
            model = material.model(vocabulary, quick)
            seconds = material.timed(lambda: stock.train(model, rows, collate, batch, half=half))
            return count([row["input_ids"] for row in rows]), seconds

        return run

    cut = {"truncation": True, "max_length": length, "return_special_tokens_mask": True}
    lines = _rows(tokenizer(_lines(texts), **cut))
    padded = _rows(tokenizer(_lines(texts), padding="max_length", **cut))
    blocks = _blocks(whole, length)
    found: dict[str, measuring.Recipe] = {
        measuring.OURS: ours,
        "examples, lines padded": examples(padded, LINES),
        "examples, lines": examples(lines, LINES),
        "examples, blocks": examples(blocks, of_update // length),
        "examples, blocks, bfloat16": examples(blocks, of_update // length, half=True),
    }
    if compiled and _can_compile():
        found[COMPILED] = lambda: run_ours(compiled.ready(data[0]))
    return {
        name: run for name, run in found.items() if vocabulary < LARGE_VOCABULARY or name in LARGE
    }


def _rows(encoded: Mapping[str, list[list[int]]]) -> list[Row]:
    """Return one mapping per sequence."""
    return [
        dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)
    ]


def _blocks(encoded: Mapping[str, list[list[int]]], length: int) -> list[Row]:
    """Join all sequences and cut them into full blocks, as run_mlm does (`group_texts`)."""
    joined = {key: list(chain(*rows)) for key, rows in encoded.items()}
    number = len(joined["input_ids"]) // length
    return [
        {key: ids[i * length : (i + 1) * length] for key, ids in joined.items()}
        for i in range(number)
    ]


def _can_compile() -> bool:
    """Say whether there is the compiler that `torch.compile` needs; a line says so if not."""
    if torch.cuda.is_available() or shutil.which(os.environ.get("CXX", "g++")):
        return True
    print(f"{PART}: no C++ compiler: nothing is said of torch.compile", flush=True)
    return False
