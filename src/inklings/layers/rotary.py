"""Rotary positions (Su et al. 2021): pairs of channels turn by an angle that grows with position.

The product of a turned query and a turned key depends on their distance alone. Here every frequency
is a whole multiple of 2 pi / period, so positions may be counted modulo the period: a stream of any
length loses no precision. `Rotary` spreads the frequencies over its window and has a short period;
`StandardRotary` has the frequencies of other people's models, and a period of 2^64.
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


class StandardRotary(nn.Module):
    """Turns of `head_size` channels by the frequencies base^(-2 i / head_size) of Su et al. 2021.

    Each frequency is kept as a whole number of 2^-64 turns. A product of 64-bit integers drops
    whole turns by itself, so it is exact at any position, on devices without float64 too; a product
    in float32 would be wrong by a radian after ten million tokens.
    """

    multiples: Tensor

    def __init__(self, head_size: int, base: float) -> None:
        super().__init__()
        pairs = head_size // 2
        angles = base ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
        multiples = (angles / (2 * math.pi) * 2.0**64).round().to(torch.int64)
        self.register_buffer("multiples", multiples, persistent=False)

    @property
    def frequencies(self) -> Float[Tensor, " D2"]:
        """Radians by which each pair turns from one token to the next, in float64."""
        return 2 * math.pi * 2.0**-64 * self.multiples.double()

    def forward(self, positions: Int[Tensor, "#B T"]) -> Float[Tensor, "#B T 1 D2 2"]:
        """Return cosine and sine of each pair's turn at each position, for all heads alike."""
        parts = positions[:, :, None, None] * self.multiples  # of a turn: between -1/2 and 1/2
        angles = parts.float() * (2 * math.pi * 2.0**-64)
        return torch.stack((angles.cos(), angles.sin()), dim=-1)


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
