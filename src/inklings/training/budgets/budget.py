"""How much a run may learn: an amount of some unit, turned into steps at its start."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from inklings.errors import ConfigError, nearest
from inklings.training.budgets.unit import UNITS, BudgetUnit, StepCost

_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
_FORM = re.compile(
    r"(?P<number>\d+(?:\.\d*)?(?:e[+-]?\d{1,3})?|\.\d+)(?P<factor>[kmbgt]?)-(?P<unit>[a-z]+)"
)
LARGEST = 10**30
"""Largest amount of any unit: a larger one is a slip of the finger."""


@dataclass(frozen=True)
class Budget:
    """An amount of a unit; exact, so that 0.1M tokens are 100,000."""

    amount: Fraction
    unit: BudgetUnit

    def steps(self, step: StepCost) -> int:
        """Return how many whole steps it pays for: at least one, unless the budget is zero."""
        return max(1, int(self.amount / self.unit.cost(step))) if self.amount else 0


def budget_examples() -> list[str]:
    """Give an example of a budget of every unit."""
    return [unit.example for unit in UNITS]


def parse_budget(text: str) -> Budget:
    """Read `NUMBER-UNIT`, such as `2M-tokens`; numbers take k, M, B (or G) and T.

    Raises:
        ConfigError: the text has another form, an unknown unit, or an amount of zero (unless the
            unit takes it) or beyond `LARGEST`.
    """
    examples = f"Examples: {', '.join(budget_examples())}."
    match = _FORM.fullmatch(text.strip().lower().replace("_", ""))
    if match is None:
        raise ConfigError(f"budget {text!r} is not NUMBER-UNIT. {examples}")
    unit = next((unit for unit in UNITS if match["unit"] in unit.spellings), None)
    if unit is None:
        hint = nearest(match["unit"], UNITS.places)
        raise ConfigError(
            f"budget {text!r} has the unknown unit {match['unit']!r}.{hint} {examples}"
        )
    amount = Fraction(match["number"]) * _FACTORS[match["factor"]]
    if amount <= 0 and not unit.may_be_zero:
        raise ConfigError(f"budget {text!r} is nothing. {examples}")
    if amount > LARGEST:
        raise ConfigError(f"budget {text!r} is more than any machine can do. {examples}")
    return Budget(amount, unit)
