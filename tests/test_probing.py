"""Probes find what is planted, and the control task shows what is only memory."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lib import probing
from lib.errors import InputError
from lib.probing import Probe

RNG = np.random.default_rng(0)


def halves(states: np.ndarray, labels: list[str]) -> tuple:
    middle = len(labels) // 2
    return states[:middle], labels[:middle], states[middle:], labels[middle:]


def test_a_planted_linear_signal_is_found_and_noise_is_at_chance():
    labels = RNG.choice(["NOUN", "VERB", "ADP"], size=900).tolist()
    directions = {"NOUN": [3, 0], "VERB": [0, 3], "ADP": [-3, -3]}
    states = RNG.normal(size=(900, 20))
    states[:, :2] += [directions[label] for label in labels]
    train, gold, test, wanted = halves(states, labels)
    assert Probe.train(train, gold).accuracy(test, wanted) > 0.9
    noise = RNG.normal(size=(900, 20))
    train, gold, test, wanted = halves(noise, labels)
    # Three equal classes: 450 draws are within 0.08 of a third, all but never beyond.
    assert Probe.train(train, gold).accuracy(test, wanted) == pytest.approx(1 / 3, abs=0.08)


def test_a_probe_is_scikit_learns_regression_on_states_of_unit_variance():
    states = RNG.normal(size=(300, 5)) * [1, 10, 100, 0.1, 1] + 7
    labels = ["a" if row[0] + row[1] / 10 > 8 else "b" for row in states]
    train, gold, test, wanted = halves(states, labels)
    reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, tol=1e-3))
    expected = reference.fit(train, gold).score(test, wanted)
    assert Probe.train(train, gold).accuracy(test, wanted) == pytest.approx(expected, abs=0.01)


def test_a_label_that_training_did_not_have_is_a_miss_and_a_constant_state_does_no_harm():
    states = np.column_stack([[-1.0, -1, 1, 1], np.zeros(4)])
    probe = Probe.train(states, ["a", "a", "b", "b"])
    assert probe.accuracy(states, ["a", "new", "b", "b"]) == 0.75


def test_labels_of_one_value_are_refused():
    with pytest.raises(InputError, match="two at least"):
        Probe.train(np.zeros((3, 2)), ["a", "a", "a"])


def words_of_types(types: int, number: int) -> tuple[list[str], np.ndarray]:
    """Return words and states that are nothing but their word's identity."""
    places = RNG.integers(types, size=number)
    return [f"w{place}" for place in places], np.eye(types)[places]


def selectivity(states: np.ndarray, words: list[str], labels: list[str]) -> float:
    train, gold, test, wanted = halves(states, labels)
    middle = len(words) // 2
    some, others = probing.control_labels([words[:middle], words[middle:]], gold)
    real = Probe.train(train, gold).accuracy(test, wanted)
    return real - Probe.train(train, some).accuracy(test, others)


def test_a_label_that_follows_from_the_word_has_no_selectivity():
    words, states = words_of_types(40, 2000)
    tags = {f"w{place}": ["NOUN", "VERB"][place % 2] for place in range(40)}
    assert abs(selectivity(states, words, [tags[word] for word in words])) < 0.02


def test_a_label_that_states_hold_beside_the_word_has_selectivity():
    words, states = words_of_types(40, 2000)
    tags = RNG.choice(["NOUN", "VERB"], size=2000).tolist()
    states = np.column_stack([0 * states, [[2.0] if tag == "NOUN" else [-2.0] for tag in tags]])
    assert selectivity(states, words, tags) > 0.3


def test_a_word_has_one_random_label_everywhere_drawn_as_often_as_the_real_ones():
    first, second = [f"w{i}" for i in range(4000)], ["w7", "w7", "new"]
    labels = ["NOUN"] * 300 + ["VERB"] * 100
    some, others = probing.control_labels([first, second], labels)
    assert others[0] == others[1] == some[7]
    # 4,000 draws of probability 0.75: four standard errors are 0.027.
    assert some.count("NOUN") / 4000 == pytest.approx(0.75, abs=0.027)
    assert probing.control_labels([first, second], labels) == [some, others]
