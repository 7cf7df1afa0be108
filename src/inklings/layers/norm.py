"""RMSNorm without a gain (Zhang and Sennrich 2019): vectors scaled to a root mean square of one.

A gain in front of a linear map is part of that map, so none is kept.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-6


@functools.cache
def _constants(size: int) -> tuple[Tensor, Tensor]:
    """Return sqrt(size) and sqrt(size * epsilon), as tensors.

    A step of decoding is so short that turning a Python number into one shows.
    """
    return torch.tensor(math.sqrt(size), device="cpu"), torch.tensor(
        math.sqrt(size * EPSILON), device="cpu"
    )


class _RMSNorm(torch.autograd.Function):
    """RMSNorm with a backward pass written out.

    On a CPU autograd's own composition takes up to twice the time.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        wide = x.to(
            torch.promote_types(x.dtype, torch.float32)
        )  # half the digits are not enough for a sum of squares
        scale = (
            torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
            .square_()
            .div_(x.shape[-1])
            .add_(EPSILON)
            .rsqrt_()
        )
        y: Tensor = wide * scale
        ctx.save_for_backward(y, scale)
        return y.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        y, scale = ctx.saved_tensors
        given, gradient = gradient.dtype, gradient.to(y.dtype)
        along = (gradient * y).mean(dim=-1, keepdim=True)
        across = torch.addcmul(gradient, y, along, value=-1)
        return across.mul_(scale).to(given)


def rms_norm(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Scale the last dimension to a root mean square of one."""
    if not x.is_cpu or torch.compiler.is_compiling():
        return F.rms_norm(x, (x.shape[-1],), eps=EPSILON)
    if not (x.requires_grad and torch.is_grad_enabled()):
        if x.dtype != torch.float32:
            return F.rms_norm(x, (x.shape[-1],), eps=EPSILON)
        root, least = _constants(x.shape[-1])
        return x * torch.div(
            root, torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), least)
        )
    normed: Tensor = _RMSNorm.apply(x)  # type: ignore[no-untyped-call]
    return normed
