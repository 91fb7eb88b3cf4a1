"""Batches hold every example, keep their budget, and mask as BERT does."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from lib import batches
from lib.batches import MaskedBlocks, SpecialTokens
from lib.profile import Budget

SPECIAL = SpecialTokens(start=0, end=2, pad=1, mask=199, every=(0, 1, 2, 3, 199))


def drawn(number: int, mean: float, seed: int = 0) -> list[int]:
    """Draw lengths as sentences have them: skewed, from 3 to 200 tokens."""
    values = np.random.default_rng(seed).gamma(2.5, mean / 2.5, number)
    return values.round().clip(3, 200).astype(int).tolist()


def tokens(plan: list[list[int]], lengths: list[int]) -> int:
    return sum(lengths[i] for batch in plan for i in batch)


def padding(plan: list[list[int]], lengths: list[int]) -> float:
    """Return the share of padding in the plan's tensors."""
    cells = sum(len(batch) * max(lengths[i] for i in batch) for batch in plan)
    return 1 - tokens(plan, lengths) / cells


# Plans


@pytest.mark.parametrize("number", [7, 500, 5000])
def test_batches_keep_their_budget(number: int) -> None:
    lengths = [min(length, 256) for length in drawn(number, 20)]
    plan = batches.plan_updates(lengths, 256, 100, seed=1)
    assert len(plan) == 100
    assert max(tokens([batch], lengths) for batch in plan) <= 256


def test_an_example_over_the_budget_gets_a_batch_of_its_own() -> None:
    plan = batches.plan_updates([5, 300, 4], 10, 20, seed=1)
    assert [1] in plan
    assert all(len(batch) == 1 for batch in plan if 1 in batch)


def test_batches_of_similar_lengths_hold_little_padding() -> None:
    lengths = drawn(4000, 20)
    plan = batches.plan_updates(lengths, 512, 150, seed=1)
    order = np.random.default_rng(2).permutation(4000).tolist()
    unsorted = [order[i : i + 25] for i in range(0, 4000, 25)]
    assert padding(plan, lengths) < 0.1 < 0.4 < padding(unsorted, lengths)


def test_updates_run_through_the_data_about_equally_often() -> None:
    lengths = drawn(2000, 20)
    plan = batches.plan_updates(lengths, 128, 1600, seed=1)
    seen = Counter(i for batch in plan for i in batch)
    assert set(seen) == set(range(2000))
    assert max(seen.values()) - min(seen.values()) <= 2


@pytest.mark.parametrize("number", [60, 125, 250, 500, 1000, 2500])
@pytest.mark.parametrize(
    "how",
    [
        {"updates": 300, "batch_tokens": 512},
        {"updates": 300, "batch_tokens": 512, "batch_examples": 24},
        {"epochs": 5.0, "batch_examples": 24},
    ],
)
def test_no_batch_of_a_small_set_holds_an_example_twice(number: int, how: dict) -> None:
    lengths = drawn(number, 20)
    plan = batches.plan_training(lengths, Budget(**how), seed=1)
    assert all(len(set(batch)) == len(batch) for batch in plan)
    full = np.mean([len(batch) / 24 if "batch_examples" in how else tokens([batch], lengths) / 512
                    for batch in plan])  # fmt: skip
    assert full > 0.98
    seen = Counter(i for batch in plan for i in batch)
    assert set(seen) == set(range(number))
    assert max(seen.values()) - min(seen.values()) <= 3


def test_a_set_smaller_than_a_batch_fills_it_with_copies() -> None:
    plan = batches.plan_updates([10] * 5, 100, 20, seed=1)
    assert len(plan) == 20 and {len(batch) for batch in plan} == {10}


def test_a_seed_fixes_the_order_and_another_seed_changes_it() -> None:
    lengths = drawn(100, 20)
    one, again, other = (batches.plan_updates(lengths, 128, 30, seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other


EWT_AND_STSB = ((12_543, 22), (5_749, 36))
WORLD = ((2000, 14), (2000, 28))


@pytest.mark.parametrize(("parsing", "pairs"), [EWT_AND_STSB, WORLD])
def test_conditions_of_other_lengths_read_the_same_tokens_in_the_same_updates(
    parsing: tuple[int, int], pairs: tuple[int, int]
) -> None:
    read = []
    for seed, (number, mean) in enumerate((parsing, pairs)):
        lengths = drawn(number, mean, seed)
        plan = batches.plan_updates(lengths, 1024, 400, seed=1)
        assert len(plan) == 400
        read.append(tokens(plan, lengths))
    assert abs(read[0] / read[1] - 1) < 0.02


@pytest.mark.parametrize(("number", "mean"), [(12_543, 22), (5_749, 36), (2000, 28)])
def test_batches_fill_their_budget_as_the_placebos_blocks_do(number: int, mean: int) -> None:
    lengths = drawn(number, mean)
    plan = batches.plan_updates(lengths, 1024, 200, seed=1)
    assert tokens(plan, lengths) / (200 * 1024) > 0.98


def test_a_budget_in_epochs_reads_each_example_so_often() -> None:
    lengths = drawn(3000, 20)
    plan = batches.plan_training(lengths, Budget(epochs=3.0, batch_examples=32), seed=1)
    # 3 x 3000 / 32 = 281.25
    assert len(plan) == 281 and {len(batch) for batch in plan} == {32}
    seen = Counter(i for batch in plan for i in batch)
    assert set(seen) == set(range(3000)) and set(seen.values()) <= {2, 3, 4}
    filled = batches.plan_training(lengths, Budget(epochs=2.0, batch_tokens=512), seed=1)
    assert tokens(filled, lengths) == pytest.approx(2 * sum(lengths), rel=0.02)


def test_batches_of_so_many_examples_are_of_similar_lengths_too() -> None:
    lengths = drawn(4000, 20)
    plan = batches.plan_training(lengths, Budget(updates=100, batch_examples=32), seed=1)
    assert len(plan) == 100 and padding(plan, lengths) < 0.1


def test_a_mixture_says_how_many_updates_its_part_has() -> None:
    budget = Budget(epochs=3.0, batch_tokens=512)
    assert len(batches.plan_training(drawn(500, 20), budget, seed=1, updates=7)) == 7


def test_evaluation_reads_every_example_once_shortest_first() -> None:
    features = [{"input_ids": [[7] * length]} for length in (9, 2, 5, 30, 3)]
    data = batches.for_evaluation(features, 10, list)
    assert data.plan == [[1, 4, 2], [0], [3]]
    read = [len(feature["input_ids"][0]) for i in range(len(data)) for feature in data[i]]
    assert all(before <= after for before, after in pairwise(read))


def test_a_pair_of_sequences_counts_the_tokens_of_both() -> None:
    features = [{"input_ids": [[1, 2, 3], [4, 5]]}, {"input_ids": [[6]]}]
    assert [batches.number_of_tokens(feature) for feature in features] == [5, 1]
    assert batches.Batches(features, [[0], [1, 0]], list).tokens() == 11


def test_the_share_of_padding_is_counted_as_batches_are_padded() -> None:
    features = [{"input_ids": [[1] * first, [2] * second]} for first, second in ((4, 2), (1, 1))]
    # Together 4 sequences of 4 positions hold 8 tokens; the second alone holds no padding.
    assert batches.Batches(features, [[0, 1]], list).padding() == 0.5
    assert batches.Batches(features, [[1]], list).padding() == 0.0
    assert batches.Batches(features, [], list).padding() == 0.0
    # In two pieces: 6 tokens in 2 x 4 positions, 2 in 2 x 1.
    assert batches.Batches(features, [[0, 1]], list, at_once=8).padding() == 0.2


def test_sequences_are_padded_on_the_right_and_masked() -> None:
    padded = batches.pad_sequences([[0, 8, 2], [0, 2]], pad_id=1)
    assert padded["input_ids"].tolist() == [[0, 8, 2], [0, 2, 1]]
    assert padded["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


# Masking


@pytest.fixture(scope="module")
def blocks() -> torch.Tensor:
    ids = torch.randint(4, 199, (1000, 100), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = SPECIAL.start
    ids[:, 50] = SPECIAL.end
    ids[::3, 99] = 3  # the unknown token
    return ids.int()


def masked(
    blocks: torch.Tensor, seed: int = 1, plan: list[list[int]] | None = None
) -> MaskedBlocks:
    return MaskedBlocks(blocks, plan or [list(range(1000))], SPECIAL, 200, 0.2, seed)


def test_the_asked_share_is_chosen_and_no_special_token(blocks: torch.Tensor) -> None:
    chosen = masked(blocks)[0]["chosen"]
    special = torch.isin(blocks, torch.tensor(SPECIAL.every))
    assert not chosen[special].any()
    number = int((~special).sum())
    spread = (0.2 * 0.8 / number) ** 0.5
    assert abs(int(chosen.sum()) / number - 0.2) < 4 * spread


def test_of_the_chosen_eight_in_ten_are_masked_one_random_one_kept(blocks: torch.Tensor) -> None:
    batch = masked(blocks)[0]
    given = batch["input_ids"][batch["chosen"]]
    number = len(given)
    found = {
        0.8: (given == SPECIAL.mask).sum(),
        # A random token is by chance the original once in 200 times.
        0.1 + 0.1 / 200: (given == batch["labels"]).sum(),
        0.1 - 0.1 / 200 * 2: ((given != batch["labels"]) & (given != SPECIAL.mask)).sum(),
    }
    for share, count in found.items():
        assert abs(int(count) / number - share) < 4 * (share * (1 - share) / number) ** 0.5 + 1e-3


def test_labels_are_the_original_tokens_and_the_rest_is_untouched(blocks: torch.Tensor) -> None:
    batch = masked(blocks)[0]
    assert torch.equal(batch["labels"], blocks[batch["chosen"]].long())
    rest = ~batch["chosen"]
    assert torch.equal(batch["input_ids"][rest], blocks[rest].long())


def test_what_is_masked_follows_from_seed_and_index_alone(blocks: torch.Tensor) -> None:
    data, again = (masked(blocks, plan=[[0, 1], [0, 1]]) for _ in range(2))
    again[0]
    assert torch.equal(data[1]["input_ids"], again[1]["input_ids"])
    assert not torch.equal(data[0]["chosen"], data[1]["chosen"])
    assert not torch.equal(data[0]["chosen"], masked(blocks, 2, [[0, 1]])[0]["chosen"])


def test_blocks_hold_the_text_in_order_and_lose_less_than_one_block() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.integers(4, 99, rng.integers(1, 30)).tolist() for _ in range(57)]
    stream = [i for sequence in sequences for i in (*sequence, 2)]
    for length in (2, 8, 33):
        cut = batches.cut_blocks(sequences, length, SPECIAL)
        assert (cut[:, 0] == SPECIAL.start).all()
        body = cut[:, 1:].flatten().tolist()
        assert body == stream[: len(body)]
        assert len(stream) - len(body) < length - 1
    assert batches.cut_blocks([], 8, SPECIAL).shape == (0, 8)
