"""Common parts of a report's Vega-Lite charts: named data, one colour per arm, both schemes.

A chart refers to its data by name, so that the page and every variant of a figure share one copy.
Colours are readable by colour-blind eyes. They are not in the charts but in the theme
(`theme("light")`, `theme("dark")`): the page can change scheme without new charts.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import altair as alt
from altair.utils.schemapi import debug_mode

# Okabe and Ito's palette (jfly.uni-koeln.de/color), its yellow and black replaced by tones that
# hold on white and on near-black; the dark scheme has the same hues, lighter.
COLORS = {
    "light": (
        "#0072b2",
        "#d55e00",
        "#009e73",
        "#cc79a7",
        "#dba000",
        "#56b4e9",
        "#5d5d5d",
        "#8d8300",
    ),
    "dark": (
        "#4f9fe6",
        "#ff8648",
        "#2cc799",
        "#e79ac6",
        "#f4b740",
        "#9ad6fb",
        "#c4c4c4",
        "#d3c84c",
    ),
}
DASHES = ([1, 0], [6, 3], [2, 2])
"""Dashes of lines: beyond eight arms the colours repeat, with another dash."""
FONT = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', sans-serif"
)

Rows = list[dict[str, Any]]
Scheme = Literal["light", "dark"]


@dataclass(frozen=True)
class Control:
    """A choice above a figure; figures that share a control change together."""

    name: str
    label: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """A figure of the report: one chart for each choice of its controls."""

    name: str
    title: str
    unit: str
    caption: str
    charts: Mapping[str, Any]
    controls: tuple[Control, ...] = ()
    wide: bool = False
    legend: bool = True
    """Whether its files need a legend: not where an axis names what the colours mean, or there is
    one arm.
    """
    data: Mapping[str, Rows] = field(default_factory=dict)

    @property
    def first(self) -> Any:
        """The chart shown first."""
        return self.charts[" ".join(control.options[0] for control in self.controls)]


@dataclass(frozen=True)
class Axis:
    """A cost of training as an axis: its name in a choice, its column in the rows, and a title."""

    name: str
    column: str
    title: str


AXES = (
    Axis("tokens", "tokens", "training tokens"),
    Axis("FLOPs", "flops", "training FLOPs"),
    Axis("time", "seconds", "training time, s"),
)
"""The axes in the order in which they are offered; a figure has those that its rows have."""


def theme(scheme: Scheme) -> dict[str, Any]:
    """Return the Vega-Lite configuration of one scheme.

    Colours, type and lines, on no background.
    """
    ink, faint, grid = (
        ("#3c3a36", "#77736b", "#e8e4db")
        if scheme == "light"
        else ("#d8d5cd", "#96928a", "#33363c")
    )
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "range": {"category": list(COLORS[scheme])},
        "axis": {
            "labelColor": faint,
            "titleColor": faint,
            "labelFontSize": 11.5,
            "titleFontSize": 12,
            "titleFontWeight": 400,
            "titlePadding": 8,
            "labelPadding": 6,
            "gridColor": grid,
            "domain": False,
            "ticks": False,
        },
        "axisX": {"grid": False, "domain": True, "domainColor": grid, "labelFlush": True},
        "legend": {
            "labelColor": ink,
            "titleColor": faint,
            "labelFontSize": 12,
            "symbolStrokeWidth": 2.5,
            "symbolOpacity": 1,
            "orient": "top",
            "title": None,
        },
        "title": {
            "color": ink,
            "fontSize": 15,
            "fontWeight": 600,
            "anchor": "start",
            "offset": 14,
            "subtitleColor": faint,
            "subtitleFontSize": 12.5,
        },
        "text": {"color": faint, "font": FONT},
        "style": {"rung": {"color": faint}, "target": {"color": ink}, "level": {"color": faint}},
    }


def arm_color(arms: Sequence[str]) -> Any:
    """Encode one colour for each arm; the page has the legend."""
    return alt.Color("arm:N", scale=alt.Scale(domain=list(arms)), legend=None)


def arm_dash(arms: Sequence[str]) -> Any:
    """Return a solid line for the first eight arms, dashes for those whose colours come again."""
    dashes = [DASHES[(i // len(COLORS["light"])) % len(DASHES)] for i in range(len(arms))]
    return alt.StrokeDash("arm:N", scale=alt.Scale(domain=list(arms), range=dashes), legend=None)


def focus_opacity(full: float = 1.0) -> Any:
    """Encode full opacity, unless another arm is in focus (a signal of the page's legend)."""
    return (
        alt.when("focus === null || focus === datum.arm")
        .then(alt.value(full))
        .otherwise(alt.value(full * 0.12))
    )


def layered(*layers: Any, height: int | Any) -> Any:
    """Return a chart of layers as wide as its place."""
    focus = alt.param(name="focus", value=None)
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    return (
        alt.layer(*layers)
        .add_params(focus)
        .properties(width="container", height=height, autosize=fit)
    )


NEAREST = {"type": "point", "nearest": True, "on": "pointerover", "clear": "pointerout"}
"""Selects the point that is nearest to the pointer."""
_POINT = "(datum.datum || datum)"
"""The row of a mark; the cells around the nearest point hold the point, not its row."""


def told_text(field: str) -> str:
    """Return the expression of a text that is told of a point."""
    return f"{_POINT}[{json.dumps(field)}]"


def told_number(field: str, form: str) -> str:
    """Return the expression of a number that is told of a point, in a format of d3."""
    return f"format({told_text(field)}, {json.dumps(form)})"


def told_all(told: Mapping[str, str]) -> str:
    """Return the expression of all that is told of a point, by its names."""
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in told.items()) + "}"


def hovered(base: Any, told: Mapping[str, str], *, visible: str = "true") -> Any:
    """Return the marks that show values at the pointer: those of the point that is nearest to it.

    Args:
        base: the chart with its axes and colours, without a mark.
        told: what is told of a point: names, and expressions.
        visible: which points there are to hover over.
    """
    near = alt.selection_point(nearest=True, on="pointerover", clear="pointerout", empty=False)
    return (
        base.transform_filter(visible)
        .mark_point(filled=True, size=70, tooltip=alt.ExprRef(told_all(told)))
        .encode(opacity=alt.condition(near, alt.value(1), alt.value(0)))
        .add_params(near)
    )


def cost_axis(axis: Axis, *, log: bool = False) -> Any:
    """Encode a horizontal axis of a cost of training, from zero, or in powers of ten."""
    scale = (
        alt.Scale(type="log", nice=False, padding=14) if log else alt.Scale(nice=False, domainMin=0)
    )
    ticks = alt.Axis(
        labelExpr=cost_labels(axis), tickCount=5, labelOverlap="greedy", labelSeparation=10
    )
    return alt.X(f"{axis.column}:Q", title=axis.title, axis=ticks, scale=scale)


def cost_labels(axis: Axis) -> str:
    """Return the expression that writes the numbers of an axis of costs."""
    small = "datum.value < 1 ? format(datum.value, '.3~f') : format(datum.value, '~s')"
    return (
        f"datum.value === 0 ? '0' : {small}"
        if axis.name == "time"
        else "datum.value === 0 ? '0' : format(datum.value, '~s')"
    )


def shared_axes(*tables: Rows) -> list[Axis]:
    """Return the axes that all rows have a figure for."""
    return [
        axis
        for axis in AXES
        if all(row.get(axis.column) is not None for rows in tables for row in rows)
    ]


def around(values: Sequence[float], pad: float = 0.05) -> tuple[float, float]:
    """Return a range that holds all values, with a share `pad` of it free on either side."""
    low, high = min(values), max(values)
    room = pad * (high - low) or 0.1
    return (round(low - room, 4), round(high + room, 4))


def unchecked() -> AbstractContextManager[None]:
    """Make charts that Altair does not hold against its schema within the block.

    It would check every part of each, for about a third of the time that a report takes; the tests
    of the sections do.
    """
    return debug_mode(False)


def page_spec(chart: Any) -> dict[str, Any]:
    """Return the chart as the page draws it: without data and theme, which the page has once."""
    spec: dict[str, Any] = (
        copy.deepcopy(chart) if isinstance(chart, dict) else chart.to_dict(validate=False)
    )
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}
