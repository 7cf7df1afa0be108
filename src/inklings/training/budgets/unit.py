"""The unit of a budget: how it is written, and how many steps it pays for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from inklings.registry import Registry


@dataclass(frozen=True)
class StepCost:
    """What one step of a run takes; a unit asks for what it counts, and for nothing else."""

    tokens: int
    """Target tokens."""
    flops: Callable[[], int]
    """Of its forward and backward pass; needs the model."""
    seconds: Callable[[], float]
    """Measured on this machine."""


@dataclass(frozen=True, kw_only=True)
class BudgetUnit:
    """A unit in which a budget is given, and all that anybody asks about it."""

    spellings: tuple[str, ...]
    """How it may be written, in small letters; the first one is its name."""
    example: str
    """A budget, for messages and help."""
    cost: Callable[[StepCost], Fraction]
    """How many of the unit a step costs."""
    held: str | None = None
    """What is equal in two arms of one such budget: `at equal time`. None: nothing to speak of."""
    timed: bool = False
    """Whether a step must be timed to know what it costs."""
    may_be_zero: bool = False
    """Whether none of it is a budget too."""

    @property
    def name(self) -> str:
        """The usual spelling."""
        return self.spellings[0]


UNITS: Registry[BudgetUnit] = Registry(
    "unit",
    {
        "tokens": "inklings.training.budgets.tokens:TOKENS",
        "steps": "inklings.training.budgets.steps:STEPS",
        "min": "inklings.training.budgets.minutes:MINUTES",
        "flops": "inklings.training.budgets.flops:FLOPS",
    },
)
"""Every unit by its name."""
