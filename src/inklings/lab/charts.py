"""The figures of a report, as Vega-Lite charts: named data, one colour per arm everywhere, readable by colour-blind eyes.

A chart refers to its data by name, so that the page and every variant of a figure share one copy. Colours are not in
the charts but in the theme (`theme("light")`, `theme("dark")`): the page can change scheme without new charts.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import altair as alt
import vl_convert

# Okabe and Ito's palette (jfly.uni-koeln.de/color), its yellow and black replaced by tones that hold on white and
# on near-black; the dark scheme has the same hues, lighter.
COLORS = {
    "light": ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#dba000", "#56b4e9", "#5d5d5d", "#8d8300"),
    "dark": ("#4f9fe6", "#ff8648", "#2cc799", "#e79ac6", "#f4b740", "#9ad6fb", "#c4c4c4", "#d3c84c"),
}
DASHES = ([1, 0], [6, 3], [2, 2])
"""Beyond eight arms the colours come again, with another dash."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', sans-serif"

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
    """A figure of the report: one chart for each choice of its controls, keyed by the chosen options."""

    name: str
    title: str
    unit: str
    caption: str
    charts: Mapping[str, Any]
    controls: tuple[Control, ...] = ()
    wide: bool = False
    legend: bool = True
    """Whether its files need a legend: not where an axis names what the colours mean, or there is one arm."""
    data: Mapping[str, Rows] = field(default_factory=dict)

    @property
    def first(self) -> Any:
        """The chart shown first."""
        return self.charts[" ".join(control.options[0] for control in self.controls)]


AGAINST = Control("against", "Against", ("tokens", "seconds"))
CURVE = Control("curve", "Curve", ("smoothed", "raw"))
AXIS_TITLES = {"tokens": "training tokens", "seconds": "training time, s"}


def theme(scheme: Scheme) -> dict[str, Any]:
    """Vega-Lite configuration: colours, type and lines of one scheme, on a transparent ground."""
    ink, faint, grid = ("#3c3a36", "#77736b", "#e8e4db") if scheme == "light" else ("#d8d5cd", "#96928a", "#33363c")
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "range": {"category": list(COLORS[scheme])},
        "axis": {
            "labelColor": faint, "titleColor": faint, "labelFontSize": 11.5, "titleFontSize": 12, "titleFontWeight": 400,
            "titlePadding": 8, "labelPadding": 6, "gridColor": grid, "domain": False, "ticks": False,
        },
        "axisX": {"grid": False, "domain": True, "domainColor": grid, "labelFlush": True},
        "legend": {"labelColor": ink, "titleColor": faint, "labelFontSize": 12, "symbolStrokeWidth": 2.5, "orient": "top", "title": None},
        "title": {
            "color": ink, "fontSize": 15, "fontWeight": 600, "anchor": "start", "offset": 14,
            "subtitleColor": faint, "subtitleFontSize": 12.5,
        },
        "text": {"color": faint, "font": FONT},
        "style": {"rung": {"color": faint}, "target": {"color": ink}},
    }  # fmt: skip


def arm_color(arms: Sequence[str]) -> Any:
    """One colour for each arm; the page has the legend."""
    return alt.Color("arm:N", scale=alt.Scale(domain=list(arms)), legend=None)


def _dash(arms: Sequence[str]) -> Any:
    dashes = [DASHES[(i // len(COLORS["light"])) % len(DASHES)] for i in range(len(arms))]
    return alt.StrokeDash("arm:N", scale=alt.Scale(domain=list(arms), range=dashes), legend=None)


def focus_opacity(full: float = 1.0) -> Any:
    """Full, unless another arm is in focus (a signal that the page's legend sets)."""
    return alt.when("focus === null || focus === datum.arm").then(alt.value(full)).otherwise(alt.value(full * 0.12))


def layered(*layers: Any, height: int | Any) -> Any:
    """A chart of layers as wide as its place."""
    focus = alt.param(name="focus", value=None)
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    return alt.layer(*layers).add_params(focus).properties(width="container", height=height, autosize=fit)


def loss_figure(arms: Sequence[str], means: Rows, seeds: Rows, *, unit: str, split: str, interval: str) -> Figure:
    """Mean and interval of every arm, and each seed as a dot. Rows: `arm, value, low, high`; `arm, seed, value`."""
    order = [row["arm"] for row in means]
    y = alt.Y("arm:N", sort=order, title=None, axis=alt.Axis(labelFontSize=13, labelPadding=10, labelLimit=150))
    scale = alt.Scale(zero=False, nice=True, padding=12)
    grid = alt.Axis(grid=True, domain=False, tickCount=6)
    rule = alt.Chart(alt.NamedData(name="means")).mark_rule(strokeWidth=2, strokeCap="round").encode(
        y=y, x=alt.X("low:Q", scale=scale, title=f"{unit}, {split} split", axis=grid), x2="high:Q",
        color=arm_color(arms), opacity=focus_opacity(),
    )  # fmt: skip
    mean = alt.Chart(alt.NamedData(name="means")).mark_tick(thickness=3, height=18).encode(
        y=y, x="value:Q", color=arm_color(arms), opacity=focus_opacity(),
        tooltip=[alt.Tooltip("arm:N"), alt.Tooltip("value:Q", format=".4f", title=unit),
                 alt.Tooltip("low:Q", format=".4f", title="from"), alt.Tooltip("high:Q", format=".4f", title="to")],
    )  # fmt: skip
    dots = alt.Chart(alt.NamedData(name="seeds")).mark_circle(size=44).encode(
        y=y, x="value:Q", color=arm_color(arms), opacity=focus_opacity(0.75),
        tooltip=["arm:N", "seed:N", alt.Tooltip("value:Q", format=".4f", title=unit)],
    )  # fmt: skip
    layers = (rule, dots, mean) if seeds else (rule, mean)
    return Figure(
        "loss", "How well each arm predicts unseen text", f"{unit}, lower is better",
        f"{'Dots are seeds, the bar is their mean' if seeds else 'The bar is the loss'}; the line is {interval}.",
        {"": layered(*layers, height=36 * len(means))}, wide=True, legend=False, data={"means": means, "seeds": seeds},
    )  # fmt: skip


def validation_figure(arms: Sequence[str], rows: Rows, floors: Rows, domain: tuple[float, float]) -> Figure:
    """Validation loss as training goes on; an arm that is counted at once is a level. Rows: `arm, seed, tokens, seconds, loss`."""
    floor = alt.Chart(alt.NamedData(name="floors")).mark_rule(strokeDash=[2, 3], strokeWidth=1.5, clip=True).encode(
        y=_y(domain), color=arm_color(arms), opacity=focus_opacity(), tooltip=["arm:N", alt.Tooltip("loss:Q", format=".4f")]
    )  # fmt: skip

    def chart(x: str) -> Any:
        base = alt.Chart(alt.NamedData(name="validation")).encode(
            x=_x(x), y=_y(domain), color=arm_color(arms), detail="seed:N", opacity=focus_opacity(0.9),
            tooltip=["arm:N", "seed:N", alt.Tooltip(f"{x}:Q", format=",.0f"), alt.Tooltip("loss:Q", format=".4f"),
                     alt.Tooltip("accuracy:Q", format=".1%")],
        )  # fmt: skip
        lines = base.mark_line(strokeWidth=1.8, clip=True).encode(strokeDash=_dash(arms))
        points = base.mark_circle(size=26).transform_filter(f"datum.loss <= {domain[1]}")
        return layered(*([floor] if floors else []), lines, points, height=300)

    caption = "The whole validation split, scored as training goes on." + (" Dotted: counted in one pass." if floors else "")
    return Figure(
        "validation", "Validation loss", "nats per token", caption, {x: chart(x) for x in AGAINST.options}, (AGAINST,),
        data={"validation": rows, "floors": floors},
    )  # fmt: skip


def training_figure(arms: Sequence[str], smoothed: Rows, raw: Rows, domain: tuple[float, float], *, window: str, every: str) -> Figure:
    """Training loss: means over windows of steps, or these over the single steps. Rows as for `validation_figure`."""

    def chart(x: str, curve: str) -> Any:
        def lines(name: str, width: float, opacity: float) -> Any:
            return alt.Chart(alt.NamedData(name=name)).mark_line(strokeWidth=width, clip=True).encode(
                x=_x(x), y=_y(domain), color=arm_color(arms), detail="seed:N", opacity=focus_opacity(opacity), strokeDash=_dash(arms),
                tooltip=["arm:N", "seed:N", alt.Tooltip(f"{x}:Q", format=",.0f"), alt.Tooltip("loss:Q", format=".4f")],
            )  # fmt: skip

        if curve == "raw":
            return layered(lines("raw", 0.8, 0.55), height=300)
        return layered(lines("smoothed", 1.8, 0.9), height=300)

    each = "single steps" if every == "1" else f"the mean of every {every} steps"
    return Figure(
        "training", "Training loss", "nats per token", f"Smoothed: means over windows of {window} steps. Raw: {each}, of the first seed.",
        {f"{x} {curve}": chart(x, curve) for x in AGAINST.options for curve in CURVE.options}, (AGAINST, CURVE),
        data={"smoothed": smoothed, "raw": raw},
    )  # fmt: skip


def position_figure(arms: Sequence[str], rows: Rows, domain: tuple[float, float], split: str) -> Figure:
    """Loss against the place in the document. Rows: `arm, position, first, last, loss`, seeds averaged."""
    base = alt.Chart(alt.NamedData(name="positions")).encode(
        x=alt.X("position:Q", scale=alt.Scale(type="log", base=2, nice=False), title="position in the document, tokens",
                axis=alt.Axis(format=",.0f", tickCount=8)),
        y=_y(domain), color=arm_color(arms), opacity=focus_opacity(0.9),
        tooltip=["arm:N", alt.Tooltip("first:Q", title="from token"), alt.Tooltip("last:Q", title="to token"),
                 alt.Tooltip("loss:Q", format=".4f")],
    )  # fmt: skip
    lines = base.mark_line(strokeWidth=1.8, clip=True).encode(strokeDash=_dash(arms))
    return Figure(
        "positions", "Loss by position", "nats per token",
        f"Who uses a long context: the further into a document, the more there is to go by ({split} split).",
        {"": layered(lines, base.mark_circle(size=22), height=280)}, wide=True, data={"positions": rows},
    )  # fmt: skip


def memory_figure(name: str, arms: Sequence[str], rows: Rows, caption: str) -> Figure:
    """What each way of reading the text costs against no memory. Rows: `arm, way, value, low, high`, per cent of perplexity."""
    y = alt.Y("way:N", sort=[row["way"] for row in rows], title=None, axis=alt.Axis(labelFontSize=13, labelPadding=10, labelLimit=150))
    grid = alt.Axis(grid=True, domain=False, tickCount=6, labelExpr="(datum.value > 0 ? '+' : '') + datum.label + '%'")
    x = alt.X("low:Q", scale=alt.Scale(zero=True, nice=True, padding=12), title="change of perplexity against no memory", axis=grid)
    base = alt.Chart(alt.NamedData(name=name)).encode(y=y, color=arm_color(arms), opacity=focus_opacity())
    zero = alt.Chart(alt.NamedData(name=name)).mark_rule(strokeDash=[2, 3], strokeWidth=1.2).encode(x=alt.datum(0), color=arm_color(arms))
    rule = base.mark_rule(strokeWidth=2, strokeCap="round").encode(x=x, x2="high:Q")
    dot = base.mark_circle(size=80, opacity=1).encode(
        x="value:Q",
        tooltip=[alt.Tooltip("way:N", title="with"), alt.Tooltip("value:Q", format="+.1f", title="per cent"),
                 alt.Tooltip("low:Q", format="+.1f", title="from"), alt.Tooltip("high:Q", format="+.1f", title="to")],
    )  # fmt: skip
    return Figure(
        name, "What the memory is worth, and what else would do", "per cent of perplexity, lower is better", caption,
        {"": layered(zero, rule, dot, height=30 * len(rows))}, wide=True, legend=False, data={name: rows},
    )  # fmt: skip


def _x(name: str) -> Any:
    axis = alt.Axis(labelExpr="datum.value === 0 ? '0' : format(datum.value, '~s')", tickCount=5)
    return alt.X(f"{name}:Q", title=AXIS_TITLES[name], axis=axis, scale=alt.Scale(nice=False, domainMin=0))


def _y(domain: tuple[float, float]) -> Any:
    return alt.Y("loss:Q", title=None, scale=alt.Scale(domain=list(domain), nice=False), axis=alt.Axis(tickCount=6, format=".2~f"))


def focus_domain(rows: Rows, floors: Sequence[float] = ()) -> tuple[float, float]:
    """Where the curves differ: from the lowest loss up to where the worst arm stood a tenth of the way in.

    The first steps fall from ln V within moments; drawn whole they would press all that follows into a line.
    """
    if not rows:
        return (0.0, 1.0)
    length = max(row["tokens"] for row in rows)
    settled = [row["loss"] for row in rows if row["tokens"] >= 0.1 * length] or [row["loss"] for row in rows]
    low, high = min(settled), max(settled)
    high = max([high, *(floor for floor in floors if floor < high + 0.5 * (high - low))])
    low = min([low, *floors])
    pad = 0.04 * (high - low) or 0.1
    return (round(low - pad, 4), round(high + pad, 4))


def page_spec(chart: Any) -> dict[str, Any]:
    """The chart as the page draws it: without data and theme, which the page has once."""
    spec: dict[str, Any] = chart.to_dict(validate=True)
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}


def static_files(figure: Figure) -> dict[str, bytes]:
    """The figure's first chart as `NAME.svg` and `NAME.png`, on white, with title and legend; and its data as `NAME.csv`."""
    spec = page_spec(figure.first)
    spec["datasets"] = dict(figure.data)
    spec["width"] = 760 if figure.wide else 560
    spec["title"] = {"text": figure.title, "subtitle": figure.unit}
    spec["config"] = {**theme("light"), "background": "white", "padding": 16}
    if figure.legend:
        _give_legend(spec)
    text = json.dumps(spec)
    svg = vl_convert.vegalite_to_svg(text)
    return {
        f"{figure.name}.svg": svg.encode(),
        f"{figure.name}.png": vl_convert.svg_to_png(svg, scale=2),
        f"{figure.name}.csv": as_csv(figure.data).encode(),
    }


def as_csv(data: Mapping[str, Rows]) -> str:
    """All rows of a figure as one table, whose first column says of which part of the figure a row is."""
    columns = list(dict.fromkeys(name for rows in data.values() for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, ["part", *columns], lineterminator="\n")
    writer.writeheader()
    for part, rows in data.items():
        writer.writerows({"part": part, **row} for row in rows)
    return text.getvalue()


def _give_legend(spec: dict[str, Any]) -> None:
    """Let the colours have a legend: on the page, the legend is the page's own."""
    for layer in spec["layer"]:
        for channel in ("color", "strokeDash"):
            layer.get("encoding", {}).get(channel, {}).pop("legend", None)
