"""Several sequences in one row are read as each would be alone."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_heads import KINDS, PAD, VOCABULARY, feature, made
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from lib import encoder, packing
from lib.batches import pad_sequences
from lib.errors import InputError

SIZES = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2,
         "num_attention_heads": 2, "intermediate_size": 32, "hidden_dropout_prob": 0.0,
         "attention_probs_dropout_prob": 0.0}  # fmt: skip
MODELS: dict[str, Callable[[], Any]] = {
    "xlm-roberta": lambda: XLMRobertaModel(
        XLMRobertaConfig(**SIZES, type_vocab_size=1, pad_token_id=PAD)
    ),
    "roberta": lambda: RobertaModel(RobertaConfig(**SIZES, type_vocab_size=1, pad_token_id=PAD)),
    "bert": lambda: BertModel(BertConfig(**SIZES, pad_token_id=PAD)),
}
SEQUENCES = [[0, 9, 8, 2, 7, 6, 2], [0, 5, 2], [0, 11, 12, 13, 2, 14, 15, 16, 17, 2], [0, 2, 4, 2]]


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(5)
    return MODELS[request.param]().eval()


def packed(model: Any) -> Any:
    packing.choose(model, "packed", torch.float32)
    assert packing.packs(model)
    return model


# States and attention


@pytest.mark.parametrize("every_layer", [False, True])
def test_packed_states_are_those_of_each_sequence_alone(model: Any, every_layer: bool) -> None:
    alone = [encoder.read(model, **pad_sequences([one], PAD), every_layer=every_layer)
             for one in SEQUENCES]  # fmt: skip
    found = encoder.read(packed(model), **pad_sequences(SEQUENCES, PAD), every_layer=every_layer)
    assert len(found) == (3 if every_layer else 1)
    for layer, states in enumerate(found):
        for row, one in enumerate(alone):
            of_row = states[row, : one[layer].shape[1]]
            torch.testing.assert_close(of_row, one[layer][0], atol=2e-6, rtol=1e-5)


def test_packed_attention_is_attention_under_a_block_diagonal_mask() -> None:
    lengths = [5, 1, 8]
    generator = torch.Generator().manual_seed(2)
    query, key, value = torch.randn(3, 1, 2, sum(lengths), 4, generator=generator)
    ends = torch.tensor([0, 5, 6, 14])
    owner = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))
    mask = owner[:, None] == owner[None, :]
    expected = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.7)
    found, _ = packing.attend(None, query, key, value, None, scaling=0.7, ends=ends, longest=8)
    torch.testing.assert_close(found, expected.transpose(1, 2), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_flash_attention_takes_packed_rows_and_has_a_gradient(dropout: float) -> None:
    states = torch.randn(3, 1, 2, 14, 8, device="meta", dtype=torch.bfloat16, requires_grad=True)
    ends = torch.tensor([0, 5, 6, 14], device="meta")
    with Operators() as called:
        found = packing._flash(*states.unbind(), ends, 8, dropout, 0.7)
        found.sum().backward()
    assert found.shape == (1, 14, 2, 8)
    assert states.grad is not None and states.grad.shape == states.shape
    forward = called.of["aten::_flash_attention_forward"]
    assert forward[5:8] == (8, 8, dropout) and "aten::_flash_attention_backward" in called.of


class Operators(TorchDispatchMode):
    """Note which operators are called, and with what."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, tuple[Any, ...]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.of[func.name().removesuffix(".default")] = args
        return func(*args, **(kwargs or {}))


def test_gradients_are_those_of_padded_reading(model: Any) -> None:
    batch = pad_sequences(SEQUENCES, PAD)
    real = batch["attention_mask"].bool()
    weights = torch.randn(int(real.sum()), 16, generator=torch.Generator().manual_seed(1))
    gradients = []
    for of in (model, packed):
        model = of(model) if of is packed else of
        model.zero_grad()
        (encoder.read(model, **batch)[0][real] * weights).sum().backward()
        gradients.append({k: p.grad.clone() for k, p in model.named_parameters()
                          if p.grad is not None})  # fmt: skip
    assert gradients[0].keys() == gradients[1].keys() != set()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, atol=2e-5, rtol=1e-4)


def test_what_stands_in_the_padding_is_not_even_read(model: Any) -> None:
    batch = pad_sequences(SEQUENCES, PAD)
    padding = batch["attention_mask"] == 0
    # PAD itself numbers positions; a token in its place would shift those after it, were it read.
    noise = torch.where(padding, torch.full_like(padding, 9, dtype=torch.long), batch["input_ids"])
    before = encoder.read(packed(model), **batch)[0]
    after = encoder.read(model, **batch | {"input_ids": noise})[0]
    assert torch.equal(before, after)
    assert not before[padding].any()


def test_a_packed_encoder_still_drops_attention_in_training() -> None:
    torch.manual_seed(0)
    dropping = SIZES | {"attention_probs_dropout_prob": 0.5}
    model = packed(XLMRobertaModel(XLMRobertaConfig(**dropping, pad_token_id=PAD)).train())
    batch = pad_sequences(SEQUENCES, PAD)
    first, second = (encoder.read(model, **batch)[0] for _ in range(2))
    assert not torch.allclose(first, second)
    assert torch.equal(*(encoder.read(model.eval(), **batch)[0] for _ in range(2)))


# Heads


@pytest.mark.parametrize("kind", KINDS)
def test_packed_batches_give_the_same_logits_as_padded_ones(kind: str, small_encoder: Any) -> None:
    head = made(kind, small_encoder()).eval()
    features = [feature(kind, words, seed) for seed, words in enumerate((3, 9, 2, 6))]
    batch = head.collate(features, PAD)
    padded = head(**batch)
    packed(head.encoder)
    found = head(**batch)
    torch.testing.assert_close(found["loss"], padded["loss"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["predictions"], padded["predictions"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_in_half_precision_packed_and_padded_logits_are_equally_near(
    kind: str, small_encoder: Any
) -> None:
    head = made(kind, small_encoder()).eval()
    batch = head.collate([feature(kind, words, words) for words in (3, 9, 2)], PAD)
    whole = head(**batch)
    head.encoder.precision = torch.bfloat16
    for attention in ("padded", "packed"):
        packing.choose(head.encoder, attention, torch.float32)
        found = head(**batch)
        assert found["loss"].dtype == torch.float32
        # bfloat16 keeps eight bits: two layers of states of size 1 are off by a few hundredths.
        torch.testing.assert_close(found["loss"], whole["loss"], atol=0.05, rtol=0.02)
        assert found["loss"] != whole["loss"]


@pytest.mark.parametrize("kind", KINDS)
def test_packed_batches_give_the_same_gradients_as_padded_ones(
    kind: str, small_encoder: Any
) -> None:
    head = made(kind, small_encoder()).eval()  # without dropout of the head's own
    batch = head.collate([feature(kind, words, words) for words in (3, 9, 2)], PAD)
    gradients = []
    for attention in ("padded", "packed"):
        packing.choose(head.encoder, attention, torch.float32)
        head.zero_grad()
        head(**batch)["loss"].backward()
        gradients.append([p.grad.clone() for p in head.parameters() if p.grad is not None])
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)


# Choice


def test_the_check_of_the_kernels_does_not_hang_on_the_default_device(small_encoder: Any) -> None:
    model = small_encoder()
    with torch.device("meta"):  # as "cuda" is where the benchmark makes its models
        assert packing._check(model, torch.float32) == ""


def test_a_processor_pads_unless_it_is_told_to_pack(small_encoder: Any) -> None:
    model = small_encoder()
    packing.choose(model, "auto", torch.bfloat16)
    assert not packing.packs(model)


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [("cuda", torch.bfloat16, True), ("cuda", torch.float32, False),
     ("cpu", torch.bfloat16, False)],
)  # fmt: skip
def test_rows_are_packed_where_the_device_has_kernels_for_their_precision(
    device: str, precision: torch.dtype, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[str] = []
    config = SimpleNamespace(model_type="xlm-roberta", is_decoder=False)
    model = SimpleNamespace(config=config, device=torch.device(device),
                            set_attn_implementation=chosen.append)  # fmt: skip
    monkeypatch.setattr(packing, "_check", lambda model, precision: "")
    packing.choose(model, "auto", precision)
    assert chosen == [packing.NAME] * expected


def test_the_check_finds_a_kernel_that_looks_at_the_neighbour(small_encoder: Any) -> None:
    model, right = small_encoder(), packing.nested_tensor_from_jagged

    def leaking(row: torch.Tensor, ends: torch.Tensor, **options: Any) -> torch.Tensor:
        return right(row, ends[[0, -1]], min_seqlen=1, max_seqlen=int(ends[-1]))

    assert packing._check(model, torch.float32) == ""
    assert torch.tensor(1.0) - packing.LEAST_DROPOUT == 1 and packing.LEAST_DROPOUT > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "nested_tensor_from_jagged", leaking)
        assert "away from attention under a mask" in packing._check(model, torch.float32)
        patch.setattr(packing, "nested_tensor_from_jagged", broken)
        assert packing._check(model, torch.float32) == "no kernel for this device"


def broken(*arguments: Any, **options: Any) -> None:
    raise RuntimeError("no kernel for this device\nand a long trace")


def test_an_encoder_that_cannot_pack_is_padded_or_refused_in_one_line() -> None:
    model = DistilBertModel(DistilBertConfig(vocab_size=VOCABULARY, dim=16, n_layers=1, n_heads=2))
    packing.choose(model, "auto", torch.bfloat16)
    assert not packing.packs(model)
    with pytest.raises(InputError, match=r"encoder\.attention: a 'distilbert' encoder"):
        packing.choose(model, "packed", torch.float32)


def test_a_saved_encoder_does_not_ask_for_packing(model: Any, tmp_path: Any) -> None:
    packed(model).save_pretrained(tmp_path)
    assert packing.NAME not in (tmp_path / "config.json").read_text(encoding="utf-8")
    assert AutoModel.from_pretrained(tmp_path).config._attn_implementation == "sdpa"
