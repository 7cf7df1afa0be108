"""A learning curve as a small SVG, drawn while a run trains and beside it afterwards.

It is drawn in no time, needs nothing of the page around it, and holds on white and on near-black.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inklings.amounts import short_count
from inklings.lab.report.learning_curve import smooth, window_ends, window_size

WIDTH, HEIGHT = 620, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 26, 34
INK = "#808080"
INSIDE = ' clip-path="url(#inside)"'
TRAINING, VALIDATION = "#4f8fd9", "#e0762f"
POINTS = 400
"""Most points of a line: what a screen can show."""
SETTLED = 0.05
"""Share of the curve at its front that may run out of the picture: the first losses are far off."""


@dataclass(frozen=True)
class Line:
    """A line of the picture."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    color: str
    faint: bool = False
    """Whether it stands behind the others, without a name in the legend."""
    dots: bool = False
    """Whether each of its points is marked."""


def learning_lines(records: Sequence[dict[str, Any]]) -> list[Line]:
    """Return the lines of a run from its metrics: single losses, their means, and validation."""
    steps = [one for one in records if one["split"] == "train" and one["loss"] is not None]
    scored = [one for one in records if one["split"] == "validation" and one["loss"] is not None]
    xs = np.array([one["tokens"] for one in steps], dtype=np.float64)
    ys = np.array([one["loss"] for one in steps], dtype=np.float64)
    window = window_size(len(ys))
    thin = slice(None, None, max(1, len(xs) // POINTS))
    lines = []
    if len(ys):
        lines.append(Line("", xs[thin].tolist(), ys[thin].tolist(), TRAINING, faint=True))
        means, ends = smooth(ys, window).tolist(), window_ends(xs, window).tolist()
        lines.append(Line("training", ends, means, TRAINING))
    if scored:
        tokens, losses = ([one[name] for one in scored] for name in ("tokens", "loss"))
        lines.append(Line("validation", tokens, losses, VALIDATION, dots=True))
    return lines


def curve_svg(lines: Sequence[Line], *, unit: str, total: float | None = None) -> str:
    """Return a picture of lines over training tokens.

    Args:
        lines: the last one is drawn on top.
        unit: of the vertical axis.
        total: tokens at the right end; None takes the last point.
    """
    right = max([total or 0.0, *(x for line in lines for x in line.xs)]) or 1.0
    low, high = _range(lines, right)

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / right
        return across, TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low)

    parts = []
    for y in _ticks(low, high, 5):
        _, height = at(0, y)
        parts.append(
            f'<path d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}" stroke="{INK}" opacity=".25"/>'
            + _text(LEFT - 6, height + 4, f"{y:.10g}", "end")
        )
    for x in _ticks(0, right, 6):
        across, _ = at(x, low)
        parts.append(_text(across, HEIGHT - BOTTOM + 16, short_count(round(x)), "middle"))
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 4, "training tokens", "end"))
    parts.append(_text(2, 13, unit, "start"))
    legend = WIDTH - RIGHT
    for line in lines:
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in map(at, line.xs, line.ys))
        shade = ' opacity=".3"' if line.faint else ""
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{line.color}"{INSIDE}'
            f' stroke-width="{1 if line.faint else 2}" stroke-linejoin="round"{shade}/>'
        )
        if line.dots:
            parts += [
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{line.color}"{INSIDE}/>'
                for a, b in map(at, line.xs, line.ys)
            ]
        if line.name:
            value = f"{line.name} {line.ys[-1]:.4f}"
            parts.append(_text(legend, 13, value, "end", line.color))
            legend -= 8 * len(value)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
        ' font-family="system-ui, sans-serif" font-size="12"><clipPath id="inside">'
        f'<rect x="{LEFT}" y="{TOP - 4}" width="{WIDTH - LEFT - RIGHT + 4}"'
        f' height="{HEIGHT - TOP - BOTTOM + 8}"/>'
        f"</clipPath>{''.join(parts)}</svg>"
    )


def as_image(svg: str, about: str) -> str:
    """Return a picture as an image of HTML, which pages show that take no SVG from a notebook."""
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<img alt="{html.escape(about)}" style="max-width:100%"'
        f' src="data:image/svg+xml;base64,{data}">'
    )


def _text(x: float, y: float, words: str, anchor: str, color: str = INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">'
        f"{html.escape(words)}</text>"
    )


def _range(lines: Sequence[Line], right: float) -> tuple[float, float]:
    """Return the lowest and the highest value that is drawn."""
    values = [
        y
        for line in lines
        for x, y in zip(line.xs, line.ys, strict=True)
        if math.isfinite(y) and (not line.faint or x >= SETTLED * right)
    ]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = 0.06 * (high - low) or 0.1
    return low - room, high + room


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Return round values within a range, about as many as wanted."""
    rough = (high - low) / most
    base = 10 ** math.floor(math.log10(rough))
    step = next(factor * base for factor in (1, 2, 5, 10) if factor * base >= rough)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]
