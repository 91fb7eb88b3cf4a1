"""Encoders keep every bit between phases; what cannot be loaded whole is refused."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from lib import encoder, heads, precision, tasks
from lib.batches import pad_sequences
from lib.errors import InputError
from lib.precision import of_device  # as it is before conftest asks for single precision

TEXTS = [
    f"{a} {verb} {b} {where}"
    for a in ("the cat", "a small dog", "every child", "the old teacher")
    for verb in ("sees", "follows", "remembered", "does not like")
    for b in ("a bird", "the red house", "three stones")
    for where in ("in the garden", "near the river", "today")
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return encoder.train_tokenizer(TEXTS, 120)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


# Tokenizer


def test_special_tokens_have_the_ids_of_xlm_r(tokenizer: Any) -> None:
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3]) == ["<s>", "<pad>", "</s>", "<unk>"]
    ids = [tokenizer.cls_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id,
           tokenizer.sep_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id]  # fmt: skip
    assert ids == [0, 0, 1, 2, 2, 3]
    assert tokenizer.mask_token == "<mask>"
    assert tokenizer.mask_token_id == len(tokenizer) - 1
    assert len(tokenizer) <= 120


def test_pairs_are_joined_as_in_xlm_r(tokenizer: Any) -> None:
    first, second = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("cat", "a dog"))
    assert tokenizer("cat")["input_ids"] == [0, *first, 2]
    assert tokenizer("cat", "a dog")["input_ids"] == [0, *first, 2, 2, *second, 2]


def test_tokens_say_where_in_the_text_they_stand(tokenizer: Any) -> None:
    text = "the  cat sees\ta bird"
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    rebuilt = ""
    for left, right in encoded["offset_mapping"]:
        assert 0 <= left <= right <= len(text)
        rebuilt += "".join(text[left:right].split())
    assert rebuilt == "".join(text.split())


def test_the_same_texts_train_the_same_tokenizer(tokenizer: Any) -> None:
    trained = [tokenizer, *(encoder.train_tokenizer(iter(TEXTS), 120) for _ in range(3))]
    pieces = [json.loads(each.backend_tokenizer.to_str())["model"]["vocab"] for each in trained]
    # Ids decide what the embeddings start from, so that the order counts, and every score's bits.
    assert pieces[0] == pieces[1] == pieces[2] == pieces[3]


def test_a_saved_tokenizer_reads_as_before(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = encoder.load_tokenizer(tmp_path)
    assert loaded(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert loaded.get_vocab() == tokenizer.get_vocab()


# From phase to phase


@pytest.fixture
def folder(tokenizer: Any, small_encoder: Any, tmp_path: Path) -> Path:
    encoder.save(small_encoder(len(tokenizer), mlm=True), tokenizer, tmp_path / "first")
    return tmp_path / "first"


def test_every_tensor_of_the_encoder_survives_each_phase(
    folder: Path, tokenizer: Any, small_encoder: Any, tmp_path: Path
) -> None:
    written = small_encoder(len(tokenizer), mlm=True).base_model.state_dict()
    model = encoder.load(folder)
    assert same(model.state_dict(), written)
    # Phase 2 trains the encoder under a head, and hands on the encoder alone.
    head = heads.make(tasks.get("stsb"), model)
    torch.optim.SGD(head.parameters(), lr=0.1).zero_grad()
    batch = head.collate([{"input_ids": [[0, 9, 8, 2]], "labels": 0.3}], 1)
    head(**batch)["loss"].backward()
    torch.optim.SGD(head.parameters(), lr=0.1).step()
    trained = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert not same(trained, written)
    encoder.save(model, tokenizer, tmp_path / "second")
    assert same(encoder.load(tmp_path / "second").state_dict(), trained)


def test_an_encoder_for_more_mlm_keeps_its_mlm_head(
    folder: Path, tokenizer: Any, small_encoder: Any
) -> None:
    written = small_encoder(len(tokenizer), mlm=True)
    loaded = encoder.load_for_mlm(folder)
    assert same(loaded.state_dict(), written.state_dict())
    tied = loaded.get_output_embeddings().weight, loaded.get_input_embeddings().weight
    assert tied[0] is tied[1]


def test_heads_are_fresh_for_every_task_and_seed(folder: Path) -> None:
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        head = heads.make(tasks.get("udpos"), encoder.load(folder))
        weights.append(head.output.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    names = set(load_file(folder / "model.safetensors"))
    assert not any(name.startswith("output") for name in names)


def test_no_head_touches_the_encoders_configuration(folder: Path) -> None:
    before = encoder.load(folder).config.to_dict()
    assert before["pad_token_id"] == 1
    for name in ("udpos", "ud_parsing", "xnli", "stsb", "xquad"):
        model = encoder.load(folder)
        heads.make(tasks.get(name), model)
        assert model.config.to_dict() == before
        assert model.embeddings.padding_idx == 1


def test_the_floor_has_the_same_architecture_and_other_weights(folder: Path) -> None:
    loaded = encoder.load(folder).state_dict()
    floors = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        floors.append(encoder.load(folder, random=True).state_dict())
    shapes = {name: weight.shape for name, weight in loaded.items()}
    assert {name: weight.shape for name, weight in floors[0].items()} == shapes
    assert same(floors[0], floors[1])
    matrices = [name for name, weight in loaded.items() if weight.ndim == 2]
    for name in matrices:
        for other in (loaded, floors[2]):
            different = (floors[0][name] != other[name]).float().mean()
            # Only the padding's row of an embedding is zero in all of them.
            assert different > 0.9 or "token_type" in name, name


# Refusals


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("load", [encoder.load, encoder.load_tokenizer, encoder.load_for_mlm])
def test_a_missing_folder_is_one_line(load: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load(tmp_path / "nowhere")
    assert "nowhere" in one_line(error)


def test_an_encoder_that_lacks_a_weight_is_refused_by_its_name(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    lost = "roberta.encoder.layer.1.attention.self.query.weight"
    del weights[lost]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(InputError) as error:
        encoder.load(folder)
    assert lost.removeprefix("roberta.") in one_line(error)


def test_an_encoder_without_its_mlm_head_is_refused_for_more_mlm(
    folder: Path, tokenizer: Any, tmp_path: Path
) -> None:
    encoder.save(encoder.load(folder), tokenizer, tmp_path / "bare")
    with pytest.raises(InputError) as error:
        encoder.load_for_mlm(tmp_path / "bare")
    assert "lm_head" in one_line(error)


# Another architecture


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"abcdefghij",
        *map("##{}".format, "abcdefghij"),
    ]
    (folder / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(3)
    BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokens), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=64,
        )
    ).save_pretrained(folder)  # fmt: skip
    yield folder


def test_a_bert_goes_through_as_well(bert: Path) -> None:
    tokenizer, model = encoder.load_tokenizer(bert), encoder.load(bert).eval()
    written = load_file(bert / "model.safetensors")
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, written[f"bert.{name}"]), name
    floor = encoder.load(bert, random=True)
    query = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(floor.state_dict()[query], written[f"bert.{query}"])
    encoded = tokenizer(["abc", "d"], padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(encoded["input_ids"], encoded["attention_mask"]).last_hidden_state
    pooled = encoder.pool(hidden, encoded["attention_mask"])
    torch.testing.assert_close(pooled[1], hidden[1, :3].mean(0))


# Pooling


def test_pooling_averages_real_tokens_or_takes_the_first() -> None:
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert encoder.pool(hidden, mask).tolist() == [[2.0, 4.0]]
    assert encoder.pool(hidden, mask, "first").tolist() == [[1.0, 2.0]]


# Precision


@pytest.mark.parametrize(
    ("able", "expected"),
    [({"avx2": True}, torch.float32), ({"avx512_bf16": False}, torch.float32),
     ({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16)],
)  # fmt: skip
def test_a_processor_computes_in_half_precision_where_it_has_it(
    able: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert of_device(torch.device("cpu")) == expected
    assert of_device(torch.device("cpu"), "float32") == torch.float32


def test_states_in_half_precision_are_near_and_weights_stay_single(
    small_encoder: Callable[..., Any], half_precision: None
) -> None:
    model = small_encoder().eval()
    batch = pad_sequences([[0, 5, 6, 2], [0, 7, 2]], 1)
    (found,) = encoder.read(model, **batch)
    expected = model(**batch).last_hidden_state
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)
    assert not torch.equal(found.float(), expected)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


class Products(TorchDispatchMode):
    """Note the precision of every matrix product of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(
        self, operator: Any, types: Any, given: Any = (), named: Any = None
    ) -> Any:
        if operator is torch.ops.aten.bmm.default:
            self.seen |= {tensor.dtype for tensor in given}
        return operator(*given, **named or {})


@pytest.mark.parametrize("halves", [True, False])
def test_attention_with_dropout_is_in_the_precision_of_the_encoder_and_only_there(
    small_encoder: Callable[..., Any], halves: bool, request: pytest.FixtureRequest
) -> None:
    if halves:
        request.getfixturevalue("half_precision")
    model = small_encoder().train()
    for layer in model.encoder.layer:
        layer.attention.self.dropout.p = 0.5
    model.precision = precision.of_device(model.device)
    batch = pad_sequences([[0, 5, 6, 2], [0, 7, 2]], 1)
    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed
    before = allowed()
    with Products() as products:
        encoder.read(model, **batch)[0].float().sum().backward()
    assert products.seen == {torch.bfloat16 if halves else torch.float32}
    assert allowed() == before
    with pytest.raises(RuntimeError), precision.products(model, model.device):
        raise RuntimeError("in the middle")
    assert allowed() == before


def test_a_tokenizer_is_limited_to_the_positions_of_its_encoder(
    letters: Any, small_encoder: Any, tmp_path: Path
) -> None:
    small_encoder().save_pretrained(tmp_path)  # 514 positions, of which two come before the first
    letters.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    said = json.loads(file.read_text(encoding="utf-8")) | {"model_max_length": 10**30}
    file.write_text(json.dumps(said), encoding="utf-8")
    assert encoder.load_tokenizer(tmp_path).model_max_length == 512
