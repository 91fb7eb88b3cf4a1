"""Estimates behind the claims are those worked by hand, and no test data choose anything."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib import evidence, findings, profile
from lib.evidence import CONTRADICTED, SUPPORTED, UNDECIDED, Count, Estimate, Study

FULL = profile.load("world_full", whole=True)
LARGE = profile.load("xtreme_large", whole=True)
MNLI, HELLASWAG, SQUAD = "mnli", "hellaswag", "squad_v2"


def study(scores: dict[tuple, float], settings: profile.Profile = FULL) -> Study:
    """Return a study of scores by condition, target, language, seed and split."""
    rows = [(*key, value) for key, value in scores.items()]
    names = ["condition", "target", "language", "seed", "split", "value"]
    table = pd.DataFrame(rows, columns=names)
    table["encoder_seed"] = table["seed"].map(settings.seeds)
    table["reported"] = table["split"] != "development"
    metrics = {"panx": "f1", "xnli": "accuracy", "tatoeba": "accuracy", "xquad": "score"}
    return Study(settings, table.assign(metric=table["target"].map(metrics), n=100, layer=pd.NA))


def simple(gains: dict[tuple, float], seeds: tuple[int, ...] = (1, 2, 3)) -> Study:
    """Return a study of gains in points by condition, target, language and seed."""
    scores: dict[tuple, float] = {}
    for (condition, target, language, seed), points in gains.items():
        scores[condition, target, language, seed, "test"] = 0.5 + points / 100
        scores["none", target, language, seed, "test"] = 0.5
    return study(scores)


def test_the_conditions_that_play_a_part_are_found_by_what_they_train() -> None:
    assert evidence.alone(LARGE, "squad", "squad_v2") == ["squad-3epochs"]
    assert evidence.alone(LARGE, "qqp") == ["qqp-3epochs"]  # not the matched one
    assert evidence.alone(FULL, "squad", "squad_v2") == ["squad_v2"]
    assert evidence.alone(FULL, "anli") == []
    assert evidence.several(LARGE) == ["multitask"]  # of all nine, before that without CCGbank
    assert evidence.translated(LARGE) == ["mnli-3epochs", "mnli_translated-3epochs"]
    pairs = evidence.with_masking(FULL)
    assert pairs == ["ud_parsing", "ud_parsing-joint_mlm", "stsb", "stsb-joint_mlm"]
    assert len(evidence.each_alone(LARGE)) == len(evidence.nine()) == 9


def test_the_best_of_the_nine_is_chosen_among_these_alone() -> None:
    assert set(evidence.to_choose_from(LARGE)) == {*evidence.each_alone(LARGE), "multitask"}
    # That of `world_full` trains the two compared tasks too; `small_cpu` has one of the nine.
    assert evidence.to_choose_from(FULL) == evidence.each_alone(FULL)
    small = profile.load("small_cpu", whole=True)
    assert evidence.each_alone(small) and not evidence.to_choose_from(small)


def test_fewer_examples_another_head_or_permuted_trees_play_no_part() -> None:
    for name in ("ud_parsing-n125", "ud_parsing-deep_biaffine", "ud_parsing_shuffled"):
        only = FULL.model_copy(update={"conditions": {name: FULL.conditions[name]}})
        assert evidence.alone(only, "ud_parsing") == []


def test_a_mean_gain_is_over_languages_then_targets_within_each_replicate() -> None:
    gains = {
        (MNLI, "panx", "en", 1): 1, (MNLI, "panx", "qaa", 1): 3, (MNLI, "xnli", "qaa", 1): 10,
        (MNLI, "panx", "en", 2): 2, (MNLI, "panx", "qaa", 2): 2, (MNLI, "xnli", "qaa", 2): 4,
        (MNLI, "panx", "en", 3): 0, (MNLI, "panx", "qaa", 3): 4, (MNLI, "xnli", "qaa", 3): 7,
    }  # fmt: skip
    found = evidence.mean_gain(simple(gains), [MNLI])
    expected = stats.ttest_1samp([6.0, 3.0, 4.5], 0).confidence_interval(0.95)
    assert found[:3] == pytest.approx((4.5, expected.low, expected.high))
    assert (found.replicates, found.targets) == (3, 2)
    assert evidence.mean_gain(simple(gains), [MNLI], ["panx"]).mean == pytest.approx(2)
    assert np.isnan(evidence.mean_gain(simple(gains), [MNLI], ["bucc"]).mean)


def test_a_replicate_that_lacks_a_condition_is_left_out_of_their_mean() -> None:
    gains = {(MNLI, "xnli", "qaa", seed): 1.0 * seed for seed in (1, 2, 3)}
    gains |= {(SQUAD, "xnli", "qaa", seed): 3.0 * seed for seed in (2, 3)}
    found = evidence.mean_gain(simple(gains), [MNLI, SQUAD])
    assert found.mean == pytest.approx((4 + 6) / 2) and found.replicates == 2


def test_a_difference_of_pairs_is_worked_by_hand() -> None:
    gains = {
        (name, "xnli", "qaa", seed): points + seed
        for name, points in (("ud_parsing", 4), ("ud_parsing-joint_mlm", 1), ("stsb", 2),
                             ("stsb-joint_mlm", 1))
        for seed in (1, 2, 3)
    }  # fmt: skip
    found = evidence.difference(simple(gains), evidence.with_masking(FULL))
    assert found[:3] == pytest.approx((2, 2, 2))  # (3 + 1) / 2, the same with every seed


def test_a_retrieval_gain_is_set_against_that_of_the_other_targets() -> None:
    gains = {
        (MNLI, target, "qaa", seed): points + seed * (target == "tatoeba")
        for target, points in (("tatoeba", 5), ("xnli", 1), ("panx", 3))
        for seed in (1, 2, 3)
    }
    found = evidence.retrieval_over_others(simple(gains), [MNLI])
    expected = stats.ttest_1samp([4.0, 5.0, 6.0], 0).confidence_interval(0.95)
    assert found[:3] == pytest.approx((5, expected.low, expected.high))


def test_the_best_condition_is_chosen_on_english_development_data_and_never_on_test_data() -> None:
    scores: dict[tuple, float] = {}
    development = {("panx", MNLI): 0.7, ("panx", SQUAD): 0.6,
                   ("xnli", MNLI): 0.6, ("xnli", SQUAD): 0.9}  # fmt: skip
    for seed in (1, 2, 3):
        for target in ("panx", "xnli", "tatoeba"):
            for name in ("none", MNLI, SQUAD):
                if target != "tatoeba":
                    value = development.get((target, name), 0.5)
                    scores[name, target, "en", seed, "development"] = value
                    scores[name, target, "en", seed, "test"] = 0.5
                # On test data mnli is better everywhere, with a gain of 4 against 1 point.
                gain = {"none": 0.0, MNLI: 0.04, SQUAD: 0.01}[name]
                scores[name, target, "qaa", seed, "test"] = 0.4 + gain
    found, chosen = evidence.best_per_target(study(scores), [MNLI, SQUAD])
    # Retrieval has no development data: squad_v2 is best on average over the others.
    assert chosen == {"panx": MNLI, "xnli": SQUAD, "tatoeba": SQUAD}
    assert found.mean == pytest.approx((4 + 1 + 1) / 3)
    note = findings.best(7.0, study(scores), [MNLI, SQUAD]).note
    assert "; tatoeba without such data: the best on average over the others)" in note
    for key in list(scores):
        if key[-1] == "test":
            scores[key] = 1 - scores[key]
    assert evidence.best_per_target(study(scores), [MNLI, SQUAD])[1] == chosen


def test_without_development_scores_nothing_is_chosen() -> None:
    found, chosen = evidence.best_per_target(simple({(MNLI, "xnli", "qaa", 1): 1}), [MNLI])
    assert chosen == {} and np.isnan(found.mean)


def test_a_condition_on_the_targets_own_training_set_is_left_out() -> None:
    assert evidence.sharing_no_training(study({}), [MNLI, HELLASWAG], "xnli") == [HELLASWAG]
    # In the world too XQuAD trains on SQuAD 1.1, and SQuAD 2.0 is another set.
    assert evidence.sharing_no_training(study({}), [MNLI, SQUAD], "xquad") == [MNLI, SQUAD]


def interval(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 3, 9)


NONE = Estimate(1.0, np.nan, np.nan, 1, 9)


def test_a_size_is_judged_by_the_interval_and_only_where_it_can_be_compared() -> None:
    cases = {(7, 9): SUPPORTED, (1, 4): CONTRADICTED, (9, 12): CONTRADICTED,
             (-5, -1): CONTRADICTED, (-1, 9): UNDECIDED}  # fmt: skip
    for ends, verdict in cases.items():
        assert evidence.judge_size(interval(*ends), 8.2, comparable=True) == verdict
    assert evidence.judge_size(interval(1, 4), 8.2, comparable=False) == "direction supported"
    assert evidence.judge_size(interval(-5, -1), 8.2, comparable=False) == "direction contradicted"
    assert evidence.judge_size(interval(-1, 9), 8.2, comparable=False) == UNDECIDED
    assert evidence.judge_size(NONE, 8.2, comparable=True) == UNDECIDED


def test_no_gain_needs_an_interval_that_is_all_under_the_smallest_gain() -> None:
    cases = {(-0.5, 0.9): SUPPORTED, (-3, -1): SUPPORTED, (-2, 2): UNDECIDED,
             (0.1, 0.5): CONTRADICTED, (0.1, 3): CONTRADICTED}  # fmt: skip
    for ends, verdict in cases.items():
        assert evidence.judge_no_gain(interval(*ends)) == verdict
    assert evidence.judge_no_gain(NONE) == UNDECIDED


@pytest.mark.parametrize(
    ("count", "most", "many"),
    [
        (Count(9, 0, 9), SUPPORTED, SUPPORTED),
        (Count(8, 1, 9), SUPPORTED, UNDECIDED),
        (Count(8, 0, 9), SUPPORTED, SUPPORTED),
        (Count(6, 0, 9), UNDECIDED, SUPPORTED),
        (Count(3, 0, 9), UNDECIDED, UNDECIDED),
        (Count(5, 2, 9), CONTRADICTED, UNDECIDED),
        (Count(2, 5, 9), CONTRADICTED, CONTRADICTED),
        (Count(1, 1, 2), CONTRADICTED, UNDECIDED),
        (Count(1, 0, 1), UNDECIDED, UNDECIDED),
    ],
)
def test_many_and_almost_every_are_counted_by_their_intervals(
    count: Count, most: str, many: str
) -> None:
    assert evidence.judge_many(count, most=True) == most
    assert evidence.judge_many(count, most=False) == many


def test_sizes_can_be_compared_in_the_reference_profile_alone() -> None:
    assert Study(LARGE, pd.DataFrame()).is_reference
    base = profile.load("xtreme_base", whole=True)
    assert not Study(base, pd.DataFrame()).is_reference
    assert not Study(FULL, pd.DataFrame()).is_reference
