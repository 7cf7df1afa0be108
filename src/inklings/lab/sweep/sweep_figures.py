"""The figures of a sweep: its history, the importance of fields, all points, each field alone."""

from __future__ import annotations

import math
from typing import Any

import altair as alt

from inklings.lab.report.arm_settings import say_value
from inklings.lab.report.chart import Figure, Rows, layered
from inklings.lab.sweep.space import Dimension
from inklings.lab.sweep.sweep_results import Sweep, SweepTrial

FINISHED, GIVEN_UP = "finished", "given up"
SHOWN = 0.9
"""Share of the trials that a figure of losses is scaled to: a few outliers would press all others
into a line.
"""


def sweep_figures(sweep: Sweep, space: list[Dimension]) -> list[Figure]:
    """Return the figures that the results allow; none without a finished trial."""
    if sweep.best is None:
        return []
    importance = [_importance(sweep)] if sweep.importance else []
    parallel = [_parallel(sweep, space)] if len(sweep.ranked) > 1 else []
    return [
        _history(sweep),
        *importance,
        *parallel,
        *(_slice(sweep, dimension) for dimension in space),
    ]


def _seen(sweep: Sweep) -> list[SweepTrial]:
    """Return the trials with a loss: those that were given up count with their last one."""
    return [trial for trial in sweep.trials if trial.status != "failed" and trial.losses]


def _row(trial: SweepTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "loss": trial.losses[-1],
        "state": FINISHED if trial.status == "done" else GIVEN_UP,
        **{
            name.replace(".", "_"): say_value(value) if isinstance(value, list | bool) else value
            for name, value in trial.values.items()
        },
    }


def _domain(sweep: Sweep) -> tuple[float, float]:
    losses = sorted(trial.losses[-1] for trial in _seen(sweep))
    low, high = losses[0], losses[min(len(losses) - 1, int(SHOWN * len(losses)))]
    pad = 0.06 * (high - low) or 0.1
    return (low - pad, high + pad)


def _loss(sweep: Sweep) -> Any:
    return alt.Y(
        "loss:Q",
        title=None,
        scale=alt.Scale(domain=list(_domain(sweep)), nice=False),
        axis=alt.Axis(tickCount=6, format=".3~f"),
    )


def _state() -> Any:
    return alt.Color("state:N", scale=alt.Scale(domain=[FINISHED, GIVEN_UP]))


def _tooltip(space_names: list[str]) -> list[Any]:
    return [
        alt.Tooltip("trial:Q"),
        alt.Tooltip("loss:Q", format=".4f"),
        *(alt.Tooltip(f"{name.replace('.', '_')}:N", title=name) for name in space_names),
    ]


def _history(sweep: Sweep) -> Figure:
    rows: Rows = [_row(trial) for trial in _seen(sweep)]
    best: Rows = []
    for trial in sweep.trials:
        if trial.loss is not None and (not best or trial.loss < best[-1]["loss"]):
            best.append({"trial": trial.number, "loss": trial.loss, "state": FINISHED})
    best.append({**best[-1], "trial": sweep.trials[-1].number})
    around = alt.Scale(domain=[-0.5, sweep.trials[-1].number + 0.5], nice=False)
    x = alt.X("trial:Q", title="trial", scale=around, axis=alt.Axis(tickMinStep=1, format="d"))
    line = (
        alt.Chart(alt.NamedData(name="best"))
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(x=x, y=_loss(sweep), color=_state())
    )
    dots = (
        alt.Chart(alt.NamedData(name="trials"))
        .mark_circle(size=46, opacity=0.8, clip=True)
        .encode(
            x=x,
            y=_loss(sweep),
            color=_state(),
            tooltip=_tooltip(list(sweep.trials[0].values)),
        )
    )
    hidden = sum(row["loss"] > _domain(sweep)[1] for row in rows)
    beyond = (
        f" {hidden} trial{'s' if hidden > 1 else ''} with a higher loss lie outside."
        if hidden
        else ""
    )
    return Figure(
        "history",
        "History",
        sweep.unit,
        "Validation loss of each trial, at the end of the budget or where it was given up; the"
        f" line is the best so far.{beyond}",
        {"": layered(line, dots, height=280)},
        wide=True,
        legend=False,
        data={"trials": rows, "best": best},
    )


def _importance(sweep: Sweep) -> Figure:
    rows: Rows = [
        {"field": name, "importance": round(share, 4), "state": FINISHED}
        for name, share in sweep.importance.items()
    ]
    axis = alt.Axis(labelFontSize=13, labelPadding=10, labelLimit=220)
    base = alt.Chart(alt.NamedData(name="importance")).encode(
        y=alt.Y("field:N", sort=[row["field"] for row in rows], title=None, axis=axis),
        x=alt.X(
            "importance:Q",
            title="share",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format="%", grid=True, tickCount=5),
        ),
        tooltip=["field:N", alt.Tooltip("importance:Q", format=".1%")],
    )
    bars = base.mark_bar(height=16, cornerRadiusEnd=3).encode(
        color=alt.Color("state:N", legend=None)
    )
    return Figure(
        "importance",
        "What matters",
        sweep.evaluator,
        f"Which fields decide whether a trial is among the best, by Optuna's {sweep.evaluator}. Of"
        " few trials this is a hint only.",
        {"": layered(bars, height=alt.Step(34))},
        wide=True,
        legend=False,
        data={"importance": rows},
    )


def _parallel(sweep: Sweep, space: list[Dimension]) -> Figure:
    trials = sweep.ranked[: max(2, round(SHOWN * len(sweep.ranked)))]
    order = [dimension.field for dimension in space] + [sweep.unit]
    losses = [trial.losses[-1] for trial in trials]
    span = (max(losses) - min(losses)) or 1.0
    rows: Rows = []
    for trial in trials:
        shared = {"trial": trial.number, "loss": trial.losses[-1]}
        for dimension in space:
            value = trial.values[dimension.field]
            rows.append(
                {
                    **shared,
                    "axis": dimension.field,
                    "place": round(_place(dimension, value), 4),
                    "value": _short(value),
                }
            )
        place = round((trial.losses[-1] - min(losses)) / span, 4)
        rows.append(
            {**shared, "axis": sweep.unit, "place": place, "value": _short(trial.losses[-1])}
        )
    ends: Rows = [
        {"axis": dimension.field, "place": float(place), "value": _end(dimension, place)}
        for dimension in space
        for place in (0, 1)
    ] + [
        {"axis": sweep.unit, "place": float(place), "value": _short(value)}
        for place, value in enumerate((min(losses), max(losses)))
    ]
    x = alt.X(
        "axis:N",
        sort=order,
        title=None,
        axis=alt.Axis(grid=True, labelAngle=0, labelPadding=22, labelLimit=170),
    )
    y = alt.Y("place:Q", scale=alt.Scale(domain=[0, 1], padding=14), axis=None)
    color = alt.Color(
        "loss:Q",
        scale=alt.Scale(scheme="viridis", domain=[min(losses), max(losses)]),
        legend=alt.Legend(format=".3~f"),
    )
    lines = (
        alt.Chart(alt.NamedData(name="parallel"))
        .mark_line(strokeWidth=1.8, opacity=0.75)
        .encode(
            x=x,
            y=y,
            detail="trial:N",
            color=color,
            tooltip=["trial:Q", alt.Tooltip("loss:Q", format=".4f"), "axis:N", "value:N"],
        )
    )
    dots = (
        alt.Chart(alt.NamedData(name="parallel"))
        .mark_circle(size=34)
        .encode(
            x=x,
            y=y,
            color=color,
            tooltip=["trial:Q", alt.Tooltip("loss:Q", format=".4f"), "axis:N", "value:N"],
        )
    )
    labels = (
        alt.Chart(alt.NamedData(name="parallel_ends"))
        .mark_text(dy=alt.expr("datum.place > 0 ? -12 : 14"), fontSize=11)
        .encode(x=x, y=y, text="value:N")
    )
    left = len(sweep.ranked) - len(trials)
    return Figure(
        "parallel",
        "All at once",
        "one line is one finished trial",
        "Each line crosses every axis at its value; the last one is the loss."
        + (f" The worst {left} are left out." if left else ""),
        {"": layered(lines, dots, labels, height=320)},
        wide=True,
        legend=False,
        data={"parallel": rows, "parallel_ends": ends},
    )


def _place(dimension: Dimension, value: Any) -> float:
    """Return where on its axis a value is, from 0 to 1."""
    if dimension.kind == "choice":
        plain = [
            list(choice) if isinstance(choice, tuple) else choice for choice in dimension.choices
        ]
        return plain.index(value) / (len(plain) - 1)
    low, high = dimension.low, dimension.high
    if dimension.log:
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else say_value(value)


def _end(dimension: Dimension, place: int) -> str:
    if dimension.kind == "choice":
        return say_value(dimension.choices[-place])
    return _short(dimension.high if place else dimension.low)


def _slice(sweep: Sweep, dimension: Dimension) -> Figure:
    column = dimension.field.replace(".", "_")
    name = f"slice_{column}"
    if dimension.kind == "choice":
        x = alt.X(
            f"{column}:N",
            title=dimension.field,
            sort=[say_value(choice) for choice in dimension.choices],
            axis=alt.Axis(labelAngle=0),
        )
    else:
        scale = alt.Scale(
            type="log" if dimension.log else "linear",
            domain=[dimension.low, dimension.high],
            nice=False,
            padding=8,
        )
        x = alt.X(
            f"{column}:Q",
            title=dimension.field,
            scale=scale,
            axis=alt.Axis(tickCount=6, format="~g"),
        )
    dots = (
        alt.Chart(alt.NamedData(name=name))
        .mark_circle(size=46, opacity=0.8, clip=True)
        .encode(x=x, y=_loss(sweep), color=_state(), tooltip=_tooltip(list(sweep.trials[0].values)))
    )
    return Figure(
        name,
        dimension.field,
        sweep.unit,
        f"Searched: {dimension}.",
        {"": layered(dots, height=240)},
        legend=False,
        data={name: [_row(trial) for trial in _seen(sweep)]},
    )
