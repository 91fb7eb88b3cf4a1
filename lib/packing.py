"""Read a batch as one long row: no padding, no attention across sequences.

The encoder is the stock one; only its attention function is ours, registered where transformers
keep theirs. On a GPU it is PyTorch's variable-length attention; elsewhere a batch runs padded, and
the same row under a block-diagonal mask is what tests compare.
"""

from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "packed"
# Encoders whose position ids we know how to restart, and who pass our arguments on to attention.
TYPES = ("xlm-roberta", "roberta", "camembert", "bert")


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    ends: torch.Tensor | None = None,
    longest: int = 0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each sequence of a packed row, or, without `ends`, within padded rows.

    `query`, `key`, `value`: [n, heads, length, size]; `ends`: where sequences end, from 0 on.
    Returns [n, length, heads, size]. Variable-length attention has no dropout.
    """
    if ends is not None and query.is_cuda:
        from torch.nn.attention.varlen import varlen_attn

        # All tokens of the row are one dimension there: [tokens, heads, size].
        rows = (part.transpose(1, 2).flatten(0, 1) for part in (query, key, value))
        out = varlen_attn(*rows, ends, ends, longest, longest, scale=scaling)
        return out.unsqueeze(0), None
    allowed = None
    if ends is not None:
        number = torch.searchsorted(ends[1:], torch.arange(query.shape[2]), right=True)
        allowed = number[:, None] == number[None, :]
    elif attention_mask is not None:
        allowed = attention_mask[:, None, None, :].bool()
    out = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=allowed, dropout_p=dropout, scale=scaling
    )
    return out.transpose(1, 2), None


def _as_given(attention_mask: torch.Tensor | None = None, **_: Any) -> torch.Tensor | None:
    """Hand the mask [n, length] on; without a mask function of its own, attention gets none."""
    return attention_mask


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _as_given)


def use(encoder: Any) -> bool:
    """Let an encoder read packed rows, if it can; say whether it does."""
    if encoder.config.model_type not in TYPES:
        return False
    encoder.set_attn_implementation(NAME)
    return True


def packs(encoder: Any) -> bool:
    """Say whether an encoder reads packed rows."""
    return encoder.config._attn_implementation == NAME


def states(
    encoder: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, **options: Any
) -> Any:
    """Return an encoder's output on padded sequences, read as one packed row.

    `input_ids`, `attention_mask`: [n, length]. The output's hidden states are [n, length, width]
    again, 0 at padding. `options` of the shape of `input_ids` (token types) are packed, too.
    """
    real = attention_mask.bool()
    lengths = attention_mask.sum(1, dtype=torch.int32)
    ends = functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
    # RoBERTa's positions start after the padding's own.
    first = getattr(encoder.embeddings, "padding_idx", -1) + 1
    positions = attention_mask.cumsum(1) - 1 + first
    packed = {
        name: value[real].unsqueeze(0)
        if isinstance(value, torch.Tensor) and value.shape == real.shape
        else value
        for name, value in options.items()
    }
    output = encoder(
        input_ids=input_ids[real].unsqueeze(0),
        position_ids=positions[real].unsqueeze(0),
        ends=ends,
        longest=int(lengths.max()),
        **packed,
    )
    output.last_hidden_state = _padded(output.last_hidden_state, real)
    if output.get("hidden_states"):
        output.hidden_states = tuple(_padded(each, real) for each in output.hidden_states)
    return output


def _padded(row: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Put the tokens of a packed row back in their places: [n, length, width]."""
    placed = row.new_zeros(*real.shape, row.shape[-1])
    placed[real] = row[0]
    return placed
