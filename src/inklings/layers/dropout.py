"""Dropout (Srivastava et al. 2014), with masks that are drawn quickly on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from inklings.layers.cpu.dropout_masks import DropoutOnCPU, keep_mask, kept_scale


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
    out: Tensor = DropoutOnCPU.apply(x, rate)  # type: ignore[no-untyped-call]
    return out


class Dropout(nn.Module):
    """Dropout in training, nothing in evaluation (Srivastava et al. 2014)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Drop numbers of `x` in training; the shape stays."""
        return dropout(x, self.rate) if self.training and self.rate > 0 else x
