"""The chart of what a memory is worth."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from inklings.lab.report.chart import Figure, Rows, arm_color, focus_opacity, layered


def memory_figure(name: str, arms: Sequence[str], rows: Rows, caption: str) -> Figure:
    """What each way of reading the text costs against no memory.

    Rows: `arm, way, value, low, high`, per cent of perplexity.
    """
    y = alt.Y(
        "way:N",
        sort=[row["way"] for row in rows],
        title=None,
        axis=alt.Axis(labelFontSize=13, labelPadding=10, labelLimit=150),
    )
    grid = alt.Axis(
        grid=True,
        domain=False,
        tickCount=6,
        labelExpr="(datum.value > 0 ? '+' : '') + datum.label + '%'",
    )
    x = alt.X(
        "low:Q",
        scale=alt.Scale(zero=True, nice=True, padding=12),
        title="change of perplexity",
        axis=grid,
    )
    base = alt.Chart(alt.NamedData(name=name)).encode(
        y=y, color=arm_color(arms), opacity=focus_opacity()
    )
    zero = (
        alt.Chart(alt.NamedData(name=name))
        .mark_rule(strokeDash=[2, 3], strokeWidth=1.2)
        .encode(x=alt.datum(0), color=arm_color(arms))
    )
    rule = base.mark_rule(strokeWidth=2, strokeCap="round").encode(x=x, x2="high:Q")
    dot = base.mark_circle(size=80, opacity=1).encode(
        x="value:Q",
        tooltip=[
            alt.Tooltip("way:N", title="with"),
            alt.Tooltip("value:Q", format="+.1f", title="per cent"),
            alt.Tooltip("low:Q", format="+.1f", title="from"),
            alt.Tooltip("high:Q", format="+.1f", title="to"),
        ],
    )
    return Figure(
        name,
        "What the memory is worth, and what else would do",
        "per cent of perplexity, lower is better",
        caption,
        {"": layered(zero, rule, dot, height=30 * len(rows))},
        wide=True,
        legend=False,
        data={name: rows},
    )
