"""Mixtures keep their shares, read every batch once, and train one shared encoder."""

from collections import Counter
from typing import Any

import pytest
import torch

from lib import heads, tasks
from lib.mixture import Mixture, MixtureOfHeads, order, shares

SIZES = {"mnli": 392_702, "stsb": 5_749, "squad": 87_599}


def test_shares_follow_the_sizes_up_to_the_cap():
    found = shares({"large": 900, "small": 50, "middle": 150}, cap=200)
    assert found == pytest.approx({"large": 0.5, "small": 0.125, "middle": 0.375})
    assert shares({"large": 900, "small": 100}) == pytest.approx({"large": 0.9, "small": 0.1})


def test_temperature_brings_the_shares_together():
    # Square roots of 100 and 400 are 10 and 20.
    assert shares({"a": 100, "b": 400}, temperature=2.0) == pytest.approx({"a": 1 / 3, "b": 2 / 3})
    flat = shares(SIZES, temperature=1e6)
    assert max(flat.values()) - min(flat.values()) < 1e-4


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_seed_gives_a_task_the_same_number_of_updates_in_another_order(seed: int):
    drawn = order({"a": 0.5, "b": 0.3, "c": 0.2}, 7, seed)
    # 3.5, 2.1 and 1.4 updates: the one left over goes to the largest remainder, a's.
    assert Counter(drawn) == {"a": 4, "b": 2, "c": 1}
    assert drawn != order({"a": 0.5, "b": 0.3, "c": 0.2}, 7, seed + 3)


def test_a_mixture_goes_through_each_tasks_batches_in_their_order():
    parts = {"a": [{"x": 1}, {"x": 2}], "b": [{"x": 9}]}
    mixture = Mixture(parts, ["a", "b", "a"])
    assert [mixture[i] for i in range(len(mixture))] == [
        {"task": "a", "x": 1}, {"task": "b", "x": 9}, {"task": "a", "x": 2},
    ]  # fmt: skip


def test_a_batch_trains_its_own_head_and_the_shared_encoder(small_encoder: Any):
    encoder = small_encoder()
    parts = {name: heads.make(tasks.get(name), encoder) for name in ("xnli", "stsb")}
    model = MixtureOfHeads(parts)
    batch = heads.PairClassifier.collate(
        [{"input_ids": [[0, 5, 6, 2]], "labels": 1}, {"input_ids": [[0, 7, 2]], "labels": 0}], 1
    )
    model(task="xnli", **batch)["loss"].backward()
    assert parts["xnli"].output.weight.grad is not None
    assert parts["stsb"].output.weight.grad is None
    assert parts["stsb"].encoder is parts["xnli"].encoder
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    alone = heads.make(tasks.get("xnli"), encoder)
    alone.load_state_dict(parts["xnli"].state_dict())
    with torch.no_grad():
        assert torch.equal(model(task="xnli", **batch)["loss"], alone(**batch)["loss"])
