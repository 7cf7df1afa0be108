"""The section of the search for learning rates: validation loss against the factor tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from inklings.lab.report.chart import (
    Figure,
    Rows,
    arm_color,
    arm_dash,
    around,
    focus_opacity,
    layered,
)
from inklings.lab.report.section import Results, Section


def make_section(results: Results) -> Section | None:
    """Return the searches for a learning rate of all arms.

    None where their rates were taken as they are.
    """
    comparison = results.comparison
    searches = [(arm.label, arm.search) for arm in comparison.arms if arm.search is not None]
    done = [
        trial.loss for _, search in searches for trial in search.trials if trial.loss is not None
    ]
    if not done:
        return None
    domain = around(done, 0.12)
    trials: Rows = []
    beyond: dict[float, int] = {}
    for label, search in searches:
        for trial in sorted(search.trials, key=lambda trial: trial.factor):
            last = trial.losses[-1] if trial.losses and trial.status != "failed" else None
            drawn = last
            if last is None or last > domain[1]:
                # one below the other, so that those of several arms do not hide each other
                drawn = domain[1] - 0.06 * (domain[1] - domain[0]) * (
                    0.5 + beyond.get(trial.factor, 0)
                )
                beyond[trial.factor] = beyond.get(trial.factor, 0) + 1
            trials.append(
                {
                    "arm": label,
                    "factor": trial.factor,
                    "status": trial.status,
                    "loss": last,
                    "drawn": drawn,
                    "chosen": trial.factor == search.factor,
                    "why": trial.message or "",
                }
            )
    figure: Figure = search_figure([arm.label for arm in comparison.arms], trials, domain)
    lead = (
        "The learning rate of each arm was searched for at the same budget, with a seed that no"
        " ranked run has."
    )
    return Section("search", "A fair chance", lead, (figure,))


def search_figure(arms: Sequence[str], trials: Rows, domain: tuple[float, float]) -> Figure:
    """Draw every trial of every arm.

    Args:
        arms: the arms, in the order of their colours.
        trials: rows of `arm, factor, status, loss, drawn, chosen, why`; `drawn` is the loss, or
            near the upper edge of `domain` where that is beyond it or the trial failed.
        domain: the range of the loss.
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
