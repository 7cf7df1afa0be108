"""What the charts of decayed points and of costs draw, from the figures of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence

from inklings.lab.comparison.result import ArmResult, Comparison, Point, RunResult, run_value
from inklings.lab.report.chart import AXES, Rows
from inklings.lab.report.table import duration, short_count

DIGITS = 5
"""Of a loss in the page and its tables: what seeds leave of it."""


APART = 1.1
"""Costs that differ by less than this factor are equal: no arm is chosen for them, and there is no
front to draw.
"""


def point_rows(comparison: Comparison) -> tuple[Rows, Rows]:
    """Every decayed point of the arms that may be ranked.

    And their means over the seeds, costs as geometric means.
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
                    "seconds": _short(point.seconds),
                    "value": round(point_value(point, comparison.unit), DIGITS),
                    "accuracy": round(point.accuracy, DIGITS),
                }
                found.setdefault(point.share, []).append(row)
        points += [row for rows in found.values() for row in rows]
        means += [_mean(arm.label, share, rows) for share, rows in sorted(found.items())]
    return points, means


def _mean(label: str, share: float, rows: Rows) -> dict[str, float | str]:
    costs = {axis.column: _geometric([row[axis.column] for row in rows]) for axis in AXES}
    return {
        "arm": label,
        "share": share,
        **costs,
        "value": round(sum(row["value"] for row in rows) / len(rows), DIGITS),
    }


def point_value(point: Point, unit: str) -> float:
    """The ranking figure of a decayed point."""
    value = point.loss if unit == "nats per token" else point.bits_per_byte
    assert value is not None, "arms are ranked in bits per byte only where all have them"
    return value


def floor_rows(comparison: Comparison, domain: tuple[float, float]) -> Rows:
    """The ranking figure of counted arms, as far as it lies in a range.

    What is far off would press the rest together.
    """
    rows: Rows = [
        {"arm": arm.label, "value": round(run_value(arm.done[0], comparison.unit), DIGITS)}
        for arm in comparison.arms
        if arm.kind == "counted" and arm.ranked
    ]
    return [row for row in rows if domain[0] <= row["value"] <= domain[1]]


def amount_rows(comparison: Comparison) -> Rows:
    """The equal amounts at which arms are ranked, each in the column of its axis."""
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
    """`1.84M tokens`, `12.3T FLOPs` or `1 min 12 s of training`."""
    if axis == "seconds":
        return f"{duration(amount)} of training"
    return f"{short_count(round(amount))} {'tokens' if axis == 'tokens' else 'FLOPs'}"


def pareto_rows(comparison: Comparison) -> tuple[Rows, Rows]:
    """For each cost, every run (at each of its decayed points) and the means over the seeds.

    `front` where nothing is better for less.

    Runs that are evaluated as they are were trained elsewhere: of their costs only the size is
    comparable. What is counted costs next to nothing, and is a level instead.
    """
    dots: Rows = []
    means: Rows = []
    for cost in ("FLOPs", "time", "parameters"):
        middles: Rows = []
        of_cost: Rows = []
        for arm in comparison.arms:
            for share, found in _costs(arm, cost, comparison.unit).items():
                of_cost += [
                    {
                        "axis": cost,
                        "arm": arm.label,
                        "seed": seed,
                        "share": share,
                        "cost": c,
                        "value": v,
                    }
                    for seed, c, v in found
                ]
                value = sum(v for _, _, v in found) / len(found)
                price = _geometric([c for _, c, _ in found])
                middles.append(
                    {
                        "axis": cost,
                        "arm": arm.label,
                        "share": share,
                        "cost": price,
                        "value": round(value, DIGITS),
                    }
                )
        best = {(row["arm"], row["share"]) for row in pareto_front(middles)}
        prices = [row["cost"] for row in middles]
        if len({row["arm"] for row in middles}) > 1 and max(prices) > APART * min(prices):
            means += [{**row, "front": (row["arm"], row["share"]) in best} for row in middles]
            dots += [{**row, "front": (row["arm"], row["share"]) in best} for row in of_cost]
    return dots, means


def pareto_front(rows: Rows) -> Rows:
    """The rows on the Pareto front of `cost` and `value`, the cheapest first.

    No other row beats them in one without being worse in the other.
    """
    front: Rows = []
    for row in sorted(rows, key=lambda row: (row["cost"], row["value"])):
        if not front or row["value"] < front[-1]["value"]:
            front.append(row)
    return front


def _costs(
    arm: ArmResult, cost: str, unit: str
) -> dict[float, list[tuple[int | None, float, float]]]:
    """Seed, cost and ranking figure of an arm's runs, by share of the budget.

    Without what is not known or costs nothing.
    """
    found: dict[float, list[tuple[int | None, float, float]]] = {}
    if not arm.ranked or arm.kind == "counted" or (arm.kind == "as it is" and cost != "parameters"):
        return found
    for run in arm.done:
        for share, price, value in _prices(run, cost, unit):
            if price:
                found.setdefault(share, []).append((run.seed, _short(price), round(value, DIGITS)))
    return found


def _prices(run: RunResult, cost: str, unit: str) -> list[tuple[float, int | float | None, float]]:
    if cost == "parameters":
        return [(1.0, size(run), run_value(run, unit))]
    if run.points:
        return [
            (p.share, p.flops if cost == "FLOPs" else p.seconds, point_value(p, unit))
            for p in run.points
        ]
    return [(1.0, run.flops if cost == "FLOPs" else run.seconds, run_value(run, unit))]


def size(run: RunResult) -> int | None:
    """Parameters without embedding and head, or all of them where those were not counted."""
    return run.parameters if run.non_embedding is None else run.non_embedding


def _geometric(values: Sequence[int | float]) -> float:
    """The middle on a logarithmic axis."""
    return _short(math.exp(sum(math.log(value) for value in values) / len(values)))


def _short(value: int | float) -> float:
    """Six digits: enough to draw, and a fraction of a second stays above zero."""
    return float(f"{value:.6g}")
