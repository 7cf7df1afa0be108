"""The section of costs: which arm is worth its price, in FLOPs, time and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from inklings.lab.comparison.result import ArmResult, Comparison, RunResult, run_value
from inklings.lab.report.chart import (
    Axis,
    Control,
    Figure,
    Rows,
    arm_color,
    cost_axis,
    hovered,
    layered,
    told_number,
    told_text,
)
from inklings.lab.report.section import Results, Section
from inklings.lab.report.sections.budgets import (
    DIGITS,
    counted_rule,
    geometric_mean,
    rounded,
)
from inklings.lab.report.table import rank

COSTS = ("FLOPs", "time", "parameters")


COST_TITLES = {
    "FLOPs": "training FLOPs",
    "time": "training time, s",
    "parameters": "parameters without embedding and head",
}


APART = 1.1
"""Costs that differ by less than this factor are equal: no arm is chosen for them, and no front is
drawn.
"""


def make_section(results: Results) -> Section | None:
    """Return the section of costs, or None for an arm alone."""
    comparison = results.comparison
    dots, means = pareto_rows(comparison)
    rows = rank(comparison)
    if not means and len(rows) < 2:
        return None
    several = any(run.points for arm in comparison.arms for run in arm.runs)
    arms = [arm.label for arm in comparison.arms]
    figures = (
        pareto_figure(
            arms,
            dots,
            means,
            counted_rows(comparison),
            unit=comparison.unit,
            split=comparison.split,
            several=several,
        ),
    )
    lead = "Which arm one would choose for what one is ready to pay."
    return Section("cost", "What it costs", lead, figures if means else (), "cost", rows)


def counted_rows(comparison: Comparison) -> Rows:
    """Return the figure of every arm that counts, the added baseline among them."""
    return [
        {"arm": arm.label, "value": round(run_value(arm.done[0], comparison.unit), DIGITS)}
        for arm in comparison.arms
        if arm.kind == "counted" and arm.done and not arm.dishonest
    ]


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
    """Draw loss against a cost: a dot for each run, and the front that nothing beats for less.

    Args:
        arms: the arms, in the order of their colours.
        dots: rows of `axis, arm, seed, share, cost, value, front`.
        means: rows of `axis, arm, share, cost, value, front`.
        floors: rows of `arm, value` for counted arms.
        unit: of the losses.
        split: the held-out split.
        several: whether runs have several points.
    """
    costs = tuple(cost for cost in COSTS if any(row["axis"] == cost for row in means))
    y = alt.Y(
        "value:Q",
        title=None,
        scale=alt.Scale(zero=False, nice=False, padding=14),
        axis=alt.Axis(tickCount=6, format=".2~f"),
    )
    floor = counted_rule("pareto_floors", arms, y)
    strong = "focus === datum.arm || (focus === null && datum.front)"

    def chart(cost: str) -> Any:
        x = cost_axis(Axis(cost, "cost", COST_TITLES[cost]), log=True)

        def of(name: str, which: str = "true") -> Any:
            return (
                alt.Chart(alt.NamedData(name=name))
                .transform_filter(f"datum.axis === '{cost}' && {which}")
                .encode(x=x, y=y)
            )

        runs = (
            of("pareto_runs")
            .mark_circle(size=26)
            .encode(
                color=arm_color(arms),
                opacity=alt.when(strong).then(alt.value(0.55)).otherwise(alt.value(0.18)),
            )
        )
        middle = (
            of("pareto")
            .mark_point(filled=False, size=210, strokeWidth=1.8)
            .encode(
                color=arm_color(arms),
                opacity=alt.when(strong).then(alt.value(1)).otherwise(alt.value(0.3)),
            )
        )
        front = of("pareto", "datum.front").mark_line(
            style="level", interpolate="step-after", strokeWidth=1.2, strokeDash=[5, 4]
        )
        level = [floor] if floors else []
        return layered(*level, front, runs, middle, hovered(of("pareto"), told(cost)), height=320)

    def told(cost: str) -> dict[str, str]:
        return {
            "arm": told_text("arm"),
            cost: told_number("cost", ".3~s"),
            unit: told_number("value", ".4f"),
        }

    what = "the mean over seeds at a decayed checkpoint" if several else "an arm's mean over seeds"
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


def pareto_rows(comparison: Comparison) -> tuple[Rows, Rows]:
    """Return, for each cost, every run at each decayed point and the means over the seeds.

    `front` marks those that nothing beats for less. Runs that are evaluated as they are were
    trained elsewhere: of their costs only the size is comparable. A counted arm costs next to
    nothing, and is drawn as a line instead.
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
                price = geometric_mean([c for _, c, _ in found])
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
    """Return the rows on the Pareto front of `cost` and `value`, the cheapest first.

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
    """Return seed, cost and ranking figure of an arm's runs, by share of the budget.

    Costs that are unknown or zero are left out.
    """
    found: dict[float, list[tuple[int | None, float, float]]] = {}
    if not arm.ranked or arm.kind == "counted" or (arm.kind == "as it is" and cost != "parameters"):
        return found
    for run in arm.done:
        for share, price, value in _prices(run, cost, unit):
            if price:
                found.setdefault(share, []).append((run.seed, rounded(price), round(value, DIGITS)))
    return found


def _prices(run: RunResult, cost: str, unit: str) -> list[tuple[float, int | float | None, float]]:
    if cost == "parameters":
        return [(1.0, size(run), run_value(run, unit))]
    if run.points:
        return [
            (p.share, p.flops if cost == "FLOPs" else p.seconds, run_value(p, unit))
            for p in run.points
        ]
    return [(1.0, run.flops if cost == "FLOPs" else run.seconds, run_value(run, unit))]


def size(run: RunResult) -> int | None:
    """Return parameters without embedding and head, or all where those were not counted."""
    return run.parameters if run.non_embedding is None else run.non_embedding
