"""What a GPU computes is what a processor does: `make test-gpu`, on a machine that has one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_heads import KINDS, PAD, VOCABULARY, feature, made

from lib import batches, encoder, heads, packing, retrieval, training
from lib.profile import Encoder

DEVICE = encoder.device()
pytestmark = pytest.mark.skipif(DEVICE.type != "cuda", reason="no GPU that tests may use")
SIZES = Encoder(layers=2, hidden_size=64, attention_heads=4, feed_forward_size=128, dropout=0.0)
SPECIAL = batches.SpecialTokens(start=0, end=2, pad=PAD, mask=30, every=(0, 1, 2, 3, 30))
HALF = pytest.mark.usefixtures("half_precision")


def new(attention: str, dropout: float = 0.0) -> Any:
    torch.manual_seed(5)
    sizes = SIZES.model_copy(update={"attention": attention, "dropout": dropout})
    return encoder.new(sizes, VOCABULARY)


def on_device(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value.to(DEVICE) for key, value in batch.items()}


@HALF
def test_the_kernels_for_packed_rows_pass_their_check() -> None:
    model = new("auto").base_model
    assert packing._check(model, torch.bfloat16) == "" and packing.packs(model)


@HALF
@pytest.mark.parametrize("kind", KINDS)
def test_packed_logits_and_gradients_are_those_of_padded_reading(kind: str) -> None:
    found = []
    for attention in ("padded", "auto"):
        head = made(kind, new(attention).base_model).to(DEVICE).eval()
        assert packing.packs(head.encoder) == (attention == "auto")
        batch = head.collate([feature(kind, words, words) for words in (3, 19, 2, 6)], PAD)
        output = head(**on_device(batch))
        output["loss"].backward()
        parts = [p.grad for p in head.parameters() if p.grad is not None]
        found.append((output["loss"].item(), torch.cat([p.flatten() for p in parts])))
    (expected, gradient), (loss, other) = found
    assert loss == pytest.approx(expected, rel=0.02)
    # bfloat16 keeps eight bits of every product.
    assert torch.nn.functional.cosine_similarity(gradient, other, dim=0) > 0.99


@HALF
@pytest.mark.parametrize("attention", ["padded", "auto"])
def test_a_training_learns_and_goes_on_from_its_checkpoint(attention: str, tmp_path: Path) -> None:
    blocks = torch.arange(4, 20)[:, None].expand(-1, 24)  # a token's neighbours say what it is
    plan = [[(i + j) % 16 for j in range(8)] for i in range(60)]
    data = batches.MaskedBlocks(blocks, plan, SPECIAL, VOCABULARY, 0.15, seed=1)

    def losses(folder: Path, updates: int) -> list[float]:
        data.plan = plan[:updates]
        model = heads.MaskedLanguageModel(new(attention, dropout=0.1))
        rows = training.train(
            model, data, folder, learning_rate=5e-3, warmup_ratio=0.1, weight_decay=0.0, seed=1,
            what="gpu", checkpoint_updates=20,
        )  # fmt: skip
        return [row["loss"] for row in rows]

    whole = losses(tmp_path, 60)
    assert np.mean(whole[-5:]) < np.mean(whole[:5]) - 0.5
    resumed = losses(tmp_path, 60)  # from the last checkpoint: nothing is left to train
    assert resumed == whole


def test_half_precision_finds_the_neighbours_that_numpy_finds() -> None:
    random = np.random.default_rng(7)
    sides = [random.normal(size=(size, 256)).astype(np.float16) for size in (3000, 5001)]
    units = [side.astype(np.float64) for side in sides]
    units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in units]
    cosines = units[0] @ units[1].T
    both = retrieval.nearest_both_ways(*sides, 4, 1024, "cuda")
    for (found, places), expected in zip(both, (cosines, cosines.T), strict=True):
        highest = -np.sort(-expected, axis=1)[:, :4]
        np.testing.assert_allclose(found, highest, atol=1e-6)
        np.testing.assert_allclose(np.take_along_axis(expected, places, 1), highest, atol=1e-6)
