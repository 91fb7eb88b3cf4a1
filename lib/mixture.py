"""Train one encoder on several tasks at once: each update is a batch of one of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset


def shares(sizes: Mapping[str, int], cap: int = 0, temperature: float = 1.0) -> dict[str, float]:
    """Return each task's share of the updates, q_m ∝ min(e_m, cap)^(1/T); 0 is no cap.

    Examples-proportional mixing with an artificial limit, and temperature-scaled mixing (Raffel et
    al. 2020, arXiv 1910.10683, section 3.5.2): `temperature` 1 is proportional, and the larger it
    is the more alike the shares are.
    """
    weights = np.array([min(n, cap or n) for n in sizes.values()], dtype=float) ** (1 / temperature)
    return dict(zip(sizes, (weights / weights.sum()).tolist(), strict=True))


def order(shares: Mapping[str, float], updates: int, seed: int) -> list[str]:
    """Draw which task each update belongs to; every task gets its share, to the nearest update.

    A rounded share (largest remainders) instead of independent draws: the number of updates of a
    task, and so its tokens, is the same for every seed.
    """
    exact = np.array(list(shares.values())) * updates
    counts = np.floor(exact).astype(int)
    rest = np.argsort(counts - exact, kind="stable")[: updates - counts.sum()]
    counts[rest] += 1
    names = [name for name, n in zip(shares, counts, strict=True) for _ in range(n)]
    return [names[i] for i in np.random.default_rng(seed).permutation(updates)]


class Mixture(Dataset):
    """Offer the ready batches of several tasks in a given order, each with its task's name."""

    def __init__(self, parts: Mapping[str, Any], order: Sequence[str]) -> None:
        self.parts = parts
        seen = dict.fromkeys(parts, 0)
        self.plan: list[tuple[str, int]] = []
        for name in order:
            self.plan.append((name, seen[name]))
            seen[name] += 1

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name, number = self.plan[index]
        batch = self.parts[name][number]
        if "parts" in batch:
            return {"parts": [{"task": name, **part} for part in batch["parts"]]}
        return {"task": name, **batch}

    def cut(self, index: int, at_once: int) -> list[dict[str, Any]]:
        """Return a batch in parts of at most so many tokens."""
        name, number = self.plan[index]
        return [{"task": name, **part} for part in self.parts[name].cut(number, at_once)]


class MixtureOfHeads(nn.Module):
    """Pass a batch to its task's head; the heads share one encoder."""

    def __init__(self, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(heads)

    def forward(self, task: str, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what the task's head returns."""
        return self.heads[task](**batch)
