"""Rotary positions (Su et al. 2021): pairs of channels turn by an angle that grows with position.

The product of a turned query and a turned key depends on their distance alone. Here every frequency
is a whole multiple of 2 pi / period, so positions may be counted modulo the period: a stream of any
length loses no precision.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

PERIODS_PER_WINDOW = 8
"""The slowest pair turns once in this many windows, so that no two distances within a window look
alike.
"""


class Rotary(nn.Module):
    """A table of turns for `head_size` channels (an even number), for distances below `window`."""

    table: Tensor

    def __init__(self, head_size: int, window: int) -> None:
        super().__init__()
        self.period = PERIODS_PER_WINDOW * window
        self.pairs = head_size // 2
        multiples = self._multiples()
        turns = (torch.arange(self.period, dtype=torch.float64)[:, None] * multiples) % self.period
        angles = 2 * math.pi * turns / self.period
        self.register_buffer(
            "table", torch.stack((angles.cos(), angles.sin()), dim=-1).float(), persistent=False
        )

    def _multiples(self) -> Float[Tensor, " D2"]:
        fastest = max(1.0, self.period / (2 * math.pi))  # one radian a token
        return (fastest ** torch.linspace(1, 0, self.pairs, dtype=torch.float64)).round()

    @property
    def frequencies(self) -> Float[Tensor, " D2"]:
        """Radians by which each pair turns from one token to the next, in float64."""
        return 2 * math.pi * self._multiples() / self.period

    def forward(self, positions: Int[Tensor, "#B T"]) -> Float[Tensor, "#B T 1 D2 2"]:
        """Return cosine and sine of each pair's turn at each position, for all heads alike."""
        return self.table[positions % self.period][:, :, None]


def rotate(
    x: Float[Tensor, "B T H D"], turns: Float[Tensor, "#B T 1 D2 2"]
) -> Float[Tensor, "B T H D"]:
    """Turn neighbouring channels of `x`, taken as complex numbers.

    One pass, where real arithmetic takes six.
    """
    if torch.compiler.is_compiling():  # which fuses the passes, but knows no complex numbers
        return rotate_plainly(x, turns)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    pairs = torch.view_as_complex(wide.reshape(*x.shape[:-1], -1, 2))
    return (
        torch.view_as_real(pairs * torch.view_as_complex(turns.to(wide.dtype)))
        .flatten(-2)
        .to(x.dtype)
    )


def rotate_plainly(
    x: Float[Tensor, "B T H D"], turns: Float[Tensor, "#B T 1 D2 2"]
) -> Float[Tensor, "B T H D"]:
    """Return what `rotate` does, in real arithmetic."""
    cos, sin = turns.unbind(-1)
    even, odd = x[..., 0::2], x[..., 1::2]
    return (
        torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
        .flatten(-2)
        .to(x.dtype)
    )
