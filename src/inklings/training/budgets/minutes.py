"""Budgets of time: minutes of training steps; evaluation and sampling come on top."""

from fractions import Fraction

from inklings.training.budgets.unit import BudgetUnit

MINUTES = BudgetUnit(
    spellings=("min", "minute", "minutes"),
    example="3-min",
    cost=lambda step: Fraction(max(step.seconds(), 1e-9)) / 60,
    held="time",
    timed=True,
)
