"""Read what an encoder makes of words: their states in every layer, and where they attend."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from lib import encoder as encoders
from lib import features, precision
from lib.batches import Batches, Feature, for_evaluation
from lib.errors import InputError
from lib.heads import Head


def of_words(
    model: Any,
    tokenizer: Any,
    sentences: Sequence[Sequence[str]],
    *,
    length: int,
    batch_tokens: int,
) -> np.ndarray:
    """Return the mean state of each word's subwords in every layer: [layers + 1, words, width].

    Words come in order, sentence by sentence; layer 0 is the embeddings; float32. A sentence of
    more than `length` subwords is read in pieces. Raises InputError where there is no word.
    """
    made = _pieces(tokenizer, sentences, length)
    if not made:
        raise InputError("sentences: none has a word, expected at least one")
    starts = np.cumsum([0] + [len(piece["sizes"]) for piece in made])
    layers, width = model.config.num_hidden_layers + 1, model.config.hidden_size
    found = np.zeros((layers, int(starts[-1]), width), dtype=np.float32)
    batches = _batches(tokenizer, made, batch_tokens)
    model.eval()
    with torch.inference_mode():
        for number, indices in enumerate(batches.plan):
            batch = {key: value.to(model.device) for key, value in batches[number].items()}
            states = torch.stack(encoders.read(model, **batch, every_layer=True)).float()
            for row, index in enumerate(indices):
                sizes = torch.tensor(made[index]["sizes"], device=states.device)
                word = torch.repeat_interleave(
                    torch.arange(len(sizes), device=states.device), sizes
                )
                summed = states.new_zeros(layers, len(sizes), width)
                summed.index_add_(1, word, states[:, row, 1 : 1 + len(word)])
                words = slice(int(starts[index]), int(starts[index + 1]))
                found[:, words] = (summed / sizes[:, None]).cpu().numpy()
    return found


def attention(
    model: Any,
    tokenizer: Any,
    sentences: Sequence[Sequence[str]],
    *,
    length: int,
    batch_tokens: int,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each sentence's place and its attention between words: [layers, heads, words, words].

    Row: the word that attends. To a word goes the sum over its subwords, from it the mean (Clark
    et al. 2019, arXiv 1906.04341, section 4.1); what goes to the start and end tokens is left out,
    so that rows sum to less than one. A sentence of more than `length` subwords is not yielded, for
    its words cannot all see each other. The weights are computed padded and in the open, by the
    `eager` implementation; the encoder reads as before afterwards.
    """
    made = _pieces(tokenizer, sentences, length)
    pieces = np.bincount([piece["example"] for piece in made], minlength=len(sentences))
    whole = [piece for piece in made if pieces[piece["example"]] == 1]
    batches = _batches(tokenizer, whole, batch_tokens)
    before = model.config._attn_implementation
    model.eval()
    model.set_attn_implementation("eager")
    try:
        for number, indices in enumerate(batches.plan):
            batch = {key: value.to(model.device) for key, value in batches[number].items()}
            weights = _weights(model, **batch)
            for row, index in enumerate(indices):
                yield whole[index]["example"], between_words(weights[:, row], whole[index]["sizes"])
    finally:
        model.set_attn_implementation(before)


def between_words(weights: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Pool attention between subwords to attention between words: [layers, heads, words, words].

    `weights`: [layers, heads, length, length], the start token first; `sizes`: the subwords of each
    word. Sums over the subwords attended to, means over those that attend.
    """
    starts = 1 + np.concatenate([[0], np.cumsum(sizes)])
    inside = weights[:, :, 1 : starts[-1], 1 : starts[-1]]
    received = np.add.reduceat(inside, starts[:-1] - 1, axis=3)
    return np.add.reduceat(received, starts[:-1] - 1, axis=2) / np.asarray(sizes)[:, None]


def _weights(model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> np.ndarray:
    """Return attention after softmax: float32 [layers, n, heads, length, length]."""
    of = encoders.segments(model, input_ids, attention_mask)
    with torch.inference_mode(), precision.products(model, input_ids.device):
        output = model(
            input_ids=input_ids, attention_mask=attention_mask, output_attentions=True, **of
        )
    return torch.stack(output.attentions).float().cpu().numpy()


def _pieces(tokenizer: Any, sentences: Sequence[Sequence[str]], length: int) -> list[Feature]:
    """Make a feature of every piece of every sentence, with the subwords of each of its words."""
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    return [
        {
            "example": number,
            "input_ids": [[start, *(token for ids in subwords for token in ids), end]],
            "sizes": [len(ids) for ids in subwords],
        }
        for number, _, subwords in features.split_words(sentences, tokenizer, length)
    ]


def _batches(tokenizer: Any, made: list[Feature], batch_tokens: int) -> Batches:
    collate = partial(Head.collate, pad_id=tokenizer.pad_token_id)
    return for_evaluation(made, batch_tokens, collate)
