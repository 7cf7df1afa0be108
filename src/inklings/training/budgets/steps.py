"""Budgets of optimiser steps."""

from fractions import Fraction

from inklings.training.budgets.unit import BudgetUnit

STEPS = BudgetUnit(
    spellings=("steps", "step"),
    example="500-steps",
    cost=lambda step: Fraction(1),
    held="steps",
    of_text=True,
    may_be_zero=True,  # a run of weights as they are, which another run gave
)
