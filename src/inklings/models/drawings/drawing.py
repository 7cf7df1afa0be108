"""What a drawing of an architecture says: boxes on a grid, arrows between them, frames around some.

An architecture makes its drawing of the model itself, so that every size is that of a weight which
is there. `svg` makes a picture of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

Kind = Literal["data", "layer", "choice", "memory", "noise", "sum"]
"""What a box stands for; `sum` is an addition, drawn as a small circle."""


@dataclass(frozen=True)
class Box:
    """A step of the data flow."""

    name: str
    """What arrows and frames call it; once in a panel."""
    at: tuple[float, int]
    """Column, which may lie between two, and row from above."""
    title: str = ""
    lines: tuple[str, ...] = ()
    """What stands below the title: sizes, settings."""
    kind: Kind = "layer"
    parts: tuple[str, ...] = ()
    """The modules and parameters of the model that it stands for, by the beginnings of their
    names.
    """


@dataclass(frozen=True)
class Arrow:
    """Data that goes from a box to another: downwards, across a row, or around a side."""

    source: str
    target: str
    side: Literal["", "left", "right"] = ""
    """Around which side of the boxes between it goes, as what skips them or comes back does."""


@dataclass(frozen=True)
class Frame:
    """A line around boxes that belong together, such as those of a repeated layer."""

    title: str
    boxes: tuple[str, ...]


@dataclass(frozen=True)
class Panel:
    """A part of a drawing with a title of its own."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """Panels side by side."""

    about: str
    """What it shows, for whoever cannot see it."""
    panels: tuple[Panel, ...]

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The boxes of all panels."""
        return tuple(box for panel in self.panels for box in panel.boxes)


def chain(*names: str) -> tuple[Arrow, ...]:
    """Return the arrows from each of these boxes to the next."""
    return tuple(map(Arrow, names, names[1:]))


def sizes(*layers: nn.Module | None) -> str:
    """Return what linear layers, one behind the other, make of how many numbers.

    `128 → 512 → 128`; of an embedding its table, `27 x 128`.
    """
    found: list[int] = []
    for layer in layers:
        if isinstance(layer, nn.Embedding):
            return f"{layer.num_embeddings:,} x {layer.embedding_dim}"
        assert isinstance(layer, nn.Linear)
        found += [layer.in_features, layer.out_features] if not found else [layer.out_features]
    return " → ".join(f"{size:,}" for size in found)


def times(count: int) -> str:
    """Return how often a layer is there, in words."""
    return "once" if count == 1 else f"{count} times"
