"""Fill batches by a budget of real tokens, and pad them.

Features are dicts of plain lists; every feature has `input_ids` (a list of sequences: one, or two
for a bi-encoder pair). One dataset item is one ready batch, so the Trainer's own batch size is 1.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from lib.profile import Budget

POOL = 32  # batches that are sorted together
SMALL = 4 * POOL  # batches of an epoch under which a set is small
Feature = dict[str, Any]
Collate = Callable[[list[Feature]], dict[str, Any]]


def number_of_tokens(feature: Feature) -> int:
    """Count the subword tokens of a feature."""
    return sum(len(sequence) for sequence in feature["input_ids"])


def number_of_updates(lengths: Sequence[int], budget: Budget) -> int:
    """Return the updates of a training on features of these lengths, as its budget says."""
    if budget.updates:
        return budget.updates
    whole = len(lengths) / budget.batch_examples if budget.batch_examples else (
        sum(lengths) / budget.batch_tokens
    )  # fmt: skip
    return max(1, round(budget.epochs * whole))


def plan_training(
    lengths: Sequence[int], budget: Budget, seed: int, updates: int | None = None
) -> list[list[int]]:
    """Plan the batches of a training as its budget says; `updates` stands in for its length."""
    updates = number_of_updates(lengths, budget) if updates is None else updates
    if budget.batch_examples:
        return plan_updates(lengths, budget.batch_examples, updates, seed, [1] * len(lengths))
    return plan_updates(lengths, budget.batch_tokens, updates, seed)


def plan_updates(
    lengths: Sequence[int], size: int, updates: int, seed: int, costs: Sequence[int] = ()
) -> list[list[int]]:
    """Plan `updates` batches of `size` tokens, as full as they get, of similar lengths.

    Examples come in shuffled epochs, each index once an epoch, and are taken in pools of about 32
    batches, sorted by length within a pool: little padding, and still a fresh mixture each epoch.
    What fills no whole batch waits for the next pool, so that conditions whose examples differ in
    length read the same number of tokens. An example over the size gets a batch of its own. The
    order follows from the seed. `costs` is what each example takes of the size, where that is not
    its length.

    Of a small set, an epoch of more than one batch and fewer than 128, pools hold an epoch at most
    and no batch an example twice: copies, alike in length, would meet in one, and the fewer the
    examples the smaller a batch would be. In larger sets that is one example in hundreds.
    """
    rng = np.random.default_rng(seed)
    costs = costs or lengths
    batches: list[list[int]] = []
    waiting: deque[int] = deque()
    begun: list[int] = []
    pool, epoch, left = POOL * size, sum(costs), 0
    apart = size < epoch < SMALL * size
    pool = min(pool, epoch) if apart else pool
    while len(batches) < updates:
        waiting.extend(rng.permutation(len(lengths)).tolist())
        left += epoch
        while left >= pool and len(batches) < updates:
            taken: list[int] = []
            total = 0
            while total < pool:
                taken.append(waiting.popleft())
                total += costs[taken[-1]]
            ordered = sorted(taken, key=lambda i: lengths[i])
            full, begun, rest = _fill(begun, ordered, costs, size, apart)
            if not apart:  # it is sorted in with the next pool
                begun, rest = [], begun
            waiting.extendleft(reversed(rest))
            left += sum(costs[i] for i in rest) - total
            batches += [full[i] for i in rng.permutation(len(full))]
    return batches[:updates]


def _fill(
    begun: list[int], ordered: list[int], costs: Sequence[int], size: int, apart: bool
) -> tuple[list[list[int]], list[int], list[int]]:
    """Cut examples, sorted by length, into batches, the longest that still fits first.

    `begun` is a batch to go on with; with `apart` none holds an example twice. Returns the full
    batches, the one that is not, and the examples that are left.
    """
    ordered, batch = list(ordered), list(begun)
    batches: list[list[int]] = []
    room = size - sum(costs[i] for i in batch)
    while ordered:
        place = bisect_right(ordered, room, key=lambda i: costs[i]) - 1
        while apart and place >= 0 and ordered[place] in batch:
            place -= 1
        if place < 0 and batch:
            if apart and set(ordered) <= set(batch):
                break
            batches.append(batch)
            batch, room = [], size
            continue
        batch.append(ordered.pop(max(place, 0)))
        room -= costs[batch[-1]]
    return ([*batches, batch], [], ordered) if room <= 0 else (batches, batch, ordered)


class Batches(Dataset):
    """Offer planned batches as a dataset whose items are ready for the model.

    A batch of more than `at_once` tokens, padding included (0: no limit), is `parts` of it, whose
    gradients add up to those of the whole (`lib.training`).
    """

    def __init__(
        self,
        features: Sequence[Feature],
        plan: Sequence[Sequence[int]],
        collate: Collate,
        at_once: int = 0,
    ) -> None:
        self.features, self.plan, self.collate = features, plan, collate
        self.at_once = at_once

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> dict[str, Any]:
        parts = self.cut(index, self.at_once)
        return parts[0] if len(parts) == 1 else {"parts": parts}

    def cut(self, index: int, at_once: int) -> list[dict[str, Any]]:
        """Return a batch in parts of at most so many tokens, padding included."""
        parts = pieces([self.features[i] for i in self.plan[index]], at_once)
        return [self.collate(part) for part in parts]

    def tokens(self) -> int:
        """Count the subword tokens that one pass over the plan reads."""
        lengths = [number_of_tokens(feature) for feature in self.features]
        return sum(lengths[i] for batch in self.plan for i in batch)

    def epochs(self) -> float:
        """Count how often a pass over the plan reads the features."""
        return round(sum(map(len, self.plan)) / len(self.features), 2)

    def padding(self) -> float:
        """Return the share of positions that are padding, where batches are padded."""
        positions = 0
        for batch in self.plan:
            for piece in pieces([self.features[i] for i in batch], self.at_once):
                sizes = [_size(feature) for feature in piece]
                positions += sum(rows for rows, _ in sizes) * max(longest for _, longest in sizes)
        return round(1 - self.tokens() / positions, 4) if positions else 0.0


def _size(feature: Feature) -> tuple[int, int]:
    """Return the sequences of a feature, and the tokens of the longest."""
    return len(feature["input_ids"]), max(len(ids) for ids in feature["input_ids"])


def pieces(features: list[Feature], at_once: int) -> list[list[Feature]]:
    """Cut a batch, longest first, into pieces of at most so many tokens, padding included.

    A feature that is over the limit by itself is a piece of its own.
    """
    if not at_once:
        return [features]
    cut: list[list[Feature]] = []
    longest = rows = 0
    for feature in sorted(features, key=lambda feature: -_size(feature)[1]):
        number, length = _size(feature)
        if not cut or (rows + number) * longest > at_once:
            cut.append([])
            longest, rows = length, 0
        cut[-1].append(feature)
        rows += number
    return cut


def for_evaluation(features: Sequence[Feature], budget: int, collate: Collate) -> Batches:
    """Plan one pass, sorted by length, so that evaluation pads little."""
    lengths = [number_of_tokens(feature) for feature in features]
    plan: list[list[int]] = []
    filled = 0
    for index in sorted(range(len(features)), key=lambda i: lengths[i]):
        if not plan or filled + lengths[index] > budget:
            plan.append([])
            filled = 0
        plan[-1].append(index)
        filled += lengths[index]
    return Batches(features, plan, collate)


def pad(rows: Sequence[Sequence[float]], value: float, dtype: torch.dtype) -> torch.Tensor:
    """Pad rows on the right to the longest: [n, longest]."""
    longest = max((len(row) for row in rows), default=0)
    padded = torch.full((len(rows), longest), value, dtype=dtype)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = torch.as_tensor(row, dtype=dtype)
    return padded


def pad_sequences(sequences: Sequence[Sequence[int]], pad_id: int) -> dict[str, torch.Tensor]:
    """Pad token sequences: `input_ids` and `attention_mask`, both [n, longest]."""
    ids = pad(sequences, pad_id, torch.long)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask = (torch.arange(ids.shape[1])[None, :] < lengths[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask}


@dataclass(frozen=True)
class SpecialTokens:
    """Hold the ids of a tokenizer's special tokens."""

    start: int
    end: int
    pad: int
    mask: int
    every: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any) -> "SpecialTokens":
        """Read them from a tokenizer."""
        return cls(
            tokenizer.cls_token_id,
            tokenizer.sep_token_id,
            tokenizer.pad_token_id,
            tokenizer.mask_token_id,
            tuple(tokenizer.all_special_ids),
        )


class MaskedBlocks(Dataset):
    """Offer batches of text blocks with masked tokens; what is masked follows from seed and index.

    Of the chosen tokens 80 % become `<mask>`, 10 % a random token, 10 % stay (Devlin et al. 2019,
    section 3.1). `chosen` [n, length] marks them; `labels` holds their ids only, in order.
    """

    def __init__(
        self,
        blocks: torch.Tensor,
        plan: Sequence[Sequence[int]],
        special: SpecialTokens,
        vocabulary_size: int,
        probability: float,
        seed: int,
        at_once: int = 0,
    ) -> None:
        self.blocks, self.plan, self.special = blocks, plan, special
        self.vocabulary_size, self.probability, self.seed = vocabulary_size, probability, seed
        self.at_once = at_once

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> dict[str, Any]:
        parts = self.cut(index, self.at_once)
        return parts[0] if len(parts) == 1 else {"parts": parts}

    def cut(self, index: int, at_once: int) -> list[dict[str, Any]]:
        """Return a batch in parts of at most so many tokens (0: whole), one block at least."""
        batch = self._masked(index)
        whole = len(batch["input_ids"])
        at_most = max(1, at_once // self.blocks.shape[1]) if at_once else whole
        rows = {key: batch[key].split(at_most) for key in batch if key != "labels"}
        labels = batch["labels"].split([int(part.sum()) for part in rows["chosen"]])
        names = (*rows, "labels")
        parts = zip(*rows.values(), labels, strict=True)
        return [dict(zip(names, part, strict=True)) for part in parts]

    def _masked(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
        ids = self.blocks[list(self.plan[index])].long()
        real = ~torch.isin(ids, torch.tensor(self.special.every))
        chosen = (torch.rand(ids.shape, generator=generator) < self.probability) & real
        labels = ids[chosen]
        draw = torch.rand(labels.shape, generator=generator)
        random = torch.randint(self.vocabulary_size, labels.shape, generator=generator)
        mask = torch.full_like(labels, self.special.mask)
        replaced = torch.where(draw < 0.8, mask, torch.where(draw < 0.9, random, labels))
        return {
            "input_ids": ids.masked_scatter(chosen, replaced),
            "chosen": chosen,
            "labels": labels,
        }


def cut_blocks(
    sequences: Sequence[Sequence[int]], length: int, special: SpecialTokens
) -> torch.Tensor:
    """Join token sequences, each closed by `</s>`, and cut them into full blocks: [n, length].

    Every block starts with `<s>`; the rest that fills no block is left out.
    """
    parts = [np.asarray([*sequence, special.end], dtype=np.int32) for sequence in sequences]
    joined = np.concatenate(parts or [np.zeros(0, dtype=np.int32)])
    number = len(joined) // (length - 1)
    body = joined[: number * (length - 1)].reshape(number, length - 1)
    start = np.full((number, 1), special.start, dtype=np.int32)
    return torch.from_numpy(np.concatenate([start, body], axis=1))
