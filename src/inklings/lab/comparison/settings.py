"""How the arms of a comparison are made comparable.

What is asked for beside arms, text, budget and seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inklings.errors import ConfigError

MOST_POINTS = 8
"""The first of eight points has less than a hundredth of the budget."""
MOST_SIZES = 6
"""The smallest of six sizes has a thirtieth of the parameters."""


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings:
    """The defaults take every arm as it is given and score it once, at the end of its budget."""

    points: int = 1
    """At how many moments of its budget a trained arm is decayed and scored: at the end, at half of
    it, at half of that, and so on.
    """
    parameters: int | Literal["auto"] | None = None
    """Parameters, embedding and head aside, that every trained arm is brought to; `auto` takes
    those of the first one; None leaves all as they are.
    """
    rates: int = 0
    """How many learning rates are tried for each trained arm, at the whole budget; 0 takes them as
    they are.
    """
    sizes: int = 1
    """At how many sizes each trained arm is trained: the largest, half of it, half of that, and so
    on; the smaller ones are not ranked, but tell how each architecture gains by size.
    """
    probes: bool = False
    """Whether small tasks tell what each trained architecture is able to do."""
    floor: bool = False
    """Whether n-grams are counted beside the arms where none of these counts: what they get is
    shown, not ranked.
    """
    samples: int | None = None
    """How many samples every run writes, to be compared with the held-out documents; None writes as
    many as there are such documents, at most 3000, where an arm has no likelihood, and none
    otherwise.
    """

    def __post_init__(self) -> None:
        if not 1 <= self.points <= MOST_POINTS:
            raise ConfigError(
                f"points is {self.points}; it must be 1 to {MOST_POINTS}. 4 scores at 1/8, 1/4, 1/2"
                " and all of the budget."
            )
        if isinstance(self.parameters, int) and self.parameters < 1:
            raise ConfigError(
                f"parameters is {self.parameters}; it must be a number above 0, `auto`, or left"
                " out."
            )
        if not 1 <= self.sizes <= MOST_SIZES:
            raise ConfigError(
                f"sizes is {self.sizes}; it must be 1 to {MOST_SIZES}. 4 trains each arm at 1/8,"
                " 1/4, 1/2 and all of its size."
            )
        if self.rates < 0:
            raise ConfigError(
                f"rates is {self.rates}; it must be 0 (learning rates as they are) or how many are"
                " tried, such as 5."
            )
