"""Read several sequences as one row: no padding, positions restarted, no attending across them.

This goes through the stock transformers model and its attention interface, as one more attention
implementation, so that weights, gradients and checkpoints are those of the model as it is.
"""

import warnings
from typing import Any

import torch
from torch.nested import nested_tensor_from_jagged
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from lib.errors import InputError

# Said once by every kernel; its versions are pinned, and `_check` looks at what it does.
warnings.filterwarnings("ignore", "The PyTorch API of nested tensors")

NAME = "packed"
LEAST_DROPOUT = 1e-9  # one less this is one in single precision: nothing falls out
# Encoders whose only knowledge of a token's place is `position_ids`, and that are tested.
TYPES = ("xlm-roberta", "roberta", "camembert", "bert")


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    ends: torch.Tensor | None = None,
    longest: int = 0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each sequence of a packed row; without `ends`, as `sdpa` does.

    `query`, `key`, `value`: [1, heads, tokens, width]; `ends`: int64 [sequences + 1], where each
    sequence ends, from 0; `longest`: at least the tokens of the longest. Returns [1, tokens, heads,
    width]. In half precision on a GPU the operator of PyTorch's flash attention itself:
    `varlen_attn`, which calls it, has no dropout, and nested tensors, which do too, keep the
    processor some ten times as long (measured on meta tensors). Elsewhere nested tensors.
    """
    if ends is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if query.is_cuda and query.dtype != torch.float32:
        return _flash(query, key, value, ends, longest, dropout, scaling), None

    def nested(states: torch.Tensor) -> torch.Tensor:
        row = states[0].transpose(0, 1).contiguous()
        jagged = nested_tensor_from_jagged(row, ends, min_seqlen=1, max_seqlen=longest)
        return jagged.transpose(1, 2)

    attended = scaled_dot_product_attention(
        nested(query), nested(key), nested(value), dropout_p=dropout, scale=scaling
    )
    return attended.transpose(1, 2).values()[None], None


def _flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    rows = (states[0].transpose(0, 1) for states in (query, key, value))
    short, most = ends.int(), (longest, longest)
    found = torch.ops.aten._flash_attention_forward(
        *rows, short, short, *most, dropout, False, False, scale=scaling
    )
    return found[0][None]


# Without a mask function of its own, an implementation is given no mask and attends to padding.
AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def choose(model: Any, wanted: str, precision: torch.dtype) -> None:
    """Let an encoder, on its device, read packed rows where it can and where that pays.

    `auto` packs on a GPU in half precision, which is what its kernels take, after a check that they
    attend as they should; elsewhere, and where the check fails, which a line says, it pads. Raises
    InputError where `packed` is wanted of an encoder that cannot.
    """
    able = model.config.model_type in TYPES and not model.config.is_decoder
    if wanted == "packed" and not able:
        raise InputError(f"encoder.attention: a {model.config.model_type!r} encoder cannot read "
                         f"packed rows: expected {' or '.join(TYPES)}")  # fmt: skip
    pays = model.device.type == "cuda" and precision != torch.float32
    if wanted == "padded" or not able or (wanted == "auto" and not pays):
        return
    if wanted == "auto" and (difference := _check(model, precision)):
        print(f"packed attention is not used on this device: {difference}")
        return
    model.set_attn_implementation(NAME)


def packs(model: Any) -> bool:
    """Say whether an encoder reads packed rows."""
    return getattr(model.config, "_attn_implementation", "") == NAME


def read(
    model: Any,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    segments: dict[str, torch.Tensor],
    every_layer: bool = False,
) -> list[torch.Tensor]:
    """Read a padded batch as one packed row; return its hidden states as of a padded one.

    `input_ids`, `attention_mask` and the values of `segments`: [n, length]. Returns the last hidden
    states, or those of every layer from the embeddings on, each [n, length, width], 0 at padding.
    """
    real = attention_mask.bool().flatten()
    places = real.nonzero().squeeze(1)
    lengths = attention_mask.sum(1)
    ends = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])

    def row(of_batch: torch.Tensor) -> torch.Tensor:
        return of_batch.flatten()[places][None]

    output = model(
        input_ids=row(input_ids),
        position_ids=row(_positions(model, input_ids)),
        ends=ends,
        longest=input_ids.shape[1],
        output_hidden_states=every_layer,
        **{name: row(ids) for name, ids in segments.items()},
    )
    states = output.hidden_states if every_layer else [output.last_hidden_state]
    return [_batch(of_layer[0], places, input_ids.shape) for of_layer in states]


def _batch(states: torch.Tensor, places: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    padded = states.new_zeros(shape.numel(), states.shape[-1])
    return padded.index_copy(0, places, states).view(*shape, -1)


def _positions(model: Any, input_ids: torch.Tensor) -> torch.Tensor:
    """Number the tokens of each sequence as the model would: [n, length]."""
    padding = model.embeddings.position_embeddings.padding_idx
    if padding is None:
        return torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    return model.embeddings.create_position_ids_from_input_ids(input_ids, padding)


def _check(model: Any, dtype: torch.dtype) -> str:
    """Compare the device's kernels with attention under a mask; return what differs, if anything.

    Forward and backward, without dropout and in the kernel that has it; and that with dropout
    nothing comes from a neighbour.
    """
    lengths = torch.tensor([24, 9], device=model.device)
    ends = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    owner = torch.repeat_interleave(torch.arange(2, device=model.device), lengths)
    heads = model.config.num_attention_heads
    shape = (3, 1, heads, len(owner), model.config.hidden_size // heads)
    random = torch.Generator().manual_seed(0)
    states = torch.randn(shape, generator=random, device="cpu")  # whatever the default device is
    results = []
    # Flash attention keeps a weight with a chance in 255 steps: 1e-6 would drop one in 256.
    for dropout in (None, 0.0, LEAST_DROPOUT):
        of_kernel = states.to(model.device, dtype).requires_grad_()
        query, key, value = of_kernel.unbind()
        try:
            if dropout is None:
                mask = owner[:, None] == owner[None, :]
                attended = scaled_dot_product_attention(query, key, value, mask).transpose(1, 2)
            else:
                attended, _ = attend(
                    None, query, key, value, None, dropout=dropout, ends=ends, longest=24
                )
            attended.square().sum().backward()
        except (RuntimeError, NotImplementedError, ImportError, TypeError) as error:
            return (str(error) or type(error).__name__).splitlines()[0]
        assert of_kernel.grad is not None
        results.append((attended.detach().float(), of_kernel.grad.float()))
    expected, *found = results
    apart = max(
        ((one - other).abs().max() / one.abs().max()).item()
        for of_kernel in found
        for one, other in zip(expected, of_kernel, strict=True)
    )
    # bfloat16 keeps eight bits; a wrong neighbour is off by the size of the values themselves.
    if apart > 0.05:
        return f"it is {apart:.0%} away from attention under a mask"
    query, key, value = states.to(model.device, dtype)
    signs = (1 - 2 * owner).to(dtype)[None, None, :, None]
    with torch.no_grad():
        attended, _ = attend(None, query, key, signs.expand_as(value).contiguous(), None,
                             dropout=0.1, ends=ends, longest=24)  # fmt: skip
    own = attended * signs.transpose(1, 2) >= 0
    return "" if own.all() else "with dropout it attends to the neighbour"
