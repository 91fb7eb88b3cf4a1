"""Find the nearest candidate of each query by cosine similarity."""

from __future__ import annotations

import numpy as np

from lib.errors import InputError


def nearest_neighbours(
    queries: np.ndarray, candidates: np.ndarray, block_size: int = 2048
) -> np.ndarray:
    """Return the index of each query's most similar candidate.

    `queries`: float [n, d]; `candidates`: float [m, d]; returns int64 [n]. A zero vector has
    similarity 0 to everything. Candidates whose cosines agree to ten decimals tie, and the lowest
    index wins. At most `block_size` x `block_size` similarities are in memory at once.
    Raises InputError where a shape does not fit or a value is not finite.
    """
    if queries.ndim != 2 or candidates.ndim != 2 or queries.shape[1] != candidates.shape[1]:
        raise InputError(
            f"queries are {queries.shape}, candidates {candidates.shape}: expected [n, d], [m, d]"
        )
    if len(candidates) == 0:
        raise InputError("candidates: none to choose from, expected at least one")
    for name, vectors in (("queries", queries), ("candidates", candidates)):
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            raise InputError(f"{name}: vector {np.argmin(finite)} is not finite")

    best_index = np.zeros(len(queries), dtype=np.int64)
    best_similarity = np.full(len(queries), -np.inf)
    for start in range(0, len(candidates), block_size):
        block = _unit_vectors(candidates[start : start + block_size])
        for first in range(0, len(queries), block_size):
            rows = slice(first, first + block_size)
            # A matrix product may round equal columns differently; ten decimals hide that.
            similarity = np.round(_unit_vectors(queries[rows]) @ block.T, 10)
            index = similarity.argmax(axis=1)
            highest = similarity.max(axis=1)
            better = highest > best_similarity[rows]
            best_index[rows] = np.where(better, start + index, best_index[rows])
            best_similarity[rows] = np.where(better, highest, best_similarity[rows])
    return best_index


def _unit_vectors(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms == 0, 1, norms)
