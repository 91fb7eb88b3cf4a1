"""Build, load and save the encoder that all phases share, and its tokenizer.

An encoder folder is what `AutoModel.from_pretrained` reads: configuration, safetensors, tokenizer.
Ours holds the masked-language-model head too, so that MLM can continue from it.
"""

import json
import re
from collections.abc import Iterable
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)
from transformers.utils import logging

from lib import packing, precision
from lib.errors import InputError
from lib.profile import MAXIMUM_LENGTH, Encoder

DEFAULT = Encoder()
SPECIAL = ("cls", "sep", "pad", "unk", "mask")

# A report of the head that an encoder leaves behind, and bars, would flood every notebook.
logging.set_verbosity_error()
logging.disable_progress_bar()


def train_tokenizer(
    texts: Iterable[str], vocabulary_size: int, kind: str = "unigram"
) -> PreTrainedTokenizerFast:
    """Train a tokenizer with XLM-R's normalisation, special tokens and pair template.

    `unigram` is XLM-R's (Kudo 2018, arXiv 1804.10959). `bpe` keeps frequent words whole, as small
    vocabularies of regular words need. Ids 0 to 3 are `<s> <pad> </s> <unk>`; `<mask>` is last.
    Deterministic for given texts. Raises InputError for a vocabulary that has no room for them.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from tokenizers.trainers import BpeTrainer, UnigramTrainer

    common: dict[str, Any] = {
        "vocab_size": vocabulary_size - 1,
        "special_tokens": ["<s>", "<pad>", "</s>", "<unk>"],
        "show_progress": False,
    }
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        trainer: Any = BpeTrainer(**common)
    else:
        tokenizer = Tokenizer(models.Unigram())
        trainer = UnigramTrainer(unk_token="<unk>", **common)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    try:
        tokenizer.train_from_iterator(texts, trainer)
    except Exception as error:  # of the trainer, which has no kind of its own
        raise InputError(f"encoder.vocabulary_size: {vocabulary_size}: {error}") from None
    if kind == "unigram":
        tokenizer.model = _in_fixed_order(tokenizer)
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
        model_max_length=MAXIMUM_LENGTH,
    )


def _in_fixed_order(tokenizer: Any) -> Any:
    """Sort the pieces by name: the trainer's scores differ by chance in their last digits."""
    from tokenizers import models

    vocabulary = json.loads(tokenizer.to_str())["model"]["vocab"]
    pieces = [(piece, round(score, 6)) for piece, score in vocabulary]
    return models.Unigram(pieces[:4] + sorted(pieces[4:]), unk_id=3)


def new(settings: Encoder, vocabulary_size: int) -> Any:
    """Return an untrained encoder of XLM-R's architecture with its MLM head; as `load_for_mlm`."""
    configuration = XLMRobertaConfig(
        vocab_size=vocabulary_size,
        num_hidden_layers=settings.layers,
        hidden_size=settings.hidden_size,
        num_attention_heads=settings.attention_heads,
        intermediate_size=settings.feed_forward_size,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        initializer_range=settings.initializer_range,
        max_position_embeddings=MAXIMUM_LENGTH + 2,
        type_vocab_size=1,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    return _ready(XLMRobertaForMaskedLM(configuration), settings)


def load_tokenizer(folder: str | Path, revision: str = "") -> Any:
    """Load the fast tokenizer of an encoder (hub id or folder).

    Raises InputError where there is none, where it is not a fast one (offsets are needed), where it
    is another encoder's, and where it does not put a start and an end token around a
    text, as heads expect.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), revision=revision or "main", trust_remote_code=False
        )
    # What files of others may hold makes transformers fail in any way.
    except Exception as error:
        raise InputError(f"encoder {folder}: no tokenizer: {_said(error)}") from None
    if not tokenizer.is_fast:
        raise InputError(f"encoder {folder}: its tokenizer is not a fast one; offsets are needed")
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise InputError(f"encoder {folder}: no tokenizer: it has no file of tokens, such as "
                         "tokenizer.json")  # fmt: skip
    absent = [name for name in SPECIAL if getattr(tokenizer, f"{name}_token") is None]
    if absent:
        raise InputError(f"encoder {folder}: its tokenizer has no {' or '.join(absent)} token: "
                         "expected that of a masked language model")  # fmt: skip
    _check_vocabulary(tokenizer, folder, revision)
    first, *_, last = tokenizer("a")["input_ids"]
    if (first, last) != (tokenizer.cls_token_id, tokenizer.sep_token_id):
        raise InputError(f"encoder {folder}: its tokenizer does not put {tokenizer.cls_token} "
                         f"before a text and {tokenizer.sep_token} after it")  # fmt: skip
    return tokenizer


def _check_vocabulary(tokenizer: Any, folder: str | Path, revision: str) -> None:
    """Refuse the tokenizer of another encoder, where it can be told; limit it to its positions."""
    try:
        known = _configuration(folder, revision)
    except Exception:  # a tokenizer alone; without a configuration no encoder is loaded
        return
    size, padding = getattr(known, "vocab_size", None), getattr(known, "pad_token_id", None)
    if places := getattr(known, "max_position_embeddings", None):
        before = (padding or 0) + 1 if "roberta" in known.model_type else 0
        tokenizer.model_max_length = min(tokenizer.model_max_length, places - before)
    if size is not None and len(tokenizer) > size:
        raise InputError(f"encoder {folder}: its tokenizer has {len(tokenizer):,} tokens, the "
                         f"encoder {size:,}")  # fmt: skip
    if padding is not None and tokenizer.pad_token_id != padding:
        raise InputError(f"encoder {folder}: {tokenizer.pad_token} is {tokenizer.pad_token_id} in "
                         f"its tokenizer, {padding} in its configuration")  # fmt: skip


def device() -> torch.device:
    """Return the device that training and evaluation use."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Say whether the device's memory is what failed: its matrix library has words of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "CUBLAS_STATUS_ALLOC_FAILED" in str(error)


def reading(model: Any) -> dict[str, str]:
    """Say how an encoder is read, for the record: in which precision, padded or packed."""
    return {
        "precision": str(precision.of_model(model)).removeprefix("torch."),
        "attention": "packed" if packing.packs(model) else "padded",
    }


def load(
    folder: str | Path, revision: str = "", how: Encoder = DEFAULT, random: bool = False
) -> Any:
    """Load an encoder without any head; with `random`, its architecture with fresh weights.

    It is on the device, and reads as `how` says (`attention`, `precision`). Raises InputError where
    there is none, where a weight of the encoder is missing, or where it cannot read so.
    """
    return _ready(_load(AutoModel, folder, revision, random, add_pooling_layer=False), how)


def load_for_mlm(folder: str | Path, revision: str = "", how: Encoder = DEFAULT) -> Any:
    """Load an encoder with its masked-language-model head, as `load` does."""
    return _ready(_load(AutoModelForMaskedLM, folder, revision, False), how)


def _ready(model: Any, how: Encoder) -> Any:
    """Bring a model to the device; let it, and its encoder, read as is wanted."""
    model = model.to(device())
    model.precision = model.base_model.precision = precision.of_device(model.device, how.precision)
    packing.choose(model.base_model, how.attention, model.precision)
    return model


def _load(kind: Any, folder: str | Path, revision: str, random: bool, **options: Any) -> Any:
    try:
        configuration = _configuration(folder, revision)
        built: Any = MODEL_MAPPING.get(type(configuration), kind)
        if "add_pooling_layer" not in signature(built).parameters:
            options = {}
        if random:
            return kind.from_config(configuration, trust_remote_code=False, **options)
        # Weights that are pickled can run any code as they are read; safetensors cannot.
        model, report = kind.from_pretrained(
            str(folder), revision=revision or "main", output_loading_info=True,
            use_safetensors=True, trust_remote_code=False, ignore_mismatched_sizes=True, **options,
        )  # fmt: skip
    except Exception as error:  # as of a tokenizer
        raise InputError(f"encoder {folder}: cannot be loaded: {_said(error)}") from None
    absent = [name for name in report["missing_keys"] if "pooler" not in name]
    if absent:
        raise InputError(f"encoder {folder}: has no weight {absent[0]} ({len(absent)} missing)")
    layers = {_of_any_layer(name, model) for name in model.state_dict()}
    for name in sorted(report["unexpected_keys"]):
        if _of_any_layer(name, model) in layers:
            raise InputError(f"encoder {folder}: weight {name} is of a layer that is not in its "
                             "configuration")  # fmt: skip
    for name, stored, wanted in sorted(report["mismatched_keys"]):
        raise InputError(f"encoder {folder}: weight {name} has the shape {[*stored]}, by its "
                         f"configuration {[*wanted]}")  # fmt: skip
    return model


def _of_any_layer(name: str, model: Any) -> str:
    return re.sub(r"\.\d+\.", ".#.", name.removeprefix(f"{model.base_model_prefix}."))


def _configuration(folder: str | Path, revision: str) -> Any:
    return AutoConfig.from_pretrained(
        str(folder), revision=revision or "main", trust_remote_code=False
    )


def _said(error: Exception) -> str:
    if "trust_remote_code" in str(error):
        return "it asks to run code of its own, which is never run"
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= 200 else f"{said[:200]}…"


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save an encoder and its tokenizer as safetensors."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def segments(
    model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return the segment ids [n, length] of an encoder that has segments, else nothing.

    Of `[CLS] A [SEP] B [SEP]` the second sentence and its end are 1 (Devlin et al. 2019, arXiv
    1810.04805, section 3). Sequences end with the end token and are padded on the right.
    """
    if (getattr(model.config, "type_vocab_size", 0) or 0) < 2:
        return {}
    end = input_ids.gather(1, attention_mask.sum(1, keepdim=True) - 1)
    ends = (input_ids == end).long()
    second = (ends.cumsum(1) - ends > 0) & attention_mask.bool()
    return {"token_type_ids": second.long()}


def read(
    model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, every_layer: bool = False
) -> list[torch.Tensor]:
    """Return the last hidden states, or those of every layer from the embeddings on.

    `input_ids`, `attention_mask`: [n, length], padded on the right; each state: [n, length, width],
    in the encoder's precision. What stands at padding is of no meaning.
    """
    of = segments(model, input_ids, attention_mask)
    with precision.products(model, input_ids.device):
        if packing.packs(model):
            return packing.read(model, input_ids, attention_mask, of, every_layer)
        output = model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            output_hidden_states=every_layer,
            **of,
        )
        return list(output.hidden_states) if every_layer else [output.last_hidden_state]


def masked_logits(model: Any, input_ids: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return a masked language model's logits at the chosen positions: [chosen, vocabulary].

    `input_ids` and `chosen`: [n, length], without padding, so that attention needs no mask.
    XLM-R, BERT and ModernBERT, by transformers' names for their heads, make no other logits: over
    XLM-R's vocabulary of 250,002 those are most of the memory. Any other model makes all.
    """
    head = getattr(model, "lm_head", getattr(model, "cls", None))
    if head is None and {"head", "decoder"} <= dict(model.named_children()).keys():
        head = nn.Sequential(model.head, model.decoder)
    with precision.products(model, input_ids.device):
        if head is None:
            return model(input_ids=input_ids).logits[chosen]
        return head(model.base_model(input_ids=input_ids).last_hidden_state[chosen])


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str = "mean") -> torch.Tensor:
    """Pool hidden states [n, length, width] over real tokens, or take the first: [n, width]."""
    if pooling == "first":
        return hidden[:, 0]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
