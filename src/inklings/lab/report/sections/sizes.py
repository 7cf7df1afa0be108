"""The section of sizes: loss against compute, its scaling law, and how far that is a guess."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt

from inklings.lab.report.chart import (
    Figure,
    Rows,
    arm_color,
    focus_opacity,
    layered,
)
from inklings.lab.report.section import Results, Section
from inklings.lab.scaling.result import ArmScaling, Scaling

PAD = 0.04
"""Room above and below, as a share of the range of the logarithm."""


def make_section(results: Results) -> Section | None:
    """Return the section of sizes, or None where each arm has one."""
    comparison = results.comparison
    if comparison.scaling is None:
        return None
    said = [
        extrapolation.sentence for extrapolation in comparison.scaling.extrapolations
    ] + comparison.scaling.notes
    return Section(
        "scaling",
        "Size and compute",
        " ".join(said),
        (scaling_figure(comparison.scaling, unit=comparison.unit),),
    )


def scaling_figure(scaling: Scaling, *, unit: str) -> Figure:
    """Draw loss against FLOPs, both on a logarithmic scale: a dot for each run and point.

    A law is a line, solid up to the last point of its arm's frontier and dashed beyond; its band is
    the law's 95% interval.
    """
    arms = [arm.arm for arm in scaling.arms]
    points: Rows = [
        {"arm": run.arm, "size": run.size, "seed": run.seed, "flops": flops, "loss": loss}
        for arm in scaling.arms
        for run in arm.runs
        for flops, loss in run.points
    ]
    lines = [row for arm in scaling.arms for row in _line_rows(arm)]
    bands = [row for row in lines if row["low"] is not None]
    marks: Rows = [
        {"flops": each.flops, "name": f"{each.factor} times the compute"}
        for each in scaling.extrapolations
    ]
    drawn = [row["loss"] for row in points] + [
        row[name] for row in lines for name in ("loss", "low", "high") if row[name] is not None
    ]
    scale = alt.Scale(type="log", domain=_domain(drawn), nice=False)
    y = alt.Y("loss:Q", title=unit, scale=scale, axis=alt.Axis(tickCount=6, format=".2~f"))
    x = alt.X(
        "flops:Q",
        title="training compute, FLOPs",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(format=".0e", tickCount=8),
    )
    figures = [
        alt.Tooltip("flops:Q", format=".3g", title="FLOPs"),
        alt.Tooltip("loss:Q", format=".4f", title=unit),
    ]
    of_law = alt.Chart(alt.NamedData(name="scaling_lines")).encode(
        x=x, y=y, color=arm_color(arms), tooltip=["arm:N", *figures]
    )
    dashes = alt.StrokeDash(
        "part:N",
        scale=alt.Scale(domain=["measured", "extrapolated"], range=[[1, 0], [5, 4]]),
        legend=None,
    )
    line = of_law.mark_line(strokeWidth=1.8).encode(strokeDash=dashes, opacity=focus_opacity(0.9))
    band = (
        alt.Chart(alt.NamedData(name="scaling_bands"))
        .mark_area()
        .encode(
            x=x,
            y=alt.Y("low:Q", scale=scale),
            y2="high:Q",
            color=arm_color(arms),
            opacity=focus_opacity(0.14),
        )
    )
    dot = (
        alt.Chart(alt.NamedData(name="scaling_points"))
        .mark_circle(size=36)
        .encode(
            x=x,
            y=y,
            color=arm_color(arms),
            opacity=focus_opacity(0.6),
            tooltip=[
                "arm:N",
                alt.Tooltip("size:Q", format=",", title="parameters"),
                "seed:N",
                *figures,
            ],
        )
    )
    base = alt.Chart(alt.NamedData(name="scaling_marks")).encode(x=x)
    mark = base.mark_rule(strokeDash=[2, 3], strokeWidth=1, opacity=0.6, style="rung")
    name = base.mark_text(style="rung", align="right", dx=-5, y=8, fontSize=11).encode(
        text="name:N"
    )
    # the first layer gives the legend its symbols, for which a band would be too faint
    layers = [
        *([line] if lines else []),
        *([band] if bands else []),
        *([mark, name] if marks else []),
        dot,
    ]
    return Figure(
        "scaling",
        "What more compute is worth",
        f"{unit}, lower is better",
        _caption(bool(lines), bool(bands)),
        {"": layered(*layers, height=380)},
        wide=True,
        data={
            "scaling_points": points,
            "scaling_lines": lines,
            "scaling_bands": bands,
            "scaling_marks": marks,
        },
    )


def _caption(lines: bool, bands: bool) -> str:
    text = "Dots are runs at their decayed checkpoints, of all sizes and seeds."
    if lines:
        text += (
            " Lines are the laws of each arm's lower envelope, solid where it was measured, dashed"
            " where they are an extrapolation"
        )
        text += (
            "; bands are 95% over the seeds, and know nothing of whether a law holds so far out."
            if bands
            else "."
        )
    return text


def _line_rows(arm: ArmScaling) -> Rows:
    """Return the law's points, in a part that was measured and one that was not.

    The first of the second is the last of the first.
    """
    if not arm.line:
        return []
    end = arm.frontier[-1].flops
    measured = [point for point in arm.line if point.flops <= end]
    parts = {"measured": measured, "extrapolated": [*measured[-1:], *arm.line[len(measured) :]]}
    return [
        {
            "arm": arm.arm,
            "part": part,
            "flops": point.flops,
            "loss": point.loss,
            "low": point.low,
            "high": point.high,
        }
        for part, points in parts.items()
        for point in points
    ]


def _domain(values: Sequence[float]) -> list[float]:
    """Return a range of a logarithmic axis that holds all values."""
    low, high = math.log(min(values)), math.log(max(values))
    pad = PAD * (high - low) or 0.01
    return [round(math.exp(low - pad), 6), round(math.exp(high + pad), 6)]
