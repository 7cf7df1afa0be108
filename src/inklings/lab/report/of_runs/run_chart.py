"""Curves of runs over training: one colour for each series of a run, or for each of several runs.

Rows have `arm` (the run), `series`, `step`, `tokens`, `seconds` and `value`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from inklings.events import EvaluationEvent, StepEvent
from inklings.lab.report.chart import (
    AXES,
    NEAREST,
    Axis,
    Control,
    Figure,
    Rows,
    arm_color,
    cost_axis,
    focus_opacity,
    told_all,
    told_number,
    told_text,
)
from inklings.lab.report.learning_curve import RAW_POINTS, smooth, window_ends, window_size
from inklings.lab.report.of_runs.run_section import RunsShown
from inklings.lab.report.of_runs.run_view import RunView

RUN_AXES = (Axis("steps", "step", "training steps"), *(a for a in AXES if a.name != "FLOPs"))
"""What curves are drawn against."""
DASHES = ([1, 0], [5, 3], [2, 2], [8, 3, 2, 3])
"""Dashes that tell the series of several runs apart."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """A figure of curves, before it is drawn."""

    name: str
    title: str
    unit: str
    caption: str
    series: Sequence[str]
    lines: Rows = field(default_factory=list)
    raw: Rows = field(default_factory=list)
    """Single steps behind the lines, which may be none."""
    format: str = ".3~f"
    exact: str = ".4f"
    domain: tuple[float, float] | None = None
    log: bool = False
    wide: bool = False


def draw_curves(curves: Curves, shown: RunsShown) -> Figure:
    """Draw curves, with their values at the pointer.

    The layers are written as they are in Vega-Lite: as objects that are checked they would take
    longer than all the rest of a page that stands at the end of every run.
    """
    smoothing = Control("curve", "Curve", ("smoothed", "raw")) if curves.raw else None
    against = Control("against", "Against", tuple(axis.name for axis in RUN_AXES))
    kinds = smoothing.options if smoothing else ("smoothed",)
    return Figure(
        curves.name,
        curves.title,
        curves.unit,
        curves.caption,
        {
            axis.name + (f" {kind}" if smoothing else ""): _chart(
                curves, shown, axis, single=kind == "raw"
            )
            for axis in RUN_AXES
            for kind in kinds
        },
        (against, *([smoothing] if smoothing else [])),
        wide=curves.wide,
        legend=len(shown.runs) > 1,
        data={
            f"{curves.name}_lines": curves.lines,
            **({f"{curves.name}_raw": curves.raw} if curves.raw else {}),
        },
    )


def draw_steps(
    curves: Curves, figures: Sequence[str], shown: RunsShown, runs: Sequence[RunView]
) -> Figure | None:
    """Draw figures of the steps, as means over windows and step by step; None where there are none.

    Args:
        curves: the figure, without its rows.
        figures: names in the events of steps, one for each series.
        shown: all runs of the page.
        runs: those that are drawn.
    """
    lines: Rows = []
    raw: Rows = []
    for run in runs:
        for series, name in zip(curves.series, figures, strict=True):
            smoothed, single, _ = step_rows(run, name, series, shown.window)
            lines += smoothed
            raw += single
    return draw_curves(replace(curves, lines=lines, raw=raw), shown) if lines else None


def _chart(curves: Curves, shown: RunsShown, axis: Axis, *, single: bool) -> dict[str, Any]:
    """Write the chart of curves against an axis.

    Args:
        curves: the figure.
        shown: the runs.
        axis: what it is drawn against.
        single: whether the single steps are what is looked at, or the means.
    """
    several = len(shown.runs) > 1
    names = [series for series in curves.series if _has(curves.lines, series)]
    low, high = curves.domain or (None, None)
    inside = "true" if low is None else f"datum.value >= {low} && datum.value <= {high}"
    at = {
        "x": cost_axis(axis).to_dict(validate=False),
        "y": _y(curves),
        "color": arm_color(shown.labels).to_dict(validate=False)
        if several
        else _series_color(curves.series, names),
        "detail": [{"field": "arm", "type": "nominal"}, {"field": "series", "type": "nominal"}],
    }
    dash = {"strokeDash": _series_dash(curves.series, names)} if several and len(names) > 1 else {}

    def layer(data: str, mark: dict[str, Any], opacity: float, **more: Any) -> dict[str, Any]:
        return {
            "data": {"name": f"{curves.name}_{data}"},
            "mark": mark,
            "encoding": {**at, **more, "opacity": focus_opacity(opacity)},
        }

    line = {"type": "line", "clip": True}
    layers = [
        layer("lines", {**line, "strokeWidth": 1.9}, 0.35 if single else 0.95, **dash),
    ]
    if curves.raw and (single or not several):
        width = 1.0 if single else 0.8
        behind = layer("raw", {**line, "strokeWidth": width}, 0.8 if single else 0.35)
        layers.insert(0, behind)
    if any(row.get("scored") for row in curves.lines):
        dots = layer("lines", {"type": "circle", "size": 26}, 0.95)
        layers.append({**dots, "transform": [{"filter": f"datum.scored && {inside}"}]})
    told = {
        **({"run": told_text("arm")} if several else {}),
        **({"curve": told_text("series")} if len(names) > 1 else {}),
        axis.title: told_number(axis.column, ",.4~f"),
        curves.title.lower(): told_number("value", curves.exact),
    }
    layers.append(_hovered(f"{curves.name}_lines", at, told, inside))
    return {
        "layer": layers,
        "params": [{"name": "focus", "value": None}],
        "width": "container",
        "height": 320 if curves.wide else 260,
        "autosize": {"type": "fit-x", "contains": "padding"},
    }


def _y(curves: Curves) -> dict[str, Any]:
    bounds = {"domain": list(curves.domain)} if curves.domain else {"zero": False, "padding": 8}
    return {
        "field": "value",
        "type": "quantitative",
        "title": curves.unit,
        "axis": {"tickCount": 6, "format": curves.format},
        "scale": {**({"type": "log"} if curves.log else bounds), "nice": False},
    }


def _hovered(data: str, at: dict[str, Any], told: dict[str, str], inside: str) -> dict[str, Any]:
    """Write the marks that show values: those of the point that is nearest to the pointer.

    Args:
        data: the rows.
        at: axes and colours.
        told: what is told of a point.
        inside: which points can be hovered over.
    """
    there = {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0}
    return {
        "data": {"name": data},
        "transform": [{"filter": inside}],
        "params": [{"name": "near", "select": NEAREST}],
        "mark": {"type": "point", "filled": True, "size": 70, "tooltip": {"expr": told_all(told)}},
        "encoding": {**at, "opacity": there},
    }


def _has(rows: Rows, series: str) -> bool:
    return any(row["series"] == series for row in rows)


def _series_color(series: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Encode a colour for each series of a single run, whose legend stands in the chart.

    Args:
        series: all there may be, so that one has the same colour in all figures.
        names: those that there are.
    """
    return {
        "field": "series",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(series)},
        "legend": {"values": list(names)} if len(names) > 1 else None,
    }


def _series_dash(series: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    dashes = [DASHES[place % len(DASHES)] for place in range(len(series))]
    scale = {"domain": list(series), "range": dashes}
    legend = {"values": list(names)}
    return {"field": "series", "type": "nominal", "title": None, "scale": scale, "legend": legend}


def step_rows(run: RunView, name: str, series: str, window: int | None) -> tuple[Rows, Rows, int]:
    """Return a figure of the steps as rows: means over windows, and the lines themselves.

    Also how many steps a window has.

    Args:
        run: the run.
        name: of the figure in its events; steps without it are left out.
        series: what the rows are called.
        window: steps of a window; None chooses.
    """
    steps: list[StepEvent] = [step for step in run.steps if step.get(name) is not None]
    if not steps:
        return [], [], 0
    every = steps[0]["step"]
    size = window_size(len(steps)) if window is None else max(1, round(window / every))
    columns = {
        key: np.array([step.get(key) for step in steps], dtype=np.float64)
        for key in ("step", "tokens", "seconds", name)
    }
    rest = len(steps) % size
    # a last window of a few steps would jump about
    whole = len(steps) - (rest if len(steps) > size and 2 * rest < size else 0)
    ends = {key: window_ends(columns[key][:whole], size) for key in ("step", "tokens", "seconds")}
    means = smooth(columns[name][:whole], size)
    thin = np.unique(
        np.linspace(0, len(steps) - 1, min(RAW_POINTS, len(steps))).round().astype(int)
    )
    return (
        _rows(run.label, series, ends, means),
        _rows(run.label, series, {key: columns[key][thin] for key in ends}, columns[name][thin]),
        size * every,
    )


def evaluation_rows(run: RunView, name: str, series: str) -> Rows:
    """Return a figure of the evaluations as rows; evaluations without it are left out.

    Args:
        run: the run.
        name: of the figure in its events.
        series: what the rows are called.
    """
    found: list[EvaluationEvent] = [e for e in run.evaluations if e.get(name) is not None]
    columns = {
        key: np.array([event.get(key) for event in found], dtype=np.float64)
        for key in ("step", "tokens", "seconds", name)
    }
    rows = _rows(run.label, series, columns, columns[name])
    return [{**row, "scored": True} for row in rows]


def _rows(label: str, series: str, columns: dict[str, np.ndarray], values: np.ndarray) -> Rows:
    return [
        {
            "arm": label,
            "series": series,
            "step": int(step),
            "tokens": int(tokens),
            "seconds": float(f"{seconds:.6g}"),
            "value": float(f"{value:.6g}"),
        }
        for step, tokens, seconds, value in zip(
            columns["step"], columns["tokens"], columns["seconds"], values, strict=True
        )
    ]
