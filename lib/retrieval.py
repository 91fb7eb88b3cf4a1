"""Find translations: the nearest candidate by cosine, or pairs mined by their margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.errors import InputError
from lib.scoring import Scores

if TYPE_CHECKING:
    import torch


def nearest_neighbours(
    queries: np.ndarray, candidates: np.ndarray, at_once: int = 2**24
) -> np.ndarray:
    """Return the index of each query's most similar candidate.

    `queries`: float [n, d]; `candidates`: float [m, d]; returns int64 [n]. A zero vector has
    similarity 0 to everything. Candidates whose cosines agree to ten decimals tie, and the lowest
    index wins. At most `at_once` similarities (64 MiB), or a query's, are in memory at once.
    Raises InputError where a shape does not fit or a value is not finite.
    """
    _check(queries, candidates)
    columns = _scaled(candidates).T
    # A product of d terms is off by d roundings at most, either length by half as many, and both
    # sides are rounded before (Higham 2002, Accuracy and Stability of Numerical Algorithms,
    # section 3.1).
    doubt = np.float32(2 * (2 * queries.shape[1] + 8) * 2.0**-24)
    found = np.zeros(len(queries), dtype=np.int64)
    size = max(1, at_once // len(candidates))
    for first in range(0, len(queries), size):
        block = queries[first : first + size]
        # Single precision is twice as fast, and says which candidates may be the best.
        rough = _scaled(block) @ columns
        best = rough.argmax(axis=1)
        possible = rough >= np.take_along_axis(rough, best[:, None], axis=1) - doubt
        unsure = np.flatnonzero(np.count_nonzero(possible, axis=1) > 1)
        if len(unsure):
            places = np.flatnonzero(possible[unsure].any(axis=0))
            exact = _scaled(block[unsure], np.float64) @ _scaled(candidates[places], np.float64).T
            # A matrix product may round equal columns differently; ten decimals hide that.
            best[unsure] = places[exact.round(10).argmax(axis=1)]
        found[first : first + size] = best
    return found


@dataclass(frozen=True, eq=False)
class Mined:
    """Hold mined pairs, best first: `sources` and `targets` int64 [pairs], `scores` float64."""

    sources: np.ndarray
    targets: np.ndarray
    scores: np.ndarray


def mine(
    sources: np.ndarray,
    targets: np.ndarray,
    neighbours: int = 4,
    block_size: int = 0,
    device: Any = "cpu",
) -> Mined:
    """Pair sentences by the ratio margin, all sources against all targets.

    `sources`: float [n, d]; `targets`: float [m, d]. The score of a pair is its cosine over the
    mean of what both have with their `neighbours` nearest on the other side (Artetxe & Schwenk
    2019, arXiv 1811.01136, equation 1, ratio). Each sentence proposes the best scored of its
    nearest; of all proposals, best first, those stay whose two sentences are both free yet (their
    `max` retrieval; XTREME's `utils_retrieve.py`). A pair of a mean that is not positive has no
    margin and is never mined.
    Raises InputError as `nearest_neighbours` does.
    """
    _check(sources, targets)
    forward, backward = nearest_both_ways(sources, targets, neighbours, block_size, device)
    forward_means, backward_means = (cosines.mean(axis=1) for cosines, _ in (forward, backward))
    proposals = []
    for (cosines, found), mine_means, other_means in (
        (forward, forward_means, backward_means),
        (backward, backward_means, forward_means),
    ):
        means = (mine_means[:, None] + other_means[found]) / 2
        margins = np.where(means > 0, cosines / np.where(means > 0, means, 1), -np.inf)
        best = margins.argmax(axis=1)
        each = np.arange(len(found))
        proposals.append((each, found[each, best], margins[each, best]))
    (from_source, to_target, first), (from_target, to_source, second) = proposals
    pairs = np.stack([np.append(from_source, to_source), np.append(to_target, from_target)], axis=1)
    scores = np.append(first, second)
    taken: tuple[set[int], set[int]] = (set(), set())
    kept = []
    for place in np.argsort(-scores, kind="stable").tolist():
        source, target = pairs[place].tolist()
        if np.isfinite(scores[place]) and source not in taken[0] and target not in taken[1]:
            taken[0].add(source)
            taken[1].add(target)
            kept.append(place)
    return Mined(pairs[kept, 0], pairs[kept, 1], scores[kept])


def nearest_both_ways(
    sources: np.ndarray,
    targets: np.ndarray,
    neighbours: int,
    block_size: int = 0,
    device: Any = "cpu",
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return cosines and places of each side's nearest on the other, from one pass over all pairs.

    (float64 [n, k], int64 [n, k]) of the sources, (… [m, k]) of the targets, best first; k is
    `neighbours`, or the other side's size where that is less. Products are summed in single
    precision; on CUDA the vectors stay in half precision where both sides are.
    At most `block_size` x `block_size` similarities are in memory at once (0: 2,048, which is 16
    MiB, or 16,384 on CUDA, 1 GiB), or twice that at a ragged end, and a block of either side; on
    CUDA all targets: 400,000 of width 1,024 are 0.8 GB in half precision, 1.6 GB in single.
    """
    import torch

    on_cuda = torch.device(device).type == "cuda"
    block_size = block_size or (16_384 if on_cuda else 2_048)
    halves = on_cuda and sources.dtype == targets.dtype == np.float16

    def block(vectors: np.ndarray, start: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return vectors and one over their lengths, [n, 1]."""
        found = torch.from_numpy(np.array(vectors[start : start + block_size])).to(device)
        found = found if halves else found.float()
        lengths = torch.linalg.vector_norm(found, dim=1, keepdim=True, dtype=torch.float32)
        return found, 1 / lengths.clamp(min=1e-12)

    @lru_cache(maxsize=None if on_cuda else 1)
    def of_targets(start: int) -> tuple[torch.Tensor, torch.Tensor]:
        return block(targets, start)

    def keep(
        best: list[torch.Tensor], rows: slice, values: torch.Tensor, places: torch.Tensor
    ) -> None:
        values = torch.cat([best[0][rows], values], dim=1)
        places = torch.cat([best[1][rows], places], dim=1)
        values, order = values.topk(best[0].shape[1], dim=1)
        best[0][rows], best[1][rows] = values, places.gather(1, order)

    sizes = len(sources), len(targets)
    both = []
    for size, other in (sizes, sizes[::-1]):
        shape = (size, min(neighbours, other))
        values = torch.full(shape, -torch.inf, device=device)
        both.append([values, torch.zeros(shape, dtype=torch.long, device=device)])
    # In half precision a similarity would be rounded to three decimals.
    options: dict[str, Any] = {"out_dtype": torch.float32} if halves else {}
    for first in range(0, sizes[0], block_size):
        left, left_scale = block(sources, first)
        for start in range(0, sizes[1], block_size):
            right, right_scale = of_targets(start)
            similarity = torch.mm(left, right.T, **options)
            similarity.mul_(left_scale).mul_(right_scale.T)
            values, places = _largest(similarity, neighbours, 1)
            keep(both[0], slice(first, first + block_size), values, places + start)
            values, places = _largest(similarity, neighbours, 0)
            keep(both[1], slice(start, start + block_size), values.T, places.T + first)
    forward, backward = ((v.double().cpu().numpy(), p.cpu().numpy()) for v, p in both)
    return forward, backward


def _largest(values: torch.Tensor, k: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the k largest of a matrix along a dimension, and their places; all, where fewer.

    The k largest stand in the k chunks whose maxima are largest: `topk` looks at those maxima, then
    into those chunks, and at a few per cent of all values; it is slow where there are many.
    """
    import torch

    k = min(k, values.shape[dim])
    size = 2 ** round(math.log2(values.shape[dim] / k) / 2)
    rest = -values.shape[dim] % size
    if rest:
        padding = (0, rest) if dim else (0, 0, 0, rest)
        values = torch.nn.functional.pad(values, padding, value=-torch.inf)
    number = values.shape[dim] // size
    # A chunk is every `number`-th value: its maximum is one of whole rows, in either direction.
    maxima = values.unflatten(dim, (size, number)).amax(dim)
    chunks = maxima.topk(min(k, number), dim=dim).indices.unsqueeze(dim)
    shape = (1, size, 1) if dim else (size, 1, 1)
    inside = number * torch.arange(size, device=values.device).view(shape)
    places = (chunks + inside).flatten(dim, dim + 1)
    found, order = values.gather(dim, places).topk(k, dim=dim)
    return found, places.gather(dim, order)


def distinct(sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the place of each different sentence's first occurrence, and whether it has others."""
    first: dict[str, int] = {}
    counts: dict[str, int] = {}
    for place, sentence in enumerate(sentences):
        text = sentence.strip()
        first.setdefault(text, place)
        counts[text] = counts.get(text, 0) + 1
    return np.array(list(first.values())), np.array(list(counts.values())) > 1


def in_files(mined: Mined, sources: tuple[Any, Any], targets: tuple[Any, Any]) -> Mined:
    """Turn pairs of distinct sentences into places in the files (`distinct` of either side).

    A sentence that stands several times has no id of its own: its pairs go, as in XTREME's script.
    """
    unique = ~sources[1][mined.sources] & ~targets[1][mined.targets]
    return Mined(
        sources[0][mined.sources[unique]],
        targets[0][mined.targets[unique]],
        mined.scores[unique],
    )


def tune(mined: Mined, gold: Sequence[tuple[int, int]]) -> float:
    """Return the threshold that is best on a development split's gold pairs."""
    wanted = set(gold)
    pairs = zip(mined.sources.tolist(), mined.targets.tolist(), strict=True)
    right = np.array([pair in wanted for pair in pairs], dtype=bool)
    return best_threshold(mined.scores, right, len(wanted))[0]


def best_threshold(scores: np.ndarray, right: np.ndarray, gold: int) -> tuple[float, float]:
    """Return the threshold of the best F1, and that F1.

    `scores`: [pairs]; `right`: bool [pairs]; `gold`: how many right pairs there are in all. The
    threshold lies halfway to the next lower score, as in XTREME's script; it is 0 where no pair is
    right. Pairs of one score stay together.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    f1 = 2 * np.cumsum(right[order]) / (np.arange(1, len(ranked) + 1) + gold)
    f1 = np.where(np.append(np.diff(ranked) < 0, True), f1, 0) if len(ranked) else f1
    if not f1.any():
        return 0.0, 0.0
    best = int(f1.argmax())
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best]
    return float((ranked[best] + below) / 2), float(f1[best])


def score_mining(
    mined: Mined, gold: Sequence[tuple[int, int]], threshold: float | None = None
) -> Scores:
    """Score mined pairs: `f1`, `precision` and `recall` of those from `threshold` on.

    Without a threshold from a development split, it is cross-fitted: the source sentences of even
    and of odd place are two halves, each is cut at the threshold that is best on the other, and the
    pairs of both are scored together; the names are then `f1_cross_fitted` and so on.
    `f1_best_threshold` is tuned on the scored pairs themselves, as jiant's is, and flatters.
    `per_example`: 1 for each gold pair found, else 0.
    Raises InputError where there is no gold pair.
    """
    if not len(gold):
        raise InputError("gold pairs: none to find, expected at least one")
    wanted = set(gold)
    pairs = list(zip(mined.sources.tolist(), mined.targets.tolist(), strict=True))
    right = np.array([pair in wanted for pair in pairs], dtype=bool)
    if threshold is None:
        suffix, kept = "_cross_fitted", np.zeros(len(pairs), dtype=bool)
        for fold in (0, 1):
            other = mined.sources % 2 != fold
            number = sum(source % 2 != fold for source, _ in wanted)
            cut, _ = best_threshold(mined.scores[other], right[other], number)
            kept |= ~other & (mined.scores >= cut)
    else:
        suffix, kept = "", mined.scores >= threshold
    found, said = int((right & kept).sum()), int(kept.sum())
    values = {
        "f1": 2 * found / (said + len(wanted)),
        "precision": found / said if said else 0.0,
        "recall": found / len(wanted),
    }
    values = {name + suffix: value for name, value in values.items()}
    values["f1_best_threshold"] = best_threshold(mined.scores, right, len(wanted))[1]
    mined_pairs = {pair for pair, stays in zip(pairs, kept, strict=True) if stays}
    return Scores(values, np.array([float(pair in mined_pairs) for pair in gold]))


def _check(queries: np.ndarray, candidates: np.ndarray) -> None:
    if queries.ndim != 2 or candidates.ndim != 2 or queries.shape[1] != candidates.shape[1]:
        raise InputError(
            f"queries are {queries.shape}, candidates {candidates.shape}: expected [n, d], [m, d]"
        )
    if len(candidates) == 0:
        raise InputError("candidates: none to choose from, expected at least one")
    for name, vectors in (("queries", queries), ("candidates", candidates)):
        for start in range(0, len(vectors), 4096):
            finite = np.isfinite(vectors[start : start + 4096]).all(axis=1)
            if not finite.all():
                raise InputError(f"{name}: vector {start + np.argmin(finite)} is not finite")


def _scaled(vectors: np.ndarray, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """Return vectors of length 1 in a precision; a zero vector as it is."""
    wide = vectors.astype(np.promote_types(vectors.dtype, dtype), copy=False)
    squares = np.einsum("nd,nd->n", wide, wide)
    if not ((squares > 1e-20) & (squares < 1e20)).all():
        # Squares of very small or large numbers have no room in any precision.
        largest = np.abs(wide).max(axis=1, initial=0)
        wide = wide / np.where(largest > 0, largest, 1)[:, None]
        squares = np.einsum("nd,nd->n", wide, wide)
        squares[squares == 0] = 1
    return (wide / np.sqrt(squares)[:, None]).astype(dtype, copy=False)
