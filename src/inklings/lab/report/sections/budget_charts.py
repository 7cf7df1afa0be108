"""Charts of decayed points.

Loss against what it cost, on every axis, and which arm is worth its price.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from inklings.lab.report.chart import (
    Axis,
    Control,
    Figure,
    Rows,
    arm_color,
    arm_dash,
    cost_axis,
    focus_opacity,
    layered,
    shared_axes,
)

COSTS = ("FLOPs", "time", "parameters")
COST_TITLES = {
    "FLOPs": "training FLOPs",
    "time": "training time, s",
    "parameters": "parameters without embedding and head",
}


def points_figure(
    arms: Sequence[str],
    points: Rows,
    means: Rows,
    floors: Rows,
    amounts: Rows,
    *,
    unit: str,
    split: str,
) -> Figure:
    """Loss of decayed weights against their budget.

    A dot for each seed, a line through the means, the equal amount marked.

    Rows: `arm, seed, share, tokens, flops, seconds, value`; `arm, share, tokens, flops, seconds,
    value`; `arm, value`; `axis, label` and the axis' own column.
    """
    y = alt.Y(
        "value:Q",
        title=None,
        scale=alt.Scale(zero=False, nice=False, padding=12),
        axis=alt.Axis(tickCount=6, format=".2~f"),
    )
    axes = shared_axes(points, means)
    floor = _floor("point_floors", arms, y)

    def chart(axis: Axis) -> Any:
        x = cost_axis(axis, log=True)
        level = (
            alt.Chart(alt.NamedData(name="amounts"))
            .transform_filter(f"datum.axis === '{axis.name}'")
            .encode(x=x)
        )
        rule = level.mark_rule(style="level", strokeWidth=1.2, strokeDash=[5, 4])
        name = level.mark_text(
            style="level", align="right", baseline="top", dx=-6, fontSize=11.5
        ).encode(y=alt.value(2), text="label:N")
        tooltip = [
            "arm:N",
            alt.Tooltip(f"{axis.column}:Q", format=".3~s"),
            alt.Tooltip("value:Q", format=".4f", title=unit),
        ]
        dots = (
            alt.Chart(alt.NamedData(name="points"))
            .mark_circle(size=34)
            .encode(
                x=x,
                y=y,
                color=arm_color(arms),
                opacity=focus_opacity(0.6),
                tooltip=["seed:N", *tooltip],
            )
        )
        lines = (
            alt.Chart(alt.NamedData(name="point_means"))
            .mark_line(strokeWidth=1.8)
            .encode(
                x=x,
                y=y,
                color=arm_color(arms),
                opacity=focus_opacity(0.9),
                strokeDash=arm_dash(arms),
                tooltip=tooltip,
            )
        )
        marked = [rule, name] if any(row["axis"] == axis.name for row in amounts) else []
        return layered(*([floor] if floors else []), *marked, lines, dots, height=340)

    caption = (
        f"Each dot is a run whose learning rate has decayed, scored on the {split} split; lines go"
        " through the means over seeds."
    )
    caption += " Dashed: the equal amount at which the arms are ranked below." if amounts else ""
    caption += " Dotted: counted in one pass." if floors else ""
    data = {"points": points, "point_means": means, "point_floors": floors, "amounts": amounts}
    return Figure(
        "points",
        "Loss at every budget",
        f"{unit}, lower is better",
        caption,
        {axis.name: chart(axis) for axis in axes},
        (Control("budget", "Budget", tuple(axis.name for axis in axes)),),
        wide=True,
        data={name: rows for name, rows in data.items() if rows},
    )


def pareto_figure(
    arms: Sequence[str],
    dots: Rows,
    means: Rows,
    floors: Rows,
    *,
    unit: str,
    split: str,
    several: bool,
) -> Figure:
    """Loss against one cost.

    A dot for each run, the front of what nothing else beats for less, the dominated quiet.

    Rows: `axis, arm, seed, share, cost, value, front`; `axis, arm, share, cost, value, front`;
    `arm, value`. `several`: runs have points.
    """
    costs = tuple(cost for cost in COSTS if any(row["axis"] == cost for row in means))
    y = alt.Y(
        "value:Q",
        title=None,
        scale=alt.Scale(zero=False, nice=False, padding=14),
        axis=alt.Axis(tickCount=6, format=".2~f"),
    )
    floor = _floor("pareto_floors", arms, y)
    strong = "focus === datum.arm || (focus === null && datum.front)"

    def chart(cost: str) -> Any:
        x = cost_axis(Axis(cost, "cost", COST_TITLES[cost]), log=True)

        def of(name: str, which: str = "true") -> Any:
            return (
                alt.Chart(alt.NamedData(name=name))
                .transform_filter(f"datum.axis === '{cost}' && {which}")
                .encode(x=x, y=y)
            )

        tooltip = [
            "arm:N",
            alt.Tooltip("cost:Q", format=".3~s", title=cost),
            alt.Tooltip("value:Q", format=".4f", title=unit),
        ]
        runs = (
            of("pareto_runs")
            .mark_circle(size=26)
            .encode(
                color=arm_color(arms),
                opacity=alt.when(strong).then(alt.value(0.55)).otherwise(alt.value(0.18)),
                tooltip=["seed:N", *tooltip],
            )
        )
        middle = (
            of("pareto")
            .mark_point(filled=False, size=210, strokeWidth=1.8)
            .encode(
                color=arm_color(arms),
                opacity=alt.when(strong).then(alt.value(1)).otherwise(alt.value(0.3)),
                tooltip=tooltip,
            )
        )
        front = of("pareto", "datum.front").mark_line(
            style="level", interpolate="step-after", strokeWidth=1.2, strokeDash=[5, 4]
        )
        return layered(*([floor] if floors else []), front, runs, middle, height=320)

    what = "the mean over seeds at a decayed point" if several else "an arm's mean over seeds"
    caption = f"Dots are runs, scored on the {split} split; a ring is {what}."
    caption += " The dashed front joins what no other beats for less; the rest is quiet."
    caption += " Dotted: counted in one pass." if floors else ""
    data = {"pareto_runs": dots, "pareto": means, "pareto_floors": floors}
    return Figure(
        "pareto",
        "Loss against cost",
        f"{unit}, lower is better",
        caption,
        {cost: chart(cost) for cost in costs},
        (Control("cost", "Cost", costs),),
        wide=True,
        data={name: rows for name, rows in data.items() if rows},
    )


def _floor(name: str, arms: Sequence[str], y: Any) -> Any:
    """What is counted, as a level."""
    return (
        alt.Chart(alt.NamedData(name=name))
        .mark_rule(strokeDash=[2, 3], strokeWidth=1.5)
        .encode(
            y=y,
            color=arm_color(arms),
            opacity=focus_opacity(),
            tooltip=["arm:N", alt.Tooltip("value:Q", format=".4f")],
        )
    )
