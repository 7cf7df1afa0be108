"""Export of a figure: SVG, PDF and PNG for a paper or a talk, CSV for other programs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from typing import Any

import vl_convert

from inklings.lab.report.chart import Figure, Rows, page_spec, theme

SUFFIXES = ("svg", "pdf", "png", "csv")
"""The files of a figure."""
_LETTER = 7.0
"""Pixels of a letter of a legend, generously."""


def static_files(figure: Figure) -> dict[str, bytes]:
    """Export the figure's first chart as `NAME.svg`, `.pdf` and `.png`, and its data as CSV.

    Pictures are on white, with title, a titled axis and a legend that ends where they do.
    """
    spec = page_spec(figure.first)
    spec["datasets"] = dict(figure.data)
    spec["width"] = 760 if figure.wide else 560
    spec["title"] = {"text": figure.title, "subtitle": figure.unit}
    spec["config"] = {**theme("light"), "background": "white", "padding": 16}
    _title_axes(spec, figure.unit.partition(",")[0])
    if figure.legend:
        _give_legend(spec)
    spec["config"]["legend"] |= _legend_room(spec)
    text = json.dumps(spec)
    svg = one_clip(vl_convert.vegalite_to_svg(text))
    return {
        f"{figure.name}.svg": svg.encode(),
        f"{figure.name}.pdf": vl_convert.svg_to_pdf(svg),
        f"{figure.name}.png": vl_convert.svg_to_png(svg, scale=2),
        f"{figure.name}.csv": as_csv(figure.data).encode(),
    }


def as_csv(data: Mapping[str, Rows]) -> str:
    """Return all rows of a figure as one table; its first column names the part of the figure."""
    columns = list(dict.fromkeys(name for rows in data.values() for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, ["part", *columns], lineterminator="\n")
    writer.writeheader()
    for part, rows in data.items():
        writer.writerows({"part": part, **row} for row in rows)
    return text.getvalue()


def _title_axes(value: Any, title: str) -> None:
    """Name the vertical axes of numbers that have no name: on the page, the heading has it."""
    if isinstance(value, dict):
        axis = (
            value.get("encoding", {}).get("y") if isinstance(value.get("encoding"), dict) else None
        )
        if axis and axis.get("type") == "quantitative" and axis.get("title") is None:
            axis["title"] = title
        for part in value.values():
            _title_axes(part, title)
    elif isinstance(value, list):
        for part in value:
            _title_axes(part, title)


def _legend_room(spec: dict[str, Any]) -> dict[str, Any]:
    """Return as many columns of the legend as fit beside one another, and room for each name."""
    names = [
        str(name)
        for layer in spec["layer"]
        for name in layer.get("encoding", {}).get("color", {}).get("scale", {}).get("domain", [])
    ]
    if not names:
        return {}
    widest = max(map(len, names)) * _LETTER + 40
    columns = max(1, int(spec["width"] // widest))
    return {"columns": columns, "labelLimit": spec["width"] - 40}


def _give_legend(spec: dict[str, Any]) -> None:
    """Let the colours have a legend: on the page, the legend is the page's own."""
    for layer in spec["layer"]:
        for channel in ("color", "strokeDash"):
            layer.get("encoding", {}).get(channel, {}).pop("legend", None)


def one_clip(svg: str) -> str:
    """Return the drawing with one clip path instead of one for each curve.

    Vega numbers its clip paths through a process, so that the same chart would differ from call to
    call; and each one costs a layer of the whole picture when it is turned into pixels, which for
    25 curves takes seconds.
    """
    paths = re.findall(r'<clipPath id="(clip\d+)">(.*?)</clipPath>', svg)
    rectangles = {rectangle for _, rectangle in paths}
    if not rectangles:
        return svg
    if len(rectangles) > 1:  # panels side by side: each keeps its own, by a number of this drawing
        for number, (name, _) in enumerate(paths):
            svg = re.sub(rf"\b{name}\b", f"panel{number}", svg)
        return svg
    svg = re.sub(r'<clipPath id="clip\d+">.*?</clipPath>', "", svg)
    svg = svg.replace("<defs>", f'<defs><clipPath id="clip">{rectangles.pop()}</clipPath>', 1)
    svg = re.sub(r"url\(#clip\d+\)", "url(#clip)", svg)
    clipped = ' clip-path="url(#clip)"'
    for layer in set(re.findall(r'role-scope (\w+)_pathgroup"', svg)):
        if f'{layer}_marks"{clipped}' in svg:
            svg = svg.replace(f'{layer}_marks"{clipped}', f'{layer}_marks"').replace(
                f'{layer}_pathgroup"', f'{layer}_pathgroup"{clipped}'
            )
    return svg
