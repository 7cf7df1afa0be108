"""Budgets of epochs: passes over the training part, in target tokens."""

from fractions import Fraction

from inklings.training.budgets.unit import BudgetUnit

EPOCHS = BudgetUnit(
    spellings=("epochs", "epoch"),
    example="5-epochs",
    cost=lambda step: Fraction(step.tokens, step.epoch()),
    held="tokens",
    of_text=True,
)
