"""Budgets of target tokens."""

from fractions import Fraction

from inklings.training.budgets.unit import BudgetUnit

TOKENS = BudgetUnit(
    spellings=("tokens", "token"),
    example="2M-tokens",
    cost=lambda step: Fraction(step.tokens),
    held="tokens",
    of_text=True,
)
