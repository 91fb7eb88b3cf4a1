"""Likeness, isotropy and attention to heads agree with hand-worked cases and independent code."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

from lib import packing, representation, states
from lib.errors import InputError

RNG = np.random.default_rng(0)


def hsic_over_tuples(first: np.ndarray, second: np.ndarray) -> float:
    """Return unbiased HSIC as the mean of its kernel over all tuples of four different examples.

    Song et al. 2012, theorem 3: a U-statistic, which the code under test never forms.
    """
    k, m = first @ first.T, second @ second.T
    terms = [
        k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
        for i, j, q, r in permutations(range(len(k)), 4)
    ]  # fmt: skip
    return float(np.mean(terms))


def test_cka_is_the_ratio_of_unbiased_hsics_worked_out_over_all_tuples():
    first, second = RNG.normal(size=(7, 3)) + 2, RNG.normal(size=(7, 5)) - 1
    second[:, :3] += first
    own = hsic_over_tuples(first, first) * hsic_over_tuples(second, second)
    expected = hsic_over_tuples(first, second) / np.sqrt(own)
    assert representation.linear_cka(first, second) == pytest.approx(expected)


def test_cka_sees_neither_rotation_nor_scale_nor_shift():
    vectors = RNG.normal(size=(40, 6)) * np.arange(1, 7)
    turned = 3.5 * vectors @ ortho_group.rvs(6, random_state=1) + 100
    assert representation.linear_cka(vectors, turned) == pytest.approx(1)
    stretched = vectors * [10, 1, 1, 1, 1, 1]
    assert representation.linear_cka(vectors, stretched) < 0.99


def test_cka_of_unrelated_vectors_is_about_zero_even_where_they_are_wider_than_many():
    found = [
        representation.linear_cka(RNG.normal(size=(40, 100)), RNG.normal(size=(40, 100)))
        for _ in range(60)
    ]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 4 * error < 0.05


def test_cka_of_what_does_not_vary_is_no_number_and_bad_shapes_are_refused():
    vectors = RNG.normal(size=(10, 4))
    assert np.isnan(representation.linear_cka(vectors, np.ones((10, 4))))
    for first, second in ((vectors, vectors[:9]), (vectors[:3], vectors[:3])):
        with pytest.raises(InputError, match="four at least"):
            representation.linear_cka(first, second)


def test_mean_cosine_is_that_of_all_pairs_by_scikit_learn():
    vectors = RNG.normal(size=(30, 5)) + 0.7
    cosines = cosine_similarity(vectors)
    expected = cosines[~np.eye(30, dtype=bool)].mean()
    assert representation.mean_cosine(vectors) == pytest.approx(expected)


def test_first_component_share_is_scikit_learns_and_blind_to_a_shift():
    vectors = RNG.normal(size=(50, 8)) * np.arange(1, 9)
    expected = PCA(1).fit(vectors).explained_variance_ratio_[0]
    assert representation.first_component_share(vectors) == pytest.approx(expected)
    assert representation.first_component_share(vectors + 1e3) == pytest.approx(expected)
    assert np.isnan(representation.first_component_share(np.ones((5, 3))))


# Three words: "the dog barks", heads 2, 3, 0. Two attention heads of one layer.
UPWARDS = [[0.1, 0.8, 0.1], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]  # the -> dog, dog -> barks
LEFTWARDS = [[0.9, 0.04, 0.06], [0.9, 0.05, 0.05], [0.1, 0.8, 0.1]]  # dog -> the


def test_heads_found_are_those_of_a_hand_made_attention():
    weights = np.array([[UPWARDS, LEFTWARDS]])
    assert representation.most_attended(weights).tolist() == [[[1, 2, 0], [2, 0, 1]]]
    right, fixed = representation.heads_found(weights, [2, 3, 0])
    assert right.tolist() == [[[True, True], [False, False]]]  # the root is no question
    steps = [step for step in range(-10, 11) if step]
    assert [s for s, found in zip(steps, fixed, strict=True) if found.any()] == [1]
    assert fixed[steps.index(1)].tolist() == [True, True]


def test_the_best_candidate_is_scored_on_the_half_it_was_not_chosen_on():
    fold = np.array([True, True, True, False, False])
    right = np.array([[1, 1, 0, 0, 1], [0, 0, 0, 1, 1]], dtype=bool)
    # Chosen on the first half: candidate 0, 1 of 2 right on the second. Chosen on the second:
    # candidate 1, 0 of 3 right on the first. Together 1 of 5; the better one in hindsight has 3.
    assert representation.best_share(right, fold) == pytest.approx(1 / 5)
    assert np.isnan(representation.best_share(right, np.ones(5, dtype=bool)))


def test_each_kind_has_its_own_best_candidate_and_rare_kinds_are_left_out():
    fold = np.tile([True, False], 7)
    kinds = ["det"] * 6 + ["obj"] * 6 + ["iobj"] * 2
    right = np.array([[True] * 6 + [False] * 8, [False] * 6 + [True] * 8])
    share, counted = representation.best_share_by_kind(right, fold, kinds, least=3)
    assert (share, counted) == (1, 12)
    none, counted = representation.best_share_by_kind(right, fold, kinds, least=8)
    assert np.isnan(none) and counted == 0


def test_attention_from_a_word_is_a_mean_over_its_subwords_and_to_it_a_sum():
    # <s> a1 a2 b </s>: words a (two subwords) and b.
    rows = [
        [0.2, 0.2, 0.2, 0.2, 0.2],
        [0.1, 0.2, 0.3, 0.3, 0.1],
        [0.3, 0.1, 0.1, 0.1, 0.4],
        [0.0, 0.5, 0.1, 0.2, 0.2],
        [0.2, 0.2, 0.2, 0.2, 0.2],
    ]
    found = states.between_words(np.array([[rows]]), [2, 1])
    # a to a: mean of 0.2 + 0.3 and 0.1 + 0.1; a to b: mean of 0.3 and 0.1; b to a: 0.5 + 0.1.
    assert found[0, 0] == pytest.approx(np.array([[0.35, 0.2], [0.6, 0.2]]))


SENTENCES = [["ab", "c"], ["defg", "h", "ij", "k"], ["l"]]


def test_states_of_words_are_means_of_their_subwords_in_every_layer(letters, small_encoder):
    model = small_encoder().eval()
    found = states.of_words(model, letters, SENTENCES, length=32, batch_tokens=12)
    assert found.shape == (3, 7, 16) and found.dtype == np.float32
    ids = letters("defg h ij k", return_tensors="pt")  # every letter a token
    with torch.inference_mode():
        layers = model(**ids, output_hidden_states=True).hidden_states
    places = {2: slice(1, 5), 3: slice(5, 6), 4: slice(6, 8), 5: slice(8, 9)}
    for layer, hidden in enumerate(layers):
        for word, subwords in places.items():
            expected = hidden[0, subwords].mean(0).numpy()
            assert found[layer, word] == pytest.approx(expected, abs=1e-5)


def test_every_word_of_an_overlong_sentence_has_states(letters, small_encoder):
    long = ["abc"] * 9
    found = states.of_words(small_encoder(), letters, [long], length=11, batch_tokens=100)
    assert found.shape[1] == 9 and (np.abs(found).sum(axis=2) > 0).all()
    with pytest.raises(InputError, match="none has a word"):
        states.of_words(small_encoder(), letters, [[]], length=11, batch_tokens=100)


def test_attention_is_that_of_the_model_alone_and_leaves_it_as_it_was(letters, small_encoder):
    model = small_encoder().eval()
    before = model.config._attn_implementation
    found = dict(states.attention(model, letters, SENTENCES, length=32, batch_tokens=100))
    assert model.config._attn_implementation == before
    assert [found[i].shape for i in range(3)] == [(2, 2, n, n) for n in (2, 4, 1)]
    # By hand, from the first layer's own projections, without padding.
    ids = letters("l", return_tensors="pt")
    with torch.inference_mode():
        hidden = model.embeddings(ids["input_ids"])
        attend = model.encoder.layer[0].attention.self
        query, key = (
            part(hidden).view(3, 2, 8).transpose(0, 1) for part in (attend.query, attend.key)
        )
        weights = torch.softmax(query @ key.transpose(1, 2) / np.sqrt(8), dim=-1)
    assert found[2][0, :, 0, 0] == pytest.approx(weights[:, 1, 1].numpy(), abs=1e-5)


def test_an_encoder_that_reads_packed_rows_says_the_same_and_packs_again(letters, small_encoder):
    padded, packed = small_encoder(), small_encoder()
    packing.choose(packed, "packed", torch.float32)
    found = [
        dict(states.attention(model, letters, SENTENCES, length=32, batch_tokens=100))
        for model in (padded, packed)
    ]
    for number in range(3):
        assert found[1][number] == pytest.approx(found[0][number], abs=1e-6)
    assert packing.packs(packed)
    words = [
        states.of_words(model, letters, SENTENCES, length=32, batch_tokens=100)
        for model in (padded, packed)
    ]
    assert words[1] == pytest.approx(words[0], abs=1e-5)


def test_attention_skips_sentences_that_are_read_in_pieces(letters, small_encoder):
    sentences = [["abc"] * 9, ["ab", "c"]]
    found = dict(states.attention(small_encoder(), letters, sentences, length=11, batch_tokens=99))
    assert set(found) == {1}
