"""Dilated causal convolution: all positions of a row at once, or one token at a time from a queue.

A convolution of `taps` taps and some dilation sees, at each position, the vectors at 0, 1, ...
(taps - 1) dilations before it. `causal_taps` lays them side by side, so that a linear map over them
is the convolution. `Queues` remember, for a stack of such convolutions, what later positions will
look back on: of each its last (taps - 1) * dilation inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor


def causal_taps(
    vectors: Float[Tensor, "B L C"],
    before: Int[Tensor, "#B T"] | None,
    *,
    length: int,
    taps: int,
    dilation: int,
    absent: Float[Tensor, " C"],
) -> Float[Tensor, "B T F"]:
    """Return the vectors that each position sees, side by side, oldest first: (B, T, taps * C).

    Args:
        vectors: (B, L, C); the last T positions are wanted.
        before: how many earlier positions of its document each position may look back on; negative
            where the position itself is absent. None: only what lies before the first vector is
            absent.
        length: T.
        taps: how many vectors a position sees.
        dilation: the distance between them.
        absent: (C,), stands in for what is absent.
    """
    batch, width, channels = vectors.shape
    reach = (taps - 1) * dilation
    if before is None:
        missing = max(length + reach - width, 0)
        padded = (
            torch.cat([absent.expand(batch, missing, -1), vectors], dim=1) if missing else vectors
        )
        first = padded.shape[1] - length - reach
        return torch.cat(
            [padded[:, at : at + length] for at in range(first, first + reach + 1, dilation)],
            dim=-1,
        )
    # Every tap as an index of a list of vectors whose first is the absent one: one look-up, one
    # gradient.
    listed = torch.cat([absent[None], vectors.flatten(0, 1)])
    row = torch.arange(batch, device=vectors.device)[:, None, None] * width
    position = torch.arange(width - length + 1, width + 1, device=vectors.device)[:, None]
    offset = torch.arange(-reach, 1, dilation, device=vectors.device)
    place = position + offset  # below one, it lies before the first vector
    index = (row + place) * ((offset >= -before[:, :, None]) & (place > 0))
    return listed.index_select(0, index.flatten()).view(batch, length, taps * channels)


@dataclass(frozen=True)
class Queues:
    """The places of the layers' queues in one tensor (B, places, C): a ring after another.

    The ring of a layer with reach r holds the layer's input at position p of the document in place
    p modulo r. Like a cache of keys it is never cleared: what is left of an earlier document lies
    further back than `before` allows.
    """

    taps: int
    dilations: tuple[int, ...]

    @property
    def reaches(self) -> list[int]:
        """How far back each layer looks, which is the length of its ring."""
        return [(self.taps - 1) * dilation for dilation in self.dilations]

    @property
    def places(self) -> int:
        """The places of all rings together."""
        return sum(self.reaches)

    @property
    def begins(self) -> list[int]:
        """The first place of each ring."""
        return [0, *accumulate(self.reaches)][:-1]

    def in_order(
        self, rings: Float[Tensor, "B P C"], position: Int[Tensor, " B"]
    ) -> list[Float[Tensor, "B R C"]]:
        """Return each layer's last R inputs before `position` (B,), the oldest first."""
        found = []
        for begin, reach in zip(self.begins, self.reaches, strict=True):
            places = (
                begin + (position[:, None] + torch.arange(reach, device=position.device)) % reach
            )
            found.append(_rows(rings, places))
        return found

    def after(
        self,
        rings: Float[Tensor, "B P C"],
        inputs: Sequence[Float[Tensor, "B T C"]],
        position: Int[Tensor, " B"],
    ) -> Float[Tensor, "B P C"]:
        """Return new rings, in which each layer has read its inputs.

        Args:
            rings: the layers' queues (B, P, C).
            inputs: what each layer read (B, T, C).
            position: the next position of each row (B,).
        """
        renewed = []
        for begin, reach, new in zip(self.begins, self.reaches, inputs, strict=True):
            ring, length = rings[:, begin : begin + reach], new.shape[1]
            ago = (position[:, None] - 1 - torch.arange(reach, device=position.device)) % reach
            newest = _rows(new.to(rings.dtype), (length - 1 - ago).clamp(min=0))
            renewed.append(newest.where((ago < length)[..., None], ring))
        return torch.cat(renewed, dim=1)


def _rows(vectors: Float[Tensor, "B L C"], places: Int[Tensor, "B R"]) -> Float[Tensor, "B R C"]:
    """Pick from each row of the batch the vectors at its places."""
    return vectors.gather(1, places[..., None].expand(-1, -1, vectors.shape[-1]))


@dataclass(frozen=True)
class OneToken:
    """One more token in every row: what all layers look back on, read at once.

    What the layers hand in is written at once too.
    """

    taps: Float[Tensor, "N B K C"]
    """What each of N layers sees of its K taps, the oldest first; the last is its own input, for
    the layer to fill in.
    """
    _vectors: Float[Tensor, "BP C"]
    _written: Int[Tensor, " NB"]

    def write(self) -> None:
        """Put every layer's own input into its ring, in place."""
        self._vectors.index_copy_(0, self._written, self.taps[:, :, -1].flatten(0, 1))


def read_one_token(
    queues: Queues, rings: Float[Tensor, "B P C"], position: Int[Tensor, " B"]
) -> OneToken:
    """Look back from one token in each row, without gradients.

    Absent vectors, before the token's document, are zero.

    Args:
        queues: the layout of the rings.
        rings: the layers' queues (B, P, C).
        position: of the token in each row (B,).
    """
    begin, reach, back = _layout(queues, position.device)
    rows, places, channels = rings.shape
    vectors = rings.view(rows * places, channels)
    first = begin + torch.arange(0, rows * places, places, device=rings.device)[:, None]
    at = (position[:, None] - back) % reach + first  # (N, B, K - 1)
    old = vectors.index_select(0, at.flatten()).view(*at.shape, channels)
    taps = rings.new_empty(at.shape[0], rows, queues.taps, channels)
    torch.mul(old, (position[:, None] >= back)[..., None], out=taps[:, :, :-1])
    return OneToken(taps, vectors, at[:, :, 0].flatten())  # the oldest is overwritten by the newest


@functools.lru_cache(maxsize=32)
def _layout(
    queues: Queues, device: torch.device
) -> tuple[Int[Tensor, "N 1 1"], Int[Tensor, "N 1 1"], Int[Tensor, "N 1 K1"]]:
    """Return, for each layer, the first place of its ring, its length, and the reach of each tap.

    The last tap, which reads the present position, is left out.
    """
    dilations = torch.tensor(queues.dilations, device=device)[:, None, None]
    begins = torch.tensor(queues.begins, device=device)[:, None, None]
    return (
        begins,
        (queues.taps - 1) * dilations,
        torch.arange(queues.taps - 1, 0, -1, device=device) * dilations,
    )
