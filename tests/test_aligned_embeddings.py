"""Tokens of translations start near one another, and training takes it from there."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lib import aligned_embeddings, encoder
from lib.errors import InputError
from lib.profile import Encoder

SPECIAL = [0, 1, 2, 3, 64]
WIDTH, VOCABULARY = 16, 65
FIRST, OTHER = range(4, 34), range(34, 64)  # word 34 translates word 4, and so on


def translated(blocks: int, seed: int = 0) -> torch.Tensor:
    """Return blocks of six words and their translations, in any order, after the start token."""
    rng = np.random.default_rng(seed)
    words = np.stack([rng.choice(np.array(FIRST), 6, replace=False) for _ in range(blocks)])
    both = rng.permuted(np.concatenate([words, words + 30], axis=1), axis=1)
    return torch.from_numpy(np.concatenate([np.zeros((blocks, 1), int), both], axis=1))


def cosines(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    first, other = (
        part / np.linalg.norm(part, axis=1, keepdims=True)
        for part in (vectors[FIRST], vectors[OTHER])
    )
    return first @ other.T


@pytest.fixture
def model() -> Callable[[], torch.nn.Module]:
    def new() -> torch.nn.Module:
        torch.manual_seed(7)
        settings = Encoder(layers=1, hidden_size=WIDTH, attention_heads=2, feed_forward_size=16)
        return encoder.new(settings, VOCABULARY)

    return new


def of(model: torch.nn.Module) -> NDArray[np.float64]:
    return model.get_input_embeddings().weight.detach().double().numpy()


def test_a_word_starts_nearest_to_its_translation(model: Callable) -> None:
    plain, aligned = model(), model()
    aligned_embeddings.start(aligned, {"de": translated(400)}, SPECIAL, seed=1)
    assert list(cosines(of(aligned)).argmax(1)) == list(range(30))
    assert np.mean(cosines(of(plain)).argmax(1) == np.arange(30)) < 0.3


def test_lengths_and_the_tokens_that_no_pair_holds_stay_as_they_were(model: Callable) -> None:
    plain, aligned = model(), model()
    pairs = translated(400)
    pairs[pairs == 10] = 11
    aligned_embeddings.start(aligned, {"de": pairs[:200], "fr": pairs[200:]}, SPECIAL, seed=1)
    np.testing.assert_allclose(
        np.linalg.norm(of(aligned), axis=1), np.linalg.norm(of(plain), axis=1), rtol=1e-5
    )
    changed = (of(aligned) != of(plain)).any(axis=1)
    assert list(np.flatnonzero(~changed)) == sorted([*SPECIAL, 10])


def test_a_seed_turns_the_vectors_and_changes_no_angle(model: Callable) -> None:
    made = []
    for seed in (1, 1, 2):
        made.append(model())
        aligned_embeddings.start(made[-1], {"de": translated(400)}, SPECIAL, seed)
    first, again, turned = map(of, made)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, turned, atol=1e-3)
    np.testing.assert_allclose(cosines(first), cosines(turned), atol=1e-5)


def test_how_often_a_word_stands_in_a_block_does_not_count() -> None:
    pairs = translated(200).numpy()
    twice = np.concatenate([pairs, pairs[:, 1:3]], axis=1)
    once = aligned_embeddings.vectors(pairs, VOCABULARY, WIDTH, SPECIAL)
    np.testing.assert_allclose(
        once, aligned_embeddings.vectors(twice, VOCABULARY, WIDTH, SPECIAL), atol=1e-9
    )


def test_too_few_translations_are_refused(model: Callable) -> None:
    for number, pairs in ((16, {"de": translated(16)}), (0, {})):
        with pytest.raises(InputError, match=f"{number} blocks of translations, expected more"):
            aligned_embeddings.start(model(), pairs, SPECIAL, seed=1)
