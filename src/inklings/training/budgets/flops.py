"""Budgets of floating-point operations, forward and backward."""

from fractions import Fraction

from inklings.training.budgets.unit import BudgetUnit

FLOPS = BudgetUnit(
    spellings=("flops", "flop"),
    example="1e15-flops",
    cost=lambda step: Fraction(step.flops()),
    held="FLOPs",
)
