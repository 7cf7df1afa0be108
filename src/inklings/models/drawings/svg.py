"""A drawing of an architecture as SVG.

Boxes have fills and ink of their own, light or dark as the reader prefers; lines are of a grey that
holds on white and on near-black, as a page may be either in any case.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

from inklings.models.drawings.drawing import Arrow, Box, Drawing, Frame, Panel

WIDTH, ACROSS = 204, 26
"""Of a box, and between two columns."""
LINE, PADDING, DOWN = 15, 9, 30
"""Height of a line of text, what is above and below the text of a box, and between two rows."""
HEAD, MARGIN, CHANNEL = 34, 10, 15
"""Room for a panel's title, around the drawing, and for an arrow around a side."""
CIRCLE = 10
"""Radius of a sum."""
JUNCTION = 8
"""How far below a box its line parts, where one goes around a side."""
AIR = 10
"""Between a frame and its boxes."""
BELOW = 14
"""Room below a frame, for its title."""

STYLE = """\
text{font:11.5px system-ui,sans-serif;fill:#1d2733}
.t{font-weight:600;font-size:12px}
.p{font-weight:600;font-size:13px;fill:#808080}.l{font-size:11px;fill:#808080}
path{fill:none;stroke:#808080;stroke-width:1.3}.f{stroke-dasharray:4 4;stroke-width:1}
.h{fill:#808080;stroke:none}
.data{fill:#eef1f5;stroke:#8a97a8}.layer{fill:#dbe8fa;stroke:#4f8fd9}
.choice{fill:#fbe6d5;stroke:#e0762f}.memory{fill:#e8e0f6;stroke:#8a6fc4}
.noise{fill:#e0f1de;stroke:#57994f}.sum{fill:#eef1f5;stroke:#808080}
@media(prefers-color-scheme:dark){text{fill:#e6e9ed}.p,.l{fill:#909090}
.data{fill:#2a2f36}.layer{fill:#1f3654}.choice{fill:#553017}.memory{fill:#3a2f55}
.noise{fill:#233d20}.sum{fill:#2a2f36}}"""


@dataclass(frozen=True)
class Place:
    """Where a box lies, in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The place of its right side."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The place of its lower side."""
        return self.top + self.height

    @property
    def across(self) -> float:
        """The middle between left and right."""
        return self.left + self.width / 2

    @property
    def down(self) -> float:
        """The middle between top and bottom."""
        return self.top + self.height / 2


def svg(drawing: Drawing) -> str:
    """Return a picture of a drawing."""
    parts, left, height = [], float(MARGIN), 0.0
    for panel in drawing.panels:
        places = _places(panel, left)
        parts.append(_panel(panel, places, left))
        right = _sides(panel, "right") + max(place.right for place in places.values())
        left = right + 2 * ACROSS
        height = max(height, *(place.bottom for place in places.values()))
    width = left - 2 * ACROSS + MARGIN
    height += DOWN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
        f' width="{width:g}" height="{height:g}" role="img"><title>{html.escape(drawing.about)}'
        f'</title><style>{STYLE}</style><defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4"'
        ' markerWidth="7" markerHeight="7" orient="auto"><path class="h" d="M0 0L8 4L0 8z"/>'
        "</marker></defs>\n" + "".join(parts) + "</svg>\n"
    )


def _height(box: Box) -> float:
    if box.kind == "sum":
        return 2 * CIRCLE
    return 2 * PADDING + LINE * (1 + len(box.lines))


def _sides(panel: Panel, side: str) -> float:
    """Return the room for the arrows around a side, and for the frames there."""
    arrows = any(arrow.side == side for arrow in panel.arrows)
    return max(AIR if panel.frames else 0, CHANNEL if arrows else 0)


def _places(panel: Panel, left: float) -> dict[str, Place]:
    first = min(box.at[0] for box in panel.boxes)
    begin = left + _sides(panel, "left")
    rows = {box.name: box.at[1] for box in panel.boxes}
    tops, top = {}, float(MARGIN + HEAD)
    for row in sorted({box.at[1] for box in panel.boxes}):
        heights = [_height(box) for box in panel.boxes if box.at[1] == row]
        tops[row] = (top, max(heights))
        ends = any(row == max(rows[name] for name in frame.boxes) for frame in panel.frames)
        top += max(heights) + DOWN + (BELOW if ends else 0)
    places = {}
    for box in panel.boxes:
        middle = begin + WIDTH / 2 + (box.at[0] - first) * (WIDTH + ACROSS)
        width = 2 * CIRCLE if box.kind == "sum" else WIDTH
        above, room = tops[box.at[1]]
        height = _height(box)
        places[box.name] = Place(middle - width / 2, above + (room - height) / 2, width, height)
    return places


def _panel(panel: Panel, places: dict[str, Place], left: float) -> str:
    lines = [_text(left, MARGIN + 12, panel.title, "p", "start")]
    lines += [_frame(frame, places) for frame in panel.frames]
    lines += [_arrow(arrow, places) for arrow in panel.arrows]
    lines += [_box(box, places[box.name]) for box in panel.boxes]
    return "".join(f"{line}\n" for line in lines)


def _box(box: Box, place: Place) -> str:
    if box.kind == "sum":
        return (
            f'<circle class="sum" cx="{place.across:g}" cy="{place.down:g}" r="{CIRCLE}"/>'
            + _text(place.across, place.down + 4, "+", "t", "middle")
        )
    words = [(box.title, "t"), *((line, "") for line in box.lines)]
    shape = (
        f'<rect class="{box.kind}" x="{place.left:g}" y="{place.top:g}" width="{place.width:g}"'
        f' height="{place.height:g}" rx="6"/>'
    )
    return shape + "".join(
        _text(place.across, place.top + PADDING + LINE * number + 11, text, style, "middle")
        for number, (text, style) in enumerate(words)
    )


def _frame(frame: Frame, places: dict[str, Place]) -> str:
    inside = [places[name] for name in frame.boxes]
    left, top = min(p.left for p in inside) - AIR, min(p.top for p in inside) - AIR
    right, bottom = max(p.right for p in inside) + AIR, max(p.bottom for p in inside) + AIR
    outline = f"M{left:g} {top:g}H{right:g}V{bottom:g}H{left:g}z"
    title = _text(right - 4, bottom + 12, frame.title, "l", "end")
    return f'<path class="f" d="{outline}"/>{title}'


def _arrow(arrow: Arrow, places: dict[str, Place]) -> str:
    source, target = places[arrow.source], places[arrow.target]
    if arrow.side:
        way = _around(arrow, places)
    elif abs(source.down - target.down) < 1 or (
        source.top < target.bottom and target.top < source.bottom
    ):
        ends = (
            (source.right, target.left)
            if source.across < target.across
            else (source.left, target.right)
        )
        height = target.down if target.height < source.height else source.down
        way = f"M{ends[0]:g} {height:g}H{ends[1]:g}"
    else:
        turn = target.top - DOWN / 2
        way = f"M{source.across:g} {source.bottom:g}"
        if abs(source.across - target.across) > 1:
            way += f"V{turn:g}H{target.across:g}"
        way += f"V{target.top:g}"
    return f'<path d="{way}" marker-end="url(#head)"/>'


def _around(arrow: Arrow, places: dict[str, Place]) -> str:
    """Return the way of an arrow around a side.

    Downwards it leaves the line below its source, as what skips a box does.
    """
    source, target = places[arrow.source], places[arrow.target]
    between = [
        place
        for place in places.values()
        if min(source.top, target.top) <= place.top <= max(source.top, target.top)
    ]
    if arrow.side == "right":
        out = max(place.right for place in between) + CHANNEL
        begin, end = source.right, target.right
    else:
        out = min(place.left for place in between) - CHANNEL
        begin, end = source.left, target.left
    leaves = f"M{begin:g} {source.down:g}"
    if source.top < target.top:
        leaves = f"M{source.across:g} {source.bottom + JUNCTION:g}"
    return f"{leaves}H{out:g}V{target.down:g}H{end:g}"


def _text(x: float, y: float, words: str, style: str, anchor: str) -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{html.escape(words)}</text>'
