"""A batch read in parts trains as the whole batch does."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_heads import KINDS, PAD, feature, made

from lib import batches, heads, training
from lib.batches import Batches, MaskedBlocks, SpecialTokens
from lib.mixture import Mixture, MixtureOfHeads

LENGTHS = (9, 3, 14, 6, 11, 2, 7, 5, 12, 4, 8, 10)


def data(kind: str, head: heads.Head, at_once: int) -> Batches:
    features = [feature(kind, words, seed) for seed, words in enumerate(LENGTHS)]
    plan = [list(range(i, len(LENGTHS), 2)) for i in (0, 1)]
    return Batches(features, plan, partial(head.collate, pad_id=PAD), at_once)


def trained(head: torch.nn.Module, planned: Any, folder: Path) -> list[dict[str, float]]:
    return training.train(head, planned, folder, learning_rate=1e-2, warmup_ratio=0.0,
                          weight_decay=0.0, seed=1, what="parts")  # fmt: skip


def gradients(head: torch.nn.Module, batch: dict[str, Any]) -> list[torch.Tensor]:
    """Return the gradients of a batch, or of its parts together, by hand."""
    parts = batch.get("parts", [batch])
    items = [heads.number_of_items(part) for part in parts]
    head.zero_grad()
    for part, number in zip(parts, items, strict=True):
        (head(**part)["loss"] * number / sum(items)).backward()
    return [p.grad.clone() for p in head.parameters() if p.grad is not None]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_four_parts_are_those_of_the_batch(kind: str, small_encoder: Any) -> None:
    head = made(kind, small_encoder())
    head.eval()  # no dropout, which parts would draw anew
    whole = data(kind, head, 0)
    limit = next(n for n in range(20, 400) if len(data(kind, head, n)[0].get("parts", [])) == 4)
    both = [gradients(head, planned[0]) for planned in (whole, data(kind, head, limit))]
    assert any(each.abs().max() > 1e-4 for each in both[0])
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("kind", ["tagging", "span"])
def test_losses_of_a_training_in_parts_are_those_of_the_whole(
    kind: str, small_encoder: Any, tmp_path: Path
) -> None:
    losses = []
    for at_once in (0, 40):
        head = made(kind, small_encoder())
        head.dropout.p = 0.0
        planned = data(kind, head, at_once)
        planned.plan = planned.plan * 4
        losses.append([row["loss"] for row in trained(head, planned, tmp_path / str(at_once))])
    assert len(losses[0]) == 8 and losses[0][-1] < losses[0][0]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_any_kind_that_memory_refuses_trains_as_if_it_had_not(
    kind: str, small_encoder: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], record: Any
) -> None:
    losses = []
    for share in (1.0, 0.6):
        head = made(kind, small_encoder())
        for layer in head.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        planned = data(kind, head, 0)
        limit = share * max(map(heads.number_of_positions, planned))  # type: ignore[arg-type]

        def refuse(module: Any, given: Any, named: dict[str, Any], limit: float = limit) -> None:
            if named["input_ids"].numel() > limit:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

        head.encoder.register_forward_pre_hook(refuse, with_kwargs=True)
        planned.plan = planned.plan * 2
        losses.append([row["loss"] for row in trained(head, planned, tmp_path / str(share))])
    assert capsys.readouterr().out.count("out of memory on") == 1
    assert losses[0][-1] != losses[0][0] and losses[1] == pytest.approx(losses[0], rel=1e-3)
    record("out of memory in a training, feigned")


def test_masked_blocks_hide_the_same_tokens_in_parts(small_encoder: Any, tmp_path: Path) -> None:
    special = SpecialTokens(0, 2, 1, 30, (0, 1, 2, 3, 30))
    blocks = torch.from_numpy(np.random.default_rng(0).integers(4, 30, (7, 12)))
    whole, parts = (
        MaskedBlocks(blocks, [list(range(7))], special, 31, 0.3, 1, at_once)[0]
        for at_once in (0, 24)
    )
    assert [len(part["input_ids"]) for part in parts["parts"]] == [2, 2, 2, 1]
    for key, value in whole.items():
        assert torch.cat([part[key] for part in parts["parts"]]).equal(value)
    head = heads.MaskedLanguageModel(small_encoder(mlm=True)).eval()
    for one, other in zip(gradients(head, whole), gradients(head, parts), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_pieces_keep_every_feature_and_the_limit() -> None:
    features = [{"input_ids": [[7] * n]} for n in (9, 3, 14, 6, 40, 2)]
    cut = batches.pieces(features, 30)
    assert [[len(f["input_ids"][0]) for f in piece] for piece in cut] == [[40], [14, 9], [6, 3, 2]]
    assert batches.pieces(features, 0) == [features]


def test_a_mixture_in_parts_still_names_its_task(small_encoder: Any, tmp_path: Path) -> None:
    shared = small_encoder()
    both = {kind: made(kind, shared) for kind in ("tagging", "regression")}
    mixed = Mixture({kind: data(kind, head, 40) for kind, head in both.items()},
                    ["tagging", "regression", "tagging"])  # fmt: skip
    assert {part["task"] for part in mixed[0]["parts"]} == {"tagging"}
    before = {name: p.detach().clone() for name, p in both["tagging"].named_parameters()}
    assert len(trained(MixtureOfHeads(both), mixed, tmp_path)) == 3
    after = dict(both["tagging"].named_parameters())
    assert any(not after[name].equal(p) for name, p in before.items())
