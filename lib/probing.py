"""Ask by linear probes what states hold, beside a control task that only memory solves."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lib.errors import InputError

# Fixed beforehand, for unit variances: nothing is chosen on what is reported.
PENALTY, ITERATIONS, TOLERANCE = 1.0, 1000, 1e-3


@dataclass(frozen=True)
class Probe:
    """Hold a trained linear probe: it tells labels apart by states [words, width]."""

    mean: np.ndarray
    spread: np.ndarray
    classifier: Any

    @classmethod
    def train(cls, states: np.ndarray, labels: Sequence[str]) -> Self:
        """Train on states [words, width] and their labels.

        L2-penalised multinomial logistic regression (scikit-learn, C = 1) on states brought to mean
        0 and variance 1. Raises InputError where the labels are of one value.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        if len(set(labels)) < 2:
            raise InputError(f"labels: {sorted(set(labels))}; expected two at least to tell apart")
        mean, spread = states.mean(axis=0), states.std(axis=0)
        spread = np.where(spread > 1e-6, spread, 1.0)
        classifier = LogisticRegression(C=PENALTY, max_iter=ITERATIONS, tol=TOLERANCE)
        with warnings.catch_warnings():
            # The last digits of a loss over many columns may wander for longer.
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier.fit((states - mean) / spread, list(labels))
        return cls(mean, spread, classifier)

    def accuracy(self, states: np.ndarray, labels: Sequence[str]) -> float:
        """Return the share of words labelled right; a label that training did not have is a miss.

        Means and variances stay those of training, in any language: what a shift between languages
        costs is part of the answer.
        """
        said = self.classifier.predict((states - self.mean) / self.spread)
        return float(np.mean([a == b for a, b in zip(said, labels, strict=True)]))


def control_labels(
    words: Sequence[Sequence[str]], labels: Sequence[str], seed: int = 0
) -> list[list[str]]:
    """Give each word type one random label: the control task of Hewitt & Liang 2019.

    `words`: several lists of words, those of training and of tests, which share their types;
    `labels`: the real ones, whose frequencies random labels are drawn from (arXiv 1909.03368,
    section 2). A probe solves it by memory alone; its accuracy there is what the real accuracy is
    to be seen beside (`selectivity` is the difference). Follows from the words' order and the seed.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[str, str] = {}
    given = np.asarray(labels)
    for word in (word for some in words for word in some):
        if word not in drawn:
            drawn[word] = str(given[rng.integers(len(given))])
    return [[drawn[word] for word in some] for some in words]
