"""Build, load and save the encoder that all phases share, and its tokenizer.

An encoder folder is what `AutoModel.from_pretrained` reads: configuration, safetensors, tokenizer.
Ours holds the masked-language-model head too, so that MLM can continue from it.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import (
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

from lib.errors import InputError
from lib.profile import Encoder

MAXIMUM_LENGTH = 512

# A report of the head that an encoder leaves behind, and bars, would flood every notebook.
logging.set_verbosity_error()
logging.disable_progress_bar()


def train_tokenizer(
    texts: Iterable[str], vocabulary_size: int, kind: str = "unigram"
) -> PreTrainedTokenizerFast:
    """Train a tokenizer with XLM-R's normalisation, special tokens and pair template.

    `unigram` is XLM-R's (Kudo 2018, arXiv 1804.10959). `bpe` keeps frequent words whole, as small
    vocabularies of regular words need. Ids 0 to 3 are `<s> <pad> </s> <unk>`; `<mask>` is last.
    Deterministic for given texts.
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
    tokenizer.train_from_iterator(texts, trainer)
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


def new(settings: Encoder, vocabulary_size: int) -> PreTrainedModel:
    """Return an untrained encoder of XLM-R's architecture with its MLM head."""
    return XLMRobertaForMaskedLM(
        XLMRobertaConfig(
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
    )


def load_tokenizer(folder: str | Path, revision: str = "") -> Any:
    """Load the fast tokenizer of an encoder (hub id or folder).

    Raises InputError where there is none, or where it is not a fast one (offsets are needed).
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), revision=revision or "main")
    except (OSError, ValueError) as error:
        raise InputError(f"encoder {folder}: no tokenizer: {_first_line(error)}") from None
    if not tokenizer.is_fast:
        raise InputError(f"encoder {folder}: its tokenizer is not a fast one; offsets are needed")
    return tokenizer


def load(folder: str | Path, revision: str = "", random: bool = False) -> Any:
    """Load an encoder without any head; with `random`, its architecture with fresh weights.

    Raises InputError where there is none, or where a weight of the encoder is missing.
    """
    return _load(AutoModel, folder, revision, random, add_pooling_layer=False)


def load_for_mlm(folder: str | Path, revision: str = "") -> Any:
    """Load an encoder with its masked-language-model head."""
    return _load(AutoModelForMaskedLM, folder, revision, False)


def _load(kind: Any, folder: str | Path, revision: str, random: bool, **options: Any) -> Any:
    revision = revision or "main"
    try:
        configuration = AutoConfig.from_pretrained(str(folder), revision=revision)
        if configuration.model_type not in ("xlm-roberta", "roberta", "bert", "camembert"):
            options = {}
        if random:
            return kind.from_config(configuration, **options)
        model, report = kind.from_pretrained(
            str(folder), revision=revision, output_loading_info=True, **options
        )
    except (OSError, ValueError) as error:
        raise InputError(f"encoder {folder}: cannot be loaded: {_first_line(error)}") from None
    absent = [name for name in report["missing_keys"] if "pooler" not in name]
    if absent:
        raise InputError(f"encoder {folder}: has no weight {absent[0]} ({len(absent)} missing)")
    return model


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save an encoder and its tokenizer as safetensors."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def mlm_logits(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Apply the MLM head to hidden states [n, width]; returns logits [n, vocabulary].

    Takes the head of XLM-R, BERT or ModernBERT as transformers names it.
    """
    for name in ("lm_head", "cls"):
        if hasattr(model, name):
            return getattr(model, name)(hidden)
    return model.decoder(model.head(hidden))


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str = "mean") -> torch.Tensor:
    """Pool hidden states [n, length, width] over real tokens, or take the first: [n, width]."""
    if pooling == "first":
        return hidden[:, 0]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
