"""Dropout whose masks are drawn quickly on a CPU.

Sixteen random bits a number, four numbers a draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LEVELS = 1 << 16
"""A rate is kept in steps of one part in this many."""


def dropout(x: Float[Tensor, "*shape"], rate: float) -> Float[Tensor, "*shape"]:
    """Set each number to zero with probability `rate` and scale the others so that the mean stays.

    The mask comes from torch's global generator, so seeding it makes the mask reproducible. Away
    from the CPU this is `F.dropout`; on the CPU that one draws a double per number and costs more
    than the layer that it follows.
    """
    if rate == 0 or not x.is_cpu:
        return F.dropout(x, rate)
    if torch.compiler.is_compiling():  # which fuses the passes
        return x * keep_mask(x.shape, rate) * kept_scale(rate)
    out: Tensor = _Dropout.apply(x, rate)  # type: ignore[no-untyped-call]
    return out


def keep_mask(shape: Sequence[int], rate: float) -> Bool[Tensor, "*shape"]:
    """Which numbers stay, each with probability `1 - rate`; on the CPU."""
    bits: Tensor = random_bits(list(shape))
    return bits >= round(rate * LEVELS) - LEVELS // 2


def kept_scale(rate: float) -> float:
    """What the numbers that stay are multiplied with."""
    return LEVELS / (LEVELS - round(rate * LEVELS))


@torch.library.custom_op("inklings::random_bits", mutates_args=(), schema="(int[] shape) -> Tensor")
def random_bits(shape: list[int]) -> Tensor:
    """Sixteen random bits (int16) for each number, from torch's global generator.

    Compiled code draws the same as eager code.
    """
    count = torch.Size(shape).numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    return draws.view(torch.int16)[:count].view(shape)


@random_bits.register_fake
def _(shape: list[int]) -> Tensor:
    return torch.empty(shape, dtype=torch.int16)


class _Dropout(torch.autograd.Function):
    """Keeps a byte a number for the backward pass, where autograd's own product would keep four."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        kept = keep_mask(x.shape, rate)
        ctx.save_for_backward(kept)
        ctx.rate = rate
        return (x * kept).mul_(kept_scale(rate))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return (gradient * kept).mul_(kept_scale(ctx.rate)), None


class Dropout(nn.Module):
    """`dropout` in training, nothing in evaluation (Srivastava et al. 2014)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Same shape."""
        return dropout(x, self.rate) if self.training and self.rate > 0 else x
