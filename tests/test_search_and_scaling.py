"""Check what the benchmark compares our search with, and how it fits cost against size."""

import sys

import numpy as np
import pytest
import torch

from lib import retrieval
from lib.benchmark import measuring, search
from lib.errors import InputError


def nearest_by_numpy(queries: np.ndarray, candidates: np.ndarray, neighbours: int) -> list:
    units = [side.astype(np.float64) for side in (queries, candidates)]
    units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in units]
    return np.argsort(-units[0] @ units[1].T, axis=1)[:, :neighbours].tolist()


def test_flat_search_and_ours_find_what_numpy_finds_both_ways():
    pytest.importorskip("faiss", reason="faiss is not installed: pip install faiss-cpu")
    sides = [search.vectors(number, 32, seed) for seed, number in ((1, 400), (2, 700))]
    ours = retrieval.nearest_both_ways(*sides, 4)
    for pair, (_, places) in zip((sides, sides[::-1]), ours, strict=True):
        expected = nearest_by_numpy(*pair, 4)
        assert search.faiss_flat(*pair, 4).tolist() == expected
        assert places.tolist() == expected


@pytest.mark.parametrize("block_size", [1, 64, 16_384])
def test_all_pairs_find_what_numpy_finds_from_half_precision(block_size):
    sides = [search.vectors(number, 32, seed, np.float16) for seed, number in ((1, 90), (2, 130))]
    found = search.all_pairs(*sides, 4, torch.device("cpu"), block_size)
    assert found.tolist() == nearest_by_numpy(*sides, 4)


def test_the_quick_search_has_a_row_per_recipe_and_repeat():
    pytest.importorskip("faiss", reason="faiss is not installed: pip install faiss-cpu")
    measured = search.measure(quick=True)
    assert list(measured.columns) == measuring.COLUMNS
    assert set(measured["recipe"]) >= {measuring.OURS, search.FLAT}
    assert (measured[["seconds", "amount"]] > 0).all(axis=None)
    assert set(measuring.ratios(measured)["n"]) == {3}


def test_without_faiss_one_line_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match="pip install faiss-cpu"):
        search.faiss_flat(np.ones((2, 2)), np.ones((2, 2)), 1)
