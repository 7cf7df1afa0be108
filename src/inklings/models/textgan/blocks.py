"""The block of the text GAN's generator: attention, noise, attention to the style, feed-forward.

One block runs over many positions at once or over one position with the keys of those before, to
the same numbers. Shapes are named N (texts), T (positions), S (places of the style), E (channels),
H (heads), D (channels of a head).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inklings.layers.attention import KeyValueCache, Positions, attend
from inklings.layers.softmax_attention import plain_attention, softmax_attention

NormPlace = Literal["after", "before"]
"""Where a branch of a block is normalised: `after` it, as described, or `before` it."""

KeysAndValues = tuple[Float[Tensor, "N H S D"], Float[Tensor, "N H S D"]]


def heads(x: Float[Tensor, "N T C"], n_head: int) -> Float[Tensor, "N H T D"]:
    """Split channels into heads, and put the heads before the positions."""
    n, length, channels = x.shape
    return x.view(n, length, n_head, channels // n_head).transpose(1, 2)


def sinusoids(length: int, channels: int) -> Float[Tensor, "T E"]:
    """Return sinusoidal positional encodings (Vaswani et al. 2017, section 3.5).

    They are sines and cosines of wavelengths from 2 pi to 20,000 pi.
    """
    places = torch.arange(length).unsqueeze(1)
    rates = torch.exp(torch.arange(0, channels, 2) * (-math.log(10_000) / channels))
    return torch.stack(((places * rates).sin(), (places * rates).cos()), dim=-1).flatten(1)[
        :, :channels
    ]


def feed_forward(n_embd: int, n_hidden: int) -> nn.Sequential:
    """Make a linear layer to more channels, GELU, and a linear layer back."""
    return nn.Sequential(nn.Linear(n_embd, n_hidden), nn.GELU(), nn.Linear(n_hidden, n_embd))


def block_flops(n_embd: int, n_hidden: int) -> int:
    """Count multiplications and additions of a block's matrices at one position.

    Attention's products and the style are left out.
    """
    return 8 * n_embd**2 + 4 * n_embd * n_hidden


def noise_scale(n_embd: int) -> nn.Parameter:
    """Make the learned scale of each channel's noise (B of Karras et al. 2019, section 2)."""
    return nn.Parameter(torch.full((n_embd,), 0.1))


class Block(nn.Module):
    """Self-attention and feed-forward, each with a norm and a residual connection.

    With `style` it adds noise and attends to the style between the two. With `scaled`, the scale of
    that noise is learned for each channel; `twice` makes the block differentiable twice.
    """

    def __init__(
        self,
        n_embd: int,
        n_head: int,
        n_hidden: int,
        *,
        style: bool,
        norm: NormPlace,
        scaled: bool = False,
        twice: bool = False,
    ) -> None:
        super().__init__()
        self.n_head, self.norm_place = n_head, norm
        # torch's fast kernels of attention have no second derivative, which the penalty of a critic
        # needs
        self.attention = plain_attention if twice else softmax_attention
        self.qkv = nn.Linear(n_embd, 3 * n_embd)
        self.mix = nn.Linear(n_embd, n_embd)
        self.feed = feed_forward(n_embd, n_hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(n_embd) for _ in range(3 if style else 2))
        self.scale = noise_scale(n_embd) if scaled else None
        if style:
            self.query = nn.Linear(n_embd, n_embd)
            self.key_value = nn.Linear(n_embd, 2 * n_embd)
            self.style_mix = nn.Linear(n_embd, n_embd)

    def style_keys(self, style: Float[Tensor, "N S E"]) -> KeysAndValues:
        """Compute keys and values of the style, once for all positions of a text.

        Those of a head lie side by side, as attention reads them.
        """
        keys, values = self.key_value(style).chunk(2, dim=-1)
        return heads(keys, self.n_head).contiguous(), heads(values, self.n_head).contiguous()

    def forward(
        self,
        x: Float[Tensor, "N T E"],
        piece: Positions | None = None,
        cache: KeyValueCache | None = None,
        style: KeysAndValues | None = None,
        added: Float[Tensor, "N T E"] | None = None,
    ) -> Float[Tensor, "N T E"]:
        """Return the block's output at all T positions.

        Args:
            x: vectors (N, T, E).
            piece: lays out causal attention; None attends both ways.
            cache: keys and values of earlier positions.
            style: keys and values of the style, as `style_keys` gives them.
            added: the noise that is added (N, T, E); needed with `style`.
        """
        x = self._branch(x, self.norms[0], lambda y: self._attend(y, piece, cache))
        if style is not None:
            assert added is not None
            x = x + (added if self.scale is None else added * self.scale)
            x = self._branch(x, self.norms[2], lambda y: self._attend_style(y, style))
        return self._branch(x, self.norms[1], self.feed)

    def _branch(self, x: Tensor, norm: nn.Module, f: Callable[[Tensor], Tensor]) -> Tensor:
        out: Tensor = norm(f(x)) if self.norm_place == "after" else f(norm(x))
        return x + out

    def _attend(
        self, x: Float[Tensor, "N T E"], piece: Positions | None, cache: KeyValueCache | None
    ) -> Float[Tensor, "N T E"]:
        if piece is None:
            queries, keys, values = (
                heads(part, self.n_head) for part in self.qkv(x).chunk(3, dim=-1)
            )
            mixed = self.attention(queries, keys, values).transpose(1, 2).flatten(2)
        else:
            queries, keys, values = self.qkv(x).view(*x.shape[:2], 3, self.n_head, -1).unbind(2)
            mixed = attend(queries, keys, values, piece, cache)
        out: Tensor = self.mix(mixed)
        return out

    def _attend_style(
        self, x: Float[Tensor, "N T E"], style: KeysAndValues
    ) -> Float[Tensor, "N T E"]:
        mixed = softmax_attention(heads(self.query(x), self.n_head), *style)
        out: Tensor = self.style_mix(mixed.transpose(1, 2).flatten(2))
        return out
