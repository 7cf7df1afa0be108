"""The section of equal budgets: loss of decayed weights against cost, as a chart and as tables."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from inklings.amounts import duration, short_count
from inklings.evaluation.statistics import mean_interval
from inklings.lab.comparison.result import ArmAt, Comparison, Difference, EqualBudget, run_value
from inklings.lab.report.chart import (
    AXES,
    Axis,
    Control,
    Figure,
    Rows,
    arm_color,
    arm_dash,
    around,
    cost_axis,
    focus_opacity,
    hovered,
    layered,
    shared_axes,
    told_number,
    told_text,
)
from inklings.lab.report.section import Results, Section
from inklings.lab.report.table import beside_the_best, signed

DIGITS = 5
"""Digits of a loss in the page and its tables: what seeds leave of it."""


def make_section(results: Results) -> Section | None:
    """Return the section of budgets, or None where no run was scored at points of its budget."""
    comparison = results.comparison
    points, means = point_rows(comparison)
    if not points:
        return None
    low, high = around([row["value"] for row in points], 0.5)
    figure = points_figure(
        [arm.label for arm in comparison.arms],
        points,
        means,
        floor_rows(comparison, (low, high)),
        amount_rows(comparison),
        unit=comparison.unit,
        split=comparison.split,
    )
    lead = (
        "Each run trains at a constant rate, and copies of it are decayed at several shares of the"
        " budget. Only such decayed checkpoints are compared. They serve every budget: an arm's"
        " figure at an amount lies between its two nearest checkpoints, over the logarithm of the"
        " amount."
    )
    return Section(
        "budgets", "Equal budgets", lead, (figure,), "budgets", budget_tables(comparison)
    )


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
    """Draw the loss of decayed weights against their budget.

    A dot is a seed, a line goes through the means, and the equal amount is marked.

    Args:
        arms: the arms, in the order of their colours.
        points: rows of `arm, seed, share, tokens, flops, seconds, value`.
        means: rows of `arm, share, tokens, flops, seconds, value`.
        floors: rows of `arm, value` for counted arms.
        amounts: rows of `axis, label` and the axis' own column.
        unit: of the losses.
        split: the held-out split.
    """
    y = alt.Y(
        "value:Q",
        title=None,
        scale=alt.Scale(zero=False, nice=False, padding=12),
        axis=alt.Axis(tickCount=6, format=".2~f"),
    )
    axes = shared_axes(points, means)
    floor = counted_rule("point_floors", arms, y)
    changes = [row for axis in axes for row in order_changes(means, floors, axis)]

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
        dots = (
            alt.Chart(alt.NamedData(name="points"))
            .mark_circle(size=34)
            .encode(
                x=x,
                y=y,
                color=arm_color(arms),
                opacity=focus_opacity(0.6),
            )
        )
        near = hovered(
            alt.Chart(alt.NamedData(name="points")).encode(x=x, y=y, color=arm_color(arms)),
            {
                "arm": told_text("arm"),
                "seed": told_text("seed"),
                axis.title: told_number(axis.column, ".3~s"),
                unit: told_number("value", ".4f"),
            },
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
            )
        )
        turn = (
            alt.Chart(alt.NamedData(name="order_changes"))
            .transform_filter(f"datum.axis === '{axis.name}'")
            .mark_point(style="target", shape="diamond", filled=False, size=150, strokeWidth=1.8)
            .encode(x=x, y=y, opacity=focus_opacity(), tooltip=alt.Tooltip("label:N", title=" "))
        )
        marked = [rule, name] if any(row["axis"] == axis.name for row in amounts) else []
        return layered(
            *([floor] if floors else []),
            *marked,
            lines,
            dots,
            near,
            *([turn] if any(row["axis"] == axis.name for row in changes) else []),
            height=340,
        )

    caption = (
        f"Each dot is a run whose learning rate has decayed, scored on the {split} split; lines go"
        " through the means over seeds."
    )
    caption += " Dashed: the equal amount at which the arms are ranked below." if amounts else ""
    caption += " Dotted: counted in one pass." if floors else ""
    caption += _say_changes([row["label"] for row in changes if row["axis"] == axes[0].name])
    data = {"points": points, "point_means": means, "point_floors": floors, "amounts": amounts}
    data["order_changes"] = changes
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


def point_rows(comparison: Comparison) -> tuple[Rows, Rows]:
    """Return every decayed checkpoint of the arms that may be ranked, and the means over seeds.

    Costs are averaged as geometric means.
    """
    points: Rows = []
    means: Rows = []
    for arm in comparison.arms:
        if not arm.ranked:
            continue
        found: dict[float, Rows] = {}
        for run in arm.done:
            for point in run.points:
                row = {
                    "arm": arm.label,
                    "seed": run.seed,
                    "share": point.share,
                    "tokens": point.tokens,
                    "flops": point.flops,
                    "seconds": rounded(point.seconds),
                    "value": round(run_value(point, comparison.unit), DIGITS),
                    "accuracy": round(point.accuracy, DIGITS),
                }
                found.setdefault(point.share, []).append(row)
        points += [row for rows in found.values() for row in rows]
        means += [_mean(arm.label, share, rows) for share, rows in sorted(found.items())]
    return points, means


def _mean(label: str, share: float, rows: Rows) -> dict[str, float | str]:
    costs = {axis.column: geometric_mean([row[axis.column] for row in rows]) for axis in AXES}
    return {
        "arm": label,
        "share": share,
        **costs,
        "value": round(sum(row["value"] for row in rows) / len(rows), DIGITS),
    }


def order_changes(means: Rows, floors: Rows, axis: Axis) -> Rows:
    """Return where the lines of two arms cross on the way to more: from there the other is better.

    Args:
        means: rows of `arm`, the axis' column and `value`.
        floors: rows of `arm, value` for counted arms, whose lines are level.
        axis: of the budget.

    Returns:
        Rows of `axis, arm, label, value` and the axis' own column; `arm` is the one that passes.
    """
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in means:
        lines.setdefault(row["arm"], []).append((math.log(row[axis.column]), row["value"]))
    level = {row["arm"]: row["value"] for row in floors if row["arm"] not in lines}
    rows: Rows = []
    for one, other in itertools.combinations([*lines, *level], 2):
        if one in level:
            continue  # two that are level never cross
        ours = sorted(lines[one])
        theirs = sorted(lines[other]) if other in lines else [(x, level[other]) for x, _ in ours]
        for x, value, rises in _crossings(ours, theirs):
            better, worse = (other, one) if rises else (one, other)
            amount = math.exp(x)
            where = say_amount(axis.column, amount)
            rows.append(
                {
                    "axis": axis.name,
                    "arm": better,
                    "label": f"{better} passes {worse} at {where}",
                    "value": round(value, DIGITS),
                    axis.column: rounded(amount),
                }
            )
    return sorted(rows, key=lambda row: row[axis.column])


def _crossings(
    ours: list[tuple[float, float]], theirs: list[tuple[float, float]]
) -> list[tuple[float, float, bool]]:
    """Return place and value of each crossing of two lines, and whether ours is above from there.

    Where lines only touch, nothing changes.
    """
    low, high = max(ours[0][0], theirs[0][0]), min(ours[-1][0], theirs[-1][0])
    places = sorted({x for x, _ in [*ours, *theirs] if low <= x <= high})
    (one_x, one_y), (other_x, other_y) = zip(*ours, strict=True), zip(*theirs, strict=True)
    one, other = np.interp(places, one_x, one_y), np.interp(places, other_x, other_y)
    found = []
    last: tuple[float, float] | None = None
    for x, gap in zip(places, one - other, strict=True):
        if gap == 0:
            continue
        if last is not None and (gap > 0) != (last[1] > 0):
            share = last[1] / (last[1] - gap)
            place = last[0] + share * (x - last[0])
            found.append((float(place), float(np.interp(place, one_x, one_y)), bool(gap > 0)))
        last = (x, float(gap))
    return found


def _say_changes(labels: Sequence[str]) -> str:
    """Say where the order changes, at most three of the places."""
    if not labels:
        return ""
    more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
    return f" Diamonds: the order of the means changes: {'; '.join(labels[:3])}{more}."


def amount_rows(comparison: Comparison) -> Rows:
    """Return the equal amounts at which arms are ranked, each in the column of its axis."""
    names = {axis.column: axis.name for axis in AXES}
    return [
        {
            "axis": names[budget.axis],
            "label": say_amount(budget.axis, budget.amount),
            budget.axis: budget.amount,
        }
        for budget in comparison.budgets
    ]


def say_amount(axis: str, amount: float) -> str:
    """Format an amount: `1.84M tokens`, `12.3T FLOPs` or `1 min 12 s of training`."""
    if axis == "seconds":
        return f"{duration(amount)} of training"
    return f"{short_count(round(amount))} {'tokens' if axis == 'tokens' else 'FLOPs'}"


def floor_rows(comparison: Comparison, domain: tuple[float, float]) -> Rows:
    """Return the ranking figure of counted arms, as far as it lies in a range.

    What is far off would press the rest together.
    """
    rows: Rows = [
        {"arm": arm.label, "value": round(run_value(arm.done[0], comparison.unit), DIGITS)}
        for arm in comparison.arms
        if arm.kind == "counted" and arm.ranked
    ]
    return [row for row in rows if domain[0] <= row["value"] <= domain[1]]


def counted_rule(name: str, arms: Sequence[str], y: Any) -> Any:
    """Draw counted arms as horizontal lines.

    Args:
        name: of the data: rows of `arm, value`.
        arms: the arms, in the order of their colours.
        y: the vertical axis.
    """
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


def geometric_mean(values: Sequence[int | float]) -> float:
    """Return the middle on a logarithmic axis."""
    return rounded(math.exp(sum(math.log(value) for value in values) / len(values)))


def rounded(value: int | float) -> float:
    """Round to six digits: enough to draw, and a fraction of a second stays above zero."""
    return float(f"{value:.6g}")


@dataclass(frozen=True)
class BudgetRow:
    """An arm at an equal budget, as text."""

    label: str
    value: str
    """`1.712`, its mean over seeds."""
    spread: str
    """Half of the 95% interval of that; empty where there is one seed."""
    to_the_best: str
    finding: str


@dataclass(frozen=True)
class BudgetTable:
    """The arms at an equal budget, the best first."""

    title: str
    """Its title, such as `At 1.84M tokens`."""
    rows: list[BudgetRow]
    absent: list[str]


def budget_tables(comparison: Comparison) -> list[BudgetTable]:
    """Make one table for each equal budget of a comparison."""
    return [
        BudgetTable(
            f"At {say_amount(budget.axis, budget.amount)}",
            [_budget_row(arm, budget) for arm in budget.arms],
            budget.absent,
        )
        for budget in comparison.budgets
    ]


def _budget_row(arm: ArmAt, budget: EqualBudget) -> BudgetRow:
    best = budget.arms[0].label
    values = list(arm.values.values())
    interval = mean_interval(values) if len(values) > 1 else None
    difference = next(
        (d for d in budget.differences if {d.better, d.worse} == {best, arm.label}), None
    )
    return BudgetRow(
        arm.label,
        f"{sum(values) / len(values):.3f}",
        "" if interval is None else f"{(interval.high - interval.low) / 2:.3f}",
        "" if difference is None else signed(difference, arm.label),
        _finding(arm.label, best, difference),
    )


def _finding(label: str, best: str, difference: Difference | None) -> str:
    if label == best:
        return "best"
    return "not tested" if difference is None else beside_the_best(difference, label)
