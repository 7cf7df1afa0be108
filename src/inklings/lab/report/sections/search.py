"""The chart of the search for a learning rate.

Validation loss against the factor that was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from inklings.lab.report.chart import Figure, Rows, arm_color, arm_dash, focus_opacity, layered


def search_figure(arms: Sequence[str], trials: Rows, domain: tuple[float, float]) -> Figure:
    """Every trial of every arm. Rows: `arm, factor, status, loss, drawn, chosen, why`.

    `drawn` is where a trial stands: at its loss, or near the upper edge of `domain` where that is
    beyond it or the trial failed.
    """
    y = alt.Y(
        "drawn:Q",
        title=None,
        scale=alt.Scale(domain=list(domain), nice=False),
        axis=alt.Axis(tickCount=6, format=".2~f"),
    )
    ticks = "datum.value < 1 ? '1/' + format(1 / datum.value, '.3~g') : format(datum.value, '.3~g')"
    x = alt.X(
        "factor:Q",
        title="factor on the arm's learning rates",
        scale=alt.Scale(type="log", base=2, nice=False, padding=24),
        axis=alt.Axis(
            labelExpr=ticks,
            grid=True,
            domain=False,
            values=sorted({row["factor"] for row in trials}),
            labelOverlap="greedy",
        ),
    )
    tooltip: list[Any] = [
        "arm:N",
        alt.Tooltip("factor:Q", format=".3~g"),
        "status:N",
        alt.Tooltip("loss:Q", format=".4f"),
        "why:N",
    ]
    base = alt.Chart(alt.NamedData(name="trials")).encode(
        x=x, y=y, color=arm_color(arms), opacity=focus_opacity(0.95), tooltip=tooltip
    )
    done = base.transform_filter("datum.status === 'done'")
    marks = [
        done.mark_line(strokeWidth=1.6).encode(strokeDash=arm_dash(arms)),
        done.mark_point(filled=True, size=52, shape="circle"),
        base.transform_filter("datum.status === 'pruned'").mark_point(
            filled=False, size=52, strokeWidth=1.6
        ),
        base.transform_filter("datum.status === 'failed'").mark_point(
            filled=False, shape="cross", size=70, strokeWidth=1.6, angle=45
        ),
        base.transform_filter("datum.chosen").mark_point(filled=False, size=230, strokeWidth=2),
    ]
    needed = (
        True,
        True,
        *(any(row["status"] == status for row in trials) for status in ("pruned", "failed")),
        True,
    )
    caption = "Filled: trained to the end. "
    caption += "Hollow: given up early, at the loss that it had by then. " if needed[2] else ""
    caption += "Cross: failed. " if needed[3] else ""
    caption += (
        "What costs more than is drawn stands at the upper edge. "
        if any(row["loss"] and row["loss"] > domain[1] for row in trials)
        else ""
    )
    caption += "Ringed: the factor that the arm is trained with."
    drawn = [mark for mark, wanted in zip(marks, needed, strict=True) if wanted]
    return Figure(
        "search",
        "Search for a learning rate",
        "validation loss, nats per token",
        caption,
        {"": layered(*drawn, height=320)},
        wide=True,
        data={"trials": trials},
    )
