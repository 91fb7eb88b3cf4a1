"""Encoders other than ours go through every kind of task and every phase."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertTokenizerFast,
    CanineTokenizer,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
)

from lib import encoder, features, heads, intermediate, tasks, transfer
from lib.batches import pad_sequences
from lib.errors import InputError
from lib.profile import Profile

# One condition for each kind of head, and for what carries an MLM head on.
CONDITIONS: dict[str, dict[str, Any]] = {
    "none": {}, "random": {"random_encoder": True},
    "parsing": {"task": "ud_parsing"},
    "parsing-deep": {"task": "ud_parsing", "parser": "deep_biaffine"},
    "tagging": {"task": "ccg"},
    "regression": {"task": "stsb"}, "regression-bi": {"task": "stsb", "pair": "bi"},
    "classification": {"task": "qqp"}, "classification-bi": {"task": "qqp", "pair": "bi"},
    "choice": {"task": "hellaswag"},
    "span": {"task": "squad"},
    "mlm": {"task": "mlm", "text_of": "ud_parsing"},
    "joint": {"task": "stsb", "joint_mlm": 0.5},
    "mixture-joint": {"task": "multitask", "tasks": ["ud_parsing", "stsb"], "joint_mlm": 0.4},
}  # fmt: skip
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 32}  # fmt: skip
DISTIL = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
BERT_TOKENS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]",
               "sep_token": "[SEP]", "mask_token": "[MASK]"}  # fmt: skip


def word_pieces() -> Any:
    """Return BERT's tokenizer over letters: whole at a word's start, `##` within."""
    letters = [*map(chr, range(97, 123)), *"0123456789.,?'-"]
    tokens = [*BERT_TOKENS.values(), *letters, *map("##{}".format, letters)]
    return BertTokenizerFast(vocab={token: i for i, token in enumerate(tokens)})


def byte_pairs() -> Any:
    """Return a byte-level BPE tokenizer with BERT's special tokens, as ModernBERT's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = list(BERT_TOKENS.values())
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["the old teacher sees a bird"] * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **BERT_TOKENS,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


MODERN = SIZES | {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3,
                  "sep_token_id": 3, "global_attn_every_n_layers": 2}  # fmt: skip
KINDS: dict[str, tuple[Callable[[], Any], Any, Any, dict[str, Any]]] = {
    "bert": (word_pieces, BertForMaskedLM, BertConfig, SIZES),
    "modernbert": (byte_pairs, ModernBertForMaskedLM, ModernBertConfig, MODERN),
    "electra": (word_pieces, ElectraForMaskedLM, ElectraConfig, SIZES | {"embedding_size": 8}),
    "deberta": (word_pieces, DebertaV2ForMaskedLM, DebertaV2Config, SIZES | {
        "type_vocab_size": 0, "relative_attention": True, "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"], "max_relative_positions": -1}),
    "distilbert": (word_pieces, DistilBertForMaskedLM, DistilBertConfig, DISTIL),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a maker of an encoder's folder, made once each."""
    made: dict[str, Path] = {}

    def one(kind: str) -> Path:
        if kind not in made:
            tokenizer, model, config, sizes = KINDS[kind]
            made[kind] = tmp_path_factory.mktemp(kind)
            torch.manual_seed(3)
            words = tokenizer()
            encoder.save(model(config(vocab_size=len(words), **sizes)), words, made[kind])
        return made[kind]

    return one


@pytest.fixture(scope="module")
def study(
    folder: Callable[[str], Path],
    every_row: Callable[..., Profile],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Profile]]:
    """Return a maker of the profile that takes an encoder as it is."""
    made: dict[str, Profile] = {}

    def one(kind: str) -> Profile:
        if kind not in made:
            made[kind] = every_row(
                kind, encoder={"path": str(folder(kind))}, pretraining={"block_tokens": 32},
                conditions=CONDITIONS,
            )  # fmt: skip
        return made[kind]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESULTS_ROOT", str(tmp_path_factory.mktemp("kinds")))
        yield one


# All kinds of tasks, all phases


@pytest.mark.parametrize("condition", [name for name, how in CONDITIONS.items() if "task" in how])
@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_every_kind_of_task_trains_the_encoder_and_hands_it_on_whole(
    study: Callable[[str], Profile], kind: str, condition: str
) -> None:
    settings = study(kind)
    run = intermediate.run_one(settings, condition, 1)
    assert all(np.isfinite(entry["loss"]) for entry in run.facts["log"])
    before = encoder.load(settings.encoder.path).state_dict()
    after = encoder.load(run.cell.folder / "encoder").state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("layers.1." in name or "layer.1." in name for name in changed)
    written = load_file(run.cell.folder / "encoder" / "model.safetensors")
    for name, weight in after.items():
        (same,) = [key for key in written if key == name or key.endswith(f".{name}")]
        assert torch.equal(written[same], weight), name
    if "mlm" in condition or "joint" in condition:
        encoder.load_for_mlm(run.cell.folder / "encoder")


@pytest.mark.parametrize("target", ["udpos", "xnli", "xquad", "bucc", "tatoeba"])
@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_every_target_is_fine_tuned_on_another_encoder(
    study: Callable[[str], Profile], kind: str, target: str
) -> None:
    settings = study(kind)
    condition = {"tatoeba": "mlm", "bucc": "random"}.get(target, "mixture-joint")
    (run,) = transfer.run(settings, condition, target, 1)
    assert all(np.isfinite(entry["loss"]) for entry in run.facts.get("log", []))
    reported = run.scores[run.scores["reported"]]
    assert sorted(reported["language"]) == sorted({"en", "qaa", "qab"} & {*run.scores["language"]})
    assert reported["value"].between(0, 1).all()
    if tasks.get(target).kind == "retrieval":
        assert set(run.scores["layer"].dropna()) == {0, 1, 2}


@pytest.mark.parametrize("kind", ["electra", "deberta", "distilbert"])
def test_an_encoder_without_pooler_goes_through(study: Callable[[str], Profile], kind: str) -> None:
    settings = study(kind)
    for condition, target in (("mixture-joint", "xnli"), ("mlm", "tatoeba"), ("random", "xquad")):
        (run,) = transfer.run(settings, condition, target, 1)
        assert run.scores[run.scores["reported"]]["value"].between(0, 1).all()


def test_a_bert_can_be_pre_trained_on_from_where_it_is(
    folder: Callable[[str], Path], every_row: Callable[..., Profile]
) -> None:
    from lib import pretraining

    settings = every_row("onwards", encoder={"path": str(folder("bert"))})
    run = pretraining.run(settings, 1)
    assert (
        run.facts["updates"] == 3 and np.isfinite([row["loss"] for row in run.facts["log"]]).all()
    )
    assert (run.cell.folder / "encoder" / "vocab.txt").is_file() or (
        run.cell.folder / "encoder" / "tokenizer.json"
    ).is_file()


# Segments


@pytest.mark.parametrize("kind", ["bert", "electra"])
def test_segments_are_those_of_the_tokenizer(folder: Callable[[str], Path], kind: str) -> None:
    tokenizer, model = encoder.load_tokenizer(folder(kind)), encoder.load(folder(kind))
    sides = ["a b", "abc d", "e"], ["c", "fgh ij k l", "mm"]
    for texts in (sides, sides[:1]):
        theirs = tokenizer(*texts, padding=True, return_tensors="pt")
        ours = encoder.segments(model, theirs["input_ids"], theirs["attention_mask"])
        assert torch.equal(ours["token_type_ids"], theirs["token_type_ids"])


def test_a_pair_is_read_as_the_tokenizer_would_have_it_read(folder: Callable[[str], Path]) -> None:
    tokenizer, model = encoder.load_tokenizer(folder("bert")), encoder.load(folder("bert")).eval()
    pairs = [{"sentence1": "a b", "sentence2": "c", "label": "neutral"},
             {"sentence1": "abc", "sentence2": "fgh ij", "label": "neutral"}]  # fmt: skip
    row = tasks.get("xnli")
    head = heads.make(row, model).eval()
    made = features.make(row, pairs, tokenizer, 64)
    batch = head.collate(made, tokenizer.pad_token_id)
    theirs = tokenizer(
        [pair["sentence1"] for pair in pairs], [pair["sentence2"] for pair in pairs],
        padding=True, return_tensors="pt",
    )  # fmt: skip
    with torch.no_grad():
        expected = model(**theirs).last_hidden_state
        flat = model(theirs["input_ids"], theirs["attention_mask"]).last_hidden_state
        found = head.hidden(batch["input_ids"], batch["attention_mask"])
    assert torch.equal(found, expected) and not torch.allclose(found, flat)


def test_an_encoder_of_one_segment_is_given_none(small_encoder: Any) -> None:
    batch = pad_sequences([[0, 5, 2, 2, 6, 2], [0, 5, 2]], 1)
    assert encoder.segments(small_encoder(), **batch) == {}


# Masked language modelling


@pytest.mark.parametrize("kind", KINDS)
def test_masked_logits_are_those_of_the_models_own_forward(
    folder: Callable[[str], Path], kind: str
) -> None:
    model = encoder.load_for_mlm(folder(kind)).eval()
    ids = torch.tensor([[2, 9, 8, 7, 6, 3], [2, 9, 5, 6, 7, 3]])
    chosen = torch.tensor([[0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0]]).bool()
    with torch.no_grad():
        found = encoder.masked_logits(model, ids, chosen)
        torch.testing.assert_close(found, model(ids, torch.ones_like(ids)).logits[chosen])


# Refusals


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        encoder.load_tokenizer(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value)


def test_a_tokenizer_without_start_and_end_is_one_line(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    plain = Tokenizer(models.BPE(vocab={"<|endoftext|>": 0, "a": 1}, merges=[]))
    PreTrainedTokenizerFast(
        tokenizer_object=plain, eos_token="<|endoftext|>", unk_token="<|endoftext|>"
    ).save_pretrained(tmp_path)
    assert "cls or sep or pad or mask token" in refusal(tmp_path)


def test_a_tokenizer_that_does_not_put_its_start_first_is_one_line(
    letters: Any, tmp_path: Path
) -> None:
    from tokenizers import processors

    letters = PreTrainedTokenizerFast.from_pretrained(_saved(letters, tmp_path / "first"))
    letters.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s> <s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    assert "does not put <s> before" in refusal(_saved(letters, tmp_path / "last"))


def _saved(tokenizer: Any, where: Path) -> Path:
    tokenizer.save_pretrained(where)
    return where


def test_a_slow_tokenizer_is_one_line(tmp_path: Path) -> None:
    CanineTokenizer().save_pretrained(tmp_path)
    assert "not a fast one" in refusal(tmp_path)
