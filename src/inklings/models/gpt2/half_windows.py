"""Windows of which each begins with the last half of the one before, as the model's module says.

Either the windows that new tokens touch are laid out side by side, each read afresh (`windows_of`),
or every position has a column in two lanes of windows (`lane_columns`), which needs no look at the
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def segments_of(positions: Int[Tensor, "B T"], size: int) -> Int[Tensor, "B T"]:
    """Return the segment of each position of a document, as the module's docstring defines it."""
    stride = size - size // 2
    return (1 + (positions - size).div(stride, rounding_mode="floor")).clamp(min=0)


def lane_columns(positions: Int[Tensor, "B T"], size: int) -> Int[Tensor, "B 2 T"]:
    """Return the column of each position of a document in the window that each lane is in.

    A lane takes up a new window after every two strides. The second has not begun where it is
    negative; past the window, which a column is by one at most, a lane is at rest.
    """
    stride = size - size // 2
    since = positions[:, None] - stride * torch.arange(2, device=positions.device)[:, None]
    return torch.where(since < 0, since, since % (2 * stride))


@dataclass(frozen=True)
class Windows:
    """The segments of the new tokens of all rows, each with what it reads again in front."""

    tokens: Int[Tensor, "N L"]
    """One window a line, filled up behind its `length`; rows one after the other."""
    length: Int[Tensor, " N"]
    last: Bool[Tensor, " N"]
    """Whether the window is the one that its row is left in."""
    window: Int[Tensor, "B T"]
    """The line of each new token."""
    column: Int[Tensor, "B T"]
    """The place of each position in that line."""


def windows_of(
    tokens: Int[Tensor, "B T"],
    read: tuple[Int[Tensor, "B W"], Int[Tensor, " B"]] | None,
    positions: Int[Tensor, "B T"],
    size: int,
) -> Windows:
    """Sort new tokens into the segments that they are read in.

    Args:
        tokens: the new ones (B, T).
        read: what each row has read of its segment, and how many tokens that is; None for nothing.
        positions: of the new tokens, counted from the row's segment.
        size: tokens of a window.
    """
    batch, length = tokens.shape
    segment = segments_of(positions, size)
    column = positions - segment * (size - size // 2)
    opens = (positions == 0) | (segment != segment.roll(1, dims=1))
    opens[:, 0] = True
    row, first = opens.nonzero(as_tuple=True)
    flat = row * length + first
    new = torch.diff(flat, append=flat.new_tensor([batch * length]))
    lengths = column[row, first] + new
    # A window's tokens are consecutive in [the row's cached tokens, its new tokens], the former
    # counted from their end.
    times = (first - column[row, first])[:, None] + torch.arange(
        int(lengths.max()), device=tokens.device
    )
    sources = times.clamp(max=length - 1)
    text = tokens
    if read is not None:
        text = torch.cat((read[0], tokens), dim=1)
        sources = torch.where(times < 0, read[1][row, None] + times, size + sources)
    return Windows(
        tokens=text[row[:, None], sources],
        length=lengths,
        last=(flat + new) % length == 0,
        window=opens.flatten().cumsum(0).view(batch, length) - 1,
        column=column,
    )
