"""Compute matrix products in the precision that the device is fast in.

Weights, their updates, losses and heads are in single precision everywhere, but for the head of MLM
and the parsers' widest product.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.backends import cuda


def of_device(device: torch.device, wanted: str = "auto") -> torch.dtype:
    """Return the precision of an encoder's matrix products: bfloat16 where the device has it."""
    if wanted == "float32":
        return torch.float32
    if device.type == "cuda":
        # Cards before Ampere only emulate it.
        halves = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if halves else torch.float32
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def of_model(model: Any) -> torch.dtype:
    """Return the precision that an encoder was loaded to compute in."""
    return getattr(model, "precision", torch.float32)


@contextmanager
def products(model: Any, device: torch.device) -> Iterator[None]:
    """Compute matrix products in a model's precision.

    Those of attention too where no fast kernel has its dropout, as on a processor: PyTorch goes
    over to single precision there unless this is allowed, on any device by a setting of `cuda`
    (pytorch/pytorch pull request 150996).
    """
    halves = of_model(model) != torch.float32
    before = cuda.fp16_bf16_reduction_math_sdp_allowed()
    cuda.allow_fp16_bf16_reduction_math_sdp(halves)
    try:
        with torch.autocast(device.type, of_model(model), enabled=halves):
            yield
    finally:
        cuda.allow_fp16_bf16_reduction_math_sdp(before)
