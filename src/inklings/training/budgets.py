"""How much a run may learn.

Tokens, steps, minutes or floating-point operations, all turned into steps at its start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from inklings.errors import ConfigError, nearest

Unit = Literal["tokens", "steps", "min", "flops"]

EXAMPLES = "2M-tokens, 500-steps, 3-min, 1e15-flops"

_UNITS: dict[str, Unit] = {
    "tokens": "tokens",
    "token": "tokens",
    "steps": "steps",
    "step": "steps",
    "min": "min",
    "minute": "min",
    "minutes": "min",
    "flops": "flops",
    "flop": "flops",
}
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
_FORM = re.compile(
    r"(?P<number>\d+(?:\.\d*)?(?:e[+-]?\d{1,3})?|\.\d+)(?P<factor>[kmbgt]?)-(?P<unit>[a-z]+)"
)
LARGEST = 10**30
"""Of any unit: what is above is a slip of the finger."""


@dataclass(frozen=True)
class Budget:
    """An amount of one of the four units; exact, so that 0.1M tokens are 100,000."""

    amount: Fraction
    unit: Unit


def parse_budget(text: str) -> Budget:
    """Read `2M-tokens`, `500-steps`, `3-min` or `1e15-flops`; numbers take k, M, B (or G) and T.

    `0-steps` trains nothing: a run of weights as they are, which another run gave.

    Raises:
        ConfigError: the text has another form, an unknown unit, or an amount of zero (but
            `0-steps`) or beyond `LARGEST`.
    """
    match = _FORM.fullmatch(text.strip().lower().replace("_", ""))
    if match is None:
        raise ConfigError(f"budget {text!r} is not NUMBER-UNIT. Examples: {EXAMPLES}.")
    unit = _UNITS.get(match["unit"])
    if unit is None:
        names = ("tokens", "steps", "min", "flops")
        raise ConfigError(
            f"budget {text!r} has the unknown unit"
            f" {match['unit']!r}.{nearest(match['unit'], names)} Examples: {EXAMPLES}."
        )
    amount = Fraction(match["number"]) * _FACTORS[match["factor"]]
    if amount <= 0 and unit != "steps":
        raise ConfigError(f"budget {text!r} is nothing. Examples: {EXAMPLES}.")
    if amount > LARGEST:
        raise ConfigError(f"budget {text!r} is more than any machine can do. Examples: {EXAMPLES}.")
    return Budget(amount, unit)


def steps_within(
    budget: Budget, *, tokens_per_step: int, flops_per_step: int, seconds_per_step: float
) -> int:
    """How many whole steps the budget pays for; at least one, unless it is `0-steps`.

    `seconds_per_step` (measured on this machine) is looked at for minutes only. Minutes count
    training steps; evaluation and sampling come on top.
    """
    costs: dict[Unit, Fraction] = {
        "tokens": Fraction(tokens_per_step),
        "steps": Fraction(1),
        "min": Fraction(max(seconds_per_step, 1e-9)) / 60,
        "flops": Fraction(flops_per_step),
    }
    return max(1, int(budget.amount / costs[budget.unit])) if budget.amount else 0
