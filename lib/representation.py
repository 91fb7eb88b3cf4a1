"""Measure representations: their likeness, their isotropy, and heads that attend to syntax.

All measures are of plain arrays; `lib.layers` reads them from encoders.
"""

from collections.abc import Hashable, Sequence

import numpy as np

from lib.errors import InputError

FURTHEST = 10  # words: the largest fixed offset that the baseline of attention may take


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Return the linear centred kernel alignment of two representations of the same examples.

    `first`: [n, d], `second`: [n, e], row by row. 1: equal up to rotation and scale. Kornblith et
    al. 2019 (arXiv 1905.00414, section 3), with the unbiased HSIC of Song et al. 2012 (Feature
    Selection via Dependence Maximization, equation 5): the biased one of their paper is far from 0
    for unrelated vectors unless n is many times their width, and here both are some hundreds.
    Unrelated vectors thus give 0 on average, and may give a little less. NaN where one side does
    not vary. Raises InputError for fewer than four examples or sides of different lengths.
    """
    if len(first) != len(second) or len(first) < 4:
        raise InputError(f"representations: {len(first)} and {len(second)} examples; expected the "
                         "same number, four at least")  # fmt: skip
    grams = [_gram(side) for side in (first, second)]
    crossed, own, other = _hsic(*grams), _hsic(grams[0], grams[0]), _hsic(grams[1], grams[1])
    return crossed / float(np.sqrt(own * other)) if min(own, other) > 1e-12 else np.nan


def _gram(vectors: np.ndarray) -> np.ndarray:
    """Return the inner products of centred vectors of mean square length 1, zero on the diagonal.

    CKA changes with neither, for its HSIC is unbiased; they keep differences of large sums exact.
    """
    wide = vectors.astype(np.float64)
    wide = wide - wide.mean(axis=0)
    wide /= np.sqrt((wide**2).sum(axis=1).mean()) or 1.0
    gram = wide @ wide.T
    np.fill_diagonal(gram, 0.0)
    return gram


def _hsic(first: np.ndarray, second: np.ndarray) -> float:
    """Return unbiased HSIC of two kernel matrices [n, n] whose diagonals are zero."""
    n = len(first)
    sums = first.sum(axis=0), second.sum(axis=0)
    trace = (first * second).sum()
    both = sums[0].sum() * sums[1].sum() / ((n - 1) * (n - 2))
    crossed = 2 * (sums[0] @ sums[1]) / (n - 2)
    return float((trace + both - crossed) / (n * (n - 3)))


def mean_cosine(vectors: np.ndarray) -> float:
    """Return the mean cosine of all pairs of different examples; `vectors`: [n, d].

    0: no direction is preferred. Ethayarajh 2019 (arXiv 1909.00512, section 3.3) samples pairs;
    over all of them the mean follows from the sum of the unit vectors. Moved by a common shift of
    all vectors, as one outlying coordinate makes: see `first_component_share`.
    """
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
    n, total = len(unit), unit.sum(axis=0)
    return float((total @ total - (unit**2).sum()) / (n * (n - 1)))


def first_component_share(vectors: np.ndarray) -> float:
    """Return the share of the variance of `vectors` [n, d] on their first principal component.

    1 / d: as isotropic as can be; 1: all on a line. Blind to a common shift, unlike the mean
    cosine. NaN where nothing varies.
    """
    wide = vectors.astype(np.float64)
    centred = wide - wide.mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False) ** 2
    return float(values[0] / values.sum()) if values.sum() > 0 else np.nan


def most_attended(weights: np.ndarray) -> np.ndarray:
    """Return the other word that each word attends to most: int64 [..., words].

    `weights`: [..., words, words], a row for the word that attends. A word's attention to itself is
    left out, for no word is its own head. A sentence of one word gives 0.
    """
    others = weights + np.diag(np.full(weights.shape[-1], -np.inf))
    return others.argmax(axis=-1)


def heads_found(weights: np.ndarray, heads: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Say which words each attention head, and each fixed offset, gives the right syntactic head.

    `weights`: [layers, heads, words, words] of one sentence; `heads`: 1-based, 0 is the root.
    Returns bool [layers, heads, words] and [offsets, words] over the words that have a head in the
    sentence: roots are left out. Offsets are -FURTHEST to FURTHEST words without 0: the baseline of
    Clark et al. 2019 (arXiv 1906.04341, section 4.2).
    """
    gold = np.asarray(heads)
    hanging = gold > 0
    right = most_attended(weights)[:, :, hanging] == gold[hanging] - 1
    offsets = np.array([step for step in range(-FURTHEST, FURTHEST + 1) if step])
    fixed = np.arange(len(gold))[hanging] + offsets[:, None] == gold[hanging] - 1
    return right, fixed


def best_share(right: np.ndarray, fold: np.ndarray) -> float:
    """Return the share of words that the best candidate gets right, on words it was not chosen on.

    `right`: bool [candidates, words]; `fold`: bool [words], the half that a word belongs to. The
    best candidate of each half is scored on the other, and words of both are counted together. NaN
    where a half is empty.
    """
    if fold.all() or not fold.any():
        return np.nan
    hits = sum(
        right[right[:, half].mean(axis=1).argmax()][~half].sum() for half in (fold, ~fold)
    )  # fmt: skip
    return float(hits / len(fold))


def best_share_by_kind(
    right: np.ndarray, fold: np.ndarray, kinds: Sequence[Hashable], least: int = 10
) -> tuple[float, int]:
    """Return `best_share` where each kind of word has a best candidate of its own, and the words.

    `kinds`: the relation of each word, say; those with fewer than `least` words in either half are
    left out. Kinds count by their words, as those of no kind do in `best_share`.
    """
    labels = np.asarray(kinds)
    total, counted = 0.0, 0
    for kind in dict.fromkeys(labels.tolist()):
        members = labels == kind
        if min((fold & members).sum(), (~fold & members).sum()) < least:
            continue
        number = int(members.sum())
        total += best_share(right[:, members], fold[members]) * number
        counted += number
    return (total / counted if counted else np.nan), counted
