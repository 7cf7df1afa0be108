"""Masks of dropout that are drawn quickly on a CPU.

Sixteen random bits a number, four numbers a draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.autograd.function import once_differentiable

LEVELS = 1 << 16
"""A rate is kept in steps of one part in this many."""


def keep_mask(shape: Sequence[int], rate: float) -> Bool[Tensor, "*shape"]:
    """Return which numbers stay, each with probability `1 - rate`; on the CPU."""
    bits: Tensor = random_bits(list(shape))
    return bits >= round(rate * LEVELS) - LEVELS // 2


def kept_scale(rate: float) -> float:
    """Return what the numbers that stay are multiplied with."""
    return LEVELS / (LEVELS - round(rate * LEVELS))


@torch.library.custom_op("inklings::random_bits", mutates_args=(), schema="(int[] shape) -> Tensor")
def random_bits(shape: list[int]) -> Tensor:
    """Draw sixteen random bits (int16) for each number, from torch's global generator.

    Compiled code draws the same as eager code.
    """
    count = torch.Size(shape).numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    return draws.view(torch.int16)[:count].view(shape)


@random_bits.register_fake
def _(shape: list[int]) -> Tensor:
    return torch.empty(shape, dtype=torch.int16)


class DropoutOnCPU(torch.autograd.Function):
    """Dropout that keeps a byte a number for the backward pass, where autograd would keep four."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        """Set each number to zero with probability `rate`, and scale the others.

        Args:
            ctx: autograd's.
            x: the numbers.
            rate: the probability.
        """
        kept = keep_mask(x.shape, rate)
        ctx.save_for_backward(kept)
        ctx.rate = rate
        return (x * kept).mul_(kept_scale(rate))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Pass on the gradient of `x`; the mask has none."""
        (kept,) = ctx.saved_tensors
        return (gradient * kept).mul_(kept_scale(ctx.rate)), None
