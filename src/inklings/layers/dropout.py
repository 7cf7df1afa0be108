"""Dropout whose masks are drawn quickly on a CPU: sixteen random bits a number, four numbers a draw."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LEVELS = 1 << 16
"""A rate is kept in steps of one part in this many."""


def dropout(x: Float[Tensor, "*shape"], rate: float) -> Float[Tensor, "*shape"]:
    """Set each number to zero with probability `rate` and scale the others so that the mean stays.

    The mask comes from torch's global generator, so seeding it makes the mask reproducible. Away from the CPU, and in
    compiled code, this is `F.dropout`; on the CPU that one draws a double per number and costs more than the layer that it follows.
    """
    if rate == 0 or not x.is_cpu or torch.compiler.is_compiling():
        return F.dropout(x, rate)
    dropped = round(rate * LEVELS)
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - LEVELS // 2
    return x * (kept.to(x.dtype) * (LEVELS / (LEVELS - dropped)))


class Dropout(nn.Module):
    """`dropout` in training, nothing in evaluation (Srivastava et al. 2014)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Same shape."""
        return dropout(x, self.rate) if self.training and self.rate > 0 else x
