"""The rankings at equal budgets, as small tables: one for each of tokens, FLOPs and time."""

from __future__ import annotations

from dataclasses import dataclass

from inklings.evaluation.statistics import mean_interval
from inklings.lab.comparison.result import ArmAt, Comparison, Difference, EqualBudget
from inklings.lab.report.sections.budgets import say_amount
from inklings.lab.report.table import beside_the_best, signed


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
            [_row(arm, budget) for arm in budget.arms],
            budget.absent,
        )
        for budget in comparison.budgets
    ]


def _row(arm: ArmAt, budget: EqualBudget) -> BudgetRow:
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
