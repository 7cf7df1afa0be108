"""Units of a budget: how each is written, and how many steps it pays for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from inklings.registry import Registry


@dataclass(frozen=True)
class StepCost:
    """The cost of one step; a unit asks only for what it counts."""

    tokens: int
    """Target tokens."""
    epoch: Callable[[], int]
    """Target tokens of the training part; needs the text."""
    flops: Callable[[], int]
    """Floating-point operations of its forward and backward pass; needs the model."""
    seconds: Callable[[], float]
    """Seconds of a step, measured on this machine."""


@dataclass(frozen=True, kw_only=True)
class BudgetUnit:
    """A unit in which a budget is given, and everything that the rest of the code asks about it."""

    spellings: tuple[str, ...]
    """How it may be written, in small letters; the first one is its name."""
    example: str
    """A budget, for messages and help."""
    cost: Callable[[StepCost], Fraction]
    """How many of the unit a step costs."""
    held: str | None = None
    """What is equal in two arms of one such budget, as in `at equal time`; None where it is nothing
    to compare at.
    """
    of_text: bool = False
    """Whether an amount of it is an amount of text, whatever the model and the machine: counting
    then reads as much, and no more.
    """
    timed: bool = False
    """Whether a step must be timed to know what it costs."""
    may_be_zero: bool = False
    """Whether a budget of zero is allowed."""

    @property
    def name(self) -> str:
        """The first spelling, which is its name."""
        return self.spellings[0]


UNITS: Registry[BudgetUnit] = Registry(
    "unit",
    {
        "tokens": "inklings.training.budgets.tokens:TOKENS",
        "steps": "inklings.training.budgets.steps:STEPS",
        "min": "inklings.training.budgets.minutes:MINUTES",
        "flops": "inklings.training.budgets.flops:FLOPS",
        "epochs": "inklings.training.budgets.epochs:EPOCHS",
    },
)
"""Every unit by its name."""
