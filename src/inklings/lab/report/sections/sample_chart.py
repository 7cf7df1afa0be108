"""The chart of quality against diversity.

What samples cost a judge of real text, and how much they repeat each other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import altair as alt

from inklings.lab.report.chart import Figure, Rows, arm_color, focus_opacity, layered

PAD = 0.12
"""Of the range that is drawn, on each side."""
REACH = 0.75
"""A rung is drawn if it lies no further from the arms and real text than this part of their range.
"""


def sample_figure(
    arms: Sequence[str], seeds: Rows, sweep: Rows, rungs: Rows, real: dict[str, Any]
) -> Figure:
    """Every run as a dot, each arm's temperatures as a line, the ladder in grey.

    And real text as the target.

    Rows: `arm, seed, judge, self_bleu`; `arm, temperature, judge, self_bleu`; `name, judge,
    self_bleu`; the last for real text too.
    """
    inner = [*seeds, *sweep, real]
    domains = {
        axis: _domain([row[axis] for row in inner], [row[axis] for row in rungs])
        for axis in ("judge", "self_bleu")
    }
    shown = [
        row
        for row in rungs
        if all(low <= row[axis] <= high for axis, (low, high) in domains.items())
    ]
    outside = [row["name"] for row in rungs if row not in shown]
    x = alt.X(
        "judge:Q",
        title="judge, nats per token (left: more plausible)",
        scale=alt.Scale(domain=list(domains["judge"]), nice=False),
        axis=alt.Axis(tickCount=6, grid=True),
    )
    y = alt.Y(
        "self_bleu:Q",
        title="self-BLEU (down: more varied)",
        scale=alt.Scale(domain=list(domains["self_bleu"]), nice=False),
        axis=alt.Axis(tickCount=6),
    )
    names = {"judge": "judge, nats per token", "self_bleu": "self-BLEU"}
    figures = [alt.Tooltip(f"{name}:Q", format=".3f", title=title) for name, title in names.items()]
    base = alt.Chart(alt.NamedData(name="sample_rungs")).encode(x=x, y=y)
    rung = base.mark_point(style="rung", shape="diamond", filled=True, size=38).encode(
        tooltip=["name:N", *figures]
    )
    target = alt.Chart(alt.NamedData(name="sample_real")).encode(x=x, y=y)
    ring = target.mark_point(
        style="target", shape="circle", filled=False, size=340, strokeWidth=2, opacity=1
    )
    center = target.mark_point(
        style="target", shape="circle", filled=True, size=36, opacity=1
    ).encode(tooltip=["name:N", *figures])
    target_name = target.mark_text(
        style="target", align="center", dy=23, fontSize=13, fontWeight=600
    ).encode(text="name:N")
    of_sweep = alt.Chart(alt.NamedData(name="sample_sweep")).encode(
        x=x, y=y, color=arm_color(arms), opacity=focus_opacity(0.85)
    )
    line = of_sweep.mark_line(strokeWidth=1.6).encode(order="temperature:Q", detail="arm:N")
    stop = of_sweep.mark_point(filled=False, size=30, strokeWidth=1.4).encode(
        tooltip=["arm:N", alt.Tooltip("temperature:Q", format=".2~f"), *figures]
    )
    stop_name = of_sweep.transform_filter("datum.temperature !== 1").mark_text(
        align="left", dx=6, dy=-6, fontSize=11
    )
    stop_name = stop_name.encode(text=alt.Text("temperature:Q", format=".2~f"))
    dot = (
        alt.Chart(alt.NamedData(name="sample_seeds"))
        .mark_circle(size=80)
        .encode(
            x=x,
            y=y,
            color=arm_color(arms),
            opacity=focus_opacity(0.9),
            tooltip=["arm:N", "seed:N", *figures],
        )
    )
    drawn = [
        *([rung, *_names(base, shown, domains["judge"])] if shown else []),
        *([line, stop, stop_name] if sweep else []),
        ring,
        center,
        target_name,
        dot,
    ]
    caption = (
        "The ring is real text, the target: left of it text is too predictable, above it too much"
        " of the same. Dots are runs"
    )
    caption += (
        " at temperature 1; a line is an arm's first run at other temperatures, which stand"
        " beside it."
        if sweep
        else "."
    )
    caption += " Diamonds are samplers of known worth" + (
        f"; out of view: {', '.join(outside)}." if outside else "."
    )
    data: dict[str, Rows] = {
        "sample_seeds": seeds,
        "sample_sweep": sweep,
        "sample_rungs": shown,
        "sample_real": [real],
    }
    return Figure(
        "samples",
        "Quality against diversity",
        "nearer to real text is better",
        caption,
        {"": layered(*drawn, height=380)},
        wide=True,
        data=data,
    )


def _names(base: Any, rungs: Rows, domain: tuple[float, float]) -> list[Any]:
    """The rungs' names.

    Right of them, but left near the right edge, and above for the highest, which stands next to
    real text.
    """
    highest = f"datum.name === {json.dumps(rungs[-1]['name'])}"
    edge = f"datum.judge > {domain[0] + 0.8 * (domain[1] - domain[0])}"
    places = (
        (f"!({highest}) && !({edge})", "left", 8, 0),
        (f"!({highest}) && {edge}", "right", -8, 0),
        (highest, "center", 0, -11),
    )
    return [
        base.transform_filter(which)
        .mark_text(style="rung", align=align, dx=dx, dy=dy, fontSize=11)
        .encode(text="name:N")
        for which, align, dx, dy in places
    ]


def _domain(values: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """A range that holds all values, and of the others those that are not far off."""
    low, high = min(values), max(values)
    reach = REACH * (high - low) or 0.5
    near = [value for value in others if low - reach <= value <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    pad = PAD * (high - low) or 0.1
    return (round(low - pad, 4), round(high + pad, 4))
