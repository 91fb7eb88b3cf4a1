"""Compare neighbours with scikit-learn's and with hand-made vectors."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from lib.errors import InputError
from lib.retrieval import nearest_neighbours


@pytest.mark.parametrize("block_size", [1, 7, 64, 2048])
def test_neighbours_are_those_of_scikit_learn_in_blocks_of_any_size(block_size):
    random = np.random.default_rng(0)
    queries = random.normal(size=(50, 8)).astype(np.float32)
    candidates = random.normal(size=(80, 8)).astype(np.float32)
    expected = cosine_similarity(queries, candidates).argmax(axis=1)
    found = nearest_neighbours(queries, candidates, block_size=block_size)
    assert found.dtype == np.int64
    assert found.tolist() == expected.tolist()


def test_length_does_not_matter_only_direction():
    queries = np.array([[1, 1], [-1, 0]], dtype=np.float32)
    candidates = np.array([[100, 0], [0.01, 0.01], [-1, 1]], dtype=np.float32)
    assert nearest_neighbours(queries, candidates).tolist() == [1, 2]


@pytest.mark.parametrize("block_size", [1, 3, 2048])
def test_of_candidates_in_one_direction_the_lowest_index_wins(block_size):
    random = np.random.default_rng(1)
    distinct = random.normal(size=(40, 33)).astype(np.float32)
    candidates = np.concatenate([distinct * 3, distinct, distinct * 7])
    found = nearest_neighbours(distinct, candidates, block_size=block_size)
    assert found.tolist() == list(range(40))


def test_a_zero_vector_is_at_right_angles_to_everything():
    queries = np.array([[1, 0], [0, 0]], dtype=np.float32)
    candidates = np.array([[-1, 0], [0, 0], [-1, 1]], dtype=np.float32)
    assert nearest_neighbours(queries, candidates).tolist() == [1, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_named(value):
    good, bad = np.ones((3, 2), np.float32), np.ones((3, 2), np.float32)
    bad[1, 0] = value
    with pytest.raises(InputError, match="queries: vector 1"):
        nearest_neighbours(bad, good)
    with pytest.raises(InputError, match="candidates: vector 1"):
        nearest_neighbours(good, bad)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"\(3, 2\), candidates \(3, 4\)"):
        nearest_neighbours(np.ones((3, 2)), np.ones((3, 4)))
    with pytest.raises(InputError, match="none to choose from"):
        nearest_neighbours(np.ones((3, 2)), np.ones((0, 2)))
