"""Time the search for translations against flat search, on random vectors of the real shapes.

Every recipe begins with vectors as an encoder gives them, of any length, and ends with places.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from lib import encoder, retrieval
from lib.benchmark import measuring
from lib.errors import InputError

NEIGHBOURS = 4
# Sentences a side and width: XLM-R base on a CPU; on CUDA German and English in XLM-R large.
TATOEBA, BUCC_SLICE, BUCC = (1_000, 768), (20_000, 768), (400_000, 1_024)
FLAT = "faiss, flat"
ALL_PAIRS = "all pairs, float32"


def measure(quick: bool = False) -> pd.DataFrame:
    """Search at Tatoeba's shape on the CPU, and at BUCC's: a slice there, the whole of it on CUDA.

    faiss's flat inner-product search finds each side's nearest in a pass of its own. On CUDA, where
    the faiss of the package index cannot run, the other is all pairs in single precision.
    Raises InputError where there is no faiss to compare with on a CPU.
    """
    on_cuda = encoder.device().type == "cuda"
    bucc = (300, 16) if quick else BUCC if on_cuda else BUCC_SLICE
    tables = []
    with threadpool_limits(torch.get_num_threads()):
        try:
            tables.append(_tatoeba(*((100, 16) if quick else TATOEBA), times=2 if quick else 20))
        except InputError as error:
            if not on_cuda:
                raise
            print(f"search: without Tatoeba: {error}")
        tables.append(_bucc_on_cuda(*bucc) if on_cuda else _bucc(*bucc))
    return pd.concat(tables, ignore_index=True)


def _tatoeba(number: int, width: int, times: int) -> pd.DataFrame:
    """Search one way, as Tatoeba's accuracy needs it, several times: one takes milliseconds."""
    queries, candidates = (vectors(number, width, seed) for seed in (1, 2))
    faiss_flat(queries, candidates, 1)
    recipes: dict[str, Callable[[], object]] = {
        measuring.OURS: lambda: retrieval.nearest_neighbours(queries, candidates),
        FLAT: lambda: faiss_flat(queries, candidates, 1),
    }
    return _compared(f"Tatoeba, {number:,} × {number:,}", recipes, number, times)


def _bucc(number: int, width: int) -> pd.DataFrame:
    """Search both ways on the CPU."""
    left, right = (vectors(number, width, seed) for seed in (1, 2))
    recipes: dict[str, Callable[[], object]] = {
        measuring.OURS: lambda: retrieval.nearest_both_ways(left, right, NEIGHBOURS),
        FLAT: lambda: (faiss_flat(left, right, NEIGHBOURS), faiss_flat(right, left, NEIGHBOURS)),
    }
    return _compared(f"BUCC, {number:,} × {number:,}", recipes, 2 * number)


def _bucc_on_cuda(number: int, width: int) -> pd.DataFrame:
    """Search both ways on CUDA, from half-precision vectors, as retrieval keeps them."""
    left, right = (vectors(number, width, seed, np.float16) for seed in (1, 2))
    device = encoder.device()

    def flat() -> None:
        all_pairs(left, right, NEIGHBOURS, device)
        all_pairs(right, left, NEIGHBOURS, device)

    recipes: dict[str, Callable[[], object]] = {
        measuring.OURS: lambda: retrieval.nearest_both_ways(left, right, NEIGHBOURS, device=device),
        ALL_PAIRS: flat,
    }
    return _compared(f"BUCC, {number:,} × {number:,}", recipes, 2 * number)


def _compared(
    case: str, searches: Mapping[str, Callable[[], object]], amount: int, times: int = 1
) -> pd.DataFrame:
    """Time searches; places come back to the CPU, so that nothing is still at work on a device."""

    def recipe(search: Callable[[], object]) -> measuring.Recipe:
        def run() -> float:
            for _ in range(times):
                search()
            return float(amount * times)

        return run

    recipes = {name: recipe(search) for name, search in searches.items()}
    return measuring.side_by_side("search", case, recipes, "queries")


def vectors(number: int, width: int, seed: int, kind: type = np.float32) -> np.ndarray:
    """Return random vectors [number, width]; those in half precision are never whole in single."""
    random = np.random.default_rng(seed)
    made: np.ndarray = np.empty((number, width), dtype=kind)
    for start in range(0, number, 10_000):
        block = made[start : start + 10_000]
        block[:] = random.standard_normal(block.shape, dtype=np.float32)
    return made


def faiss_flat(queries: np.ndarray, candidates: np.ndarray, neighbours: int) -> np.ndarray:
    """Return the places of each query's nearest by faiss: int64 [n, neighbours].

    Raises InputError where faiss is not installed.
    """
    try:
        faiss: Any = importlib.import_module("faiss")
    except ImportError:
        raise InputError("faiss is not installed, which search is compared with: "
                         "pip install faiss-cpu") from None  # fmt: skip
    faiss.omp_set_num_threads(torch.get_num_threads())
    queries, candidates = queries.copy(), candidates.copy()
    faiss.normalize_L2(queries)
    faiss.normalize_L2(candidates)
    index = faiss.IndexFlatIP(candidates.shape[1])
    index.add(candidates)
    return index.search(queries, neighbours)[1]


def all_pairs(
    queries: np.ndarray,
    candidates: np.ndarray,
    neighbours: int,
    device: torch.device,
    block_size: int = 16_384,
) -> np.ndarray:
    """Return the places of each query's nearest, from every pair in single precision.

    int64 [n, neighbours]. On the device are one side and `block_size` x `block_size` similarities.
    """

    def unit(side: np.ndarray) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.from_numpy(side).to(device).float(), dim=1)

    whole = unit(candidates)
    found = []
    for first in range(0, len(queries), block_size):
        block = unit(queries[first : first + block_size])
        values = torch.full((len(block), neighbours), -torch.inf, device=device)
        places = torch.zeros((len(block), neighbours), dtype=torch.long, device=device)
        for start in range(0, len(whole), block_size):
            similarity = block @ whole[start : start + block_size].T
            nearest = similarity.topk(min(neighbours, similarity.shape[1]), dim=1)
            places = torch.cat([places, nearest.indices + start], dim=1)
            values, order = torch.cat([values, nearest.values], dim=1).topk(neighbours, dim=1)
            places = places.gather(1, order)
        found.append(places.cpu().numpy())
    return np.concatenate(found)
