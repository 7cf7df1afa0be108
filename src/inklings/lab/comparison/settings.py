"""Settings of a comparison, beside arms, text, budget and seeds: how arms are made comparable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from inklings.values import check, check_types

SEEDS = 5
"""Seeds of each arm, where no number is asked for."""
MOST_POINTS = 8
"""The first of eight points has less than a hundredth of the budget."""
MOST_SIZES = 6
"""The smallest of six sizes has a thirtieth of the parameters."""


@dataclass(frozen=True, kw_only=True)
class AboutSetting:
    """Facts about a setting of a comparison, beside its value."""

    title: str
    """Its title in messages, after "the"."""
    fact: tuple[str, Callable[[Any], str]] | None = None
    """Heading and value among the facts of a report, where it is not at its default."""
    may_change: bool = False
    """Whether a comparison that is begun may go on with another value."""


def setting(
    default: Any,
    title: str,
    *,
    fact: tuple[str, Callable[[Any], str]] | None = None,
    may_change: bool = False,
) -> Any:
    """Make a field of `ComparisonMethod`.

    Args:
        default: its default.
        title: its title in messages, after "the".
        fact: heading and format for a reader of figures; None where they need not know it.
        may_change: whether a comparison goes on with another value.
    """
    about = AboutSetting(title=title, fact=fact, may_change=may_change)
    return field(default=default, metadata={"about": about})


def shares_in_words(points: int) -> str:
    """Return the moments of a budget, as in `1/4, 1/2 and all`."""
    return f"{', '.join(f'1/{2**i}' for i in range(points - 1, 0, -1))} and all"


@dataclass(frozen=True, kw_only=True)
class ComparisonMethod:
    """Settings that the request and the plan of a comparison share.

    The defaults take every arm as it is given and score it once, at the end of its budget.
    """

    points: int = setting(
        1,
        "points of the budget",
        fact=("Decayed and scored at", lambda points: f"{shares_in_words(points)} of the budget"),
    )
    """At how many shares of its budget each trained arm is decayed and scored: 4 are 1/8, 1/4, 1/2
    and all of it, so that one comparison serves several budgets of tokens, FLOPs and time.
    """
    parameters: int | Literal["auto"] | None = setting(
        None,
        "parameters that arms are brought to",
        fact=("Size", lambda parameters: f"{parameters:,} parameters without embedding"),
    )
    """Bring every trained arm to so many parameters, embedding and head aside, or with `auto` to
    those of the first one; fields that an arm names stay as they are.
    """
    rates: int = setting(
        0,
        "learning rates tried",
        fact=("Learning rates", lambda rates: f"{rates} tried for each arm"),
    )
    """How many learning rates are tried for each arm, at the whole budget, before it is trained
    with the best; 0 tries none.
    """
    sizes: int = setting(1, "sizes of each arm")
    """At how many sizes each arm is trained: its own, half of it, half of that, and so on. The
    smaller ones are not ranked; they tell how each gains by size, and what more compute would
    bring.
    """
    probes: bool = setting(False, "probes", may_change=True)
    """Let small tasks tell what each architecture is able to do: copying, induction, associative
    recall.
    """


@dataclass(frozen=True, kw_only=True)
class Method(ComparisonMethod):
    """How a comparison makes its arms comparable, beside arms, text, budget and seeds.

    The flags of `inklings compare` are made of these fields.
    """

    floor: bool = False
    """Count n-grams as a baseline where no arm counts; what they get is shown, not ranked."""
    samples: int | None = None
    """Let every run write so many samples and compare them with the held-out text too; None is 3000
    or as many as it has documents, if less, where an arm has no likelihood, and otherwise none.
    """

    def __post_init__(self) -> None:
        check_types(self)
        check(
            self,
            "points",
            1 <= self.points <= MOST_POINTS,
            f"1 to {MOST_POINTS}; 4 scores at 1/8, 1/4, 1/2 and all of the budget",
        )
        check(
            self,
            "parameters",
            not isinstance(self.parameters, int) or self.parameters >= 1,
            "a number above 0, 'auto', or None",
        )
        check(
            self,
            "sizes",
            1 <= self.sizes <= MOST_SIZES,
            f"1 to {MOST_SIZES}; 4 trains each arm at 1/8, 1/4, 1/2 and all of its size",
        )
        check(
            self,
            "rates",
            self.rates >= 0,
            "0 (learning rates as they are) or how many are tried, such as 5",
        )
        check(
            self,
            "samples",
            self.samples is None or self.samples >= 0,
            "None, 0 for none, or how many, such as 3000",
        )


USUAL = Method(points=4, rates=5, floor=True)
"""The method where none is asked for: each arm with a learning rate of its own, beside a baseline,
at four budgets in one.
"""


def method_of(settings: ComparisonMethod) -> dict[str, Any]:
    """Return the settings by name."""
    return {f.name: getattr(settings, f.name) for f in fields(ComparisonMethod)}


def differing_settings(
    one: ComparisonMethod, other: ComparisonMethod
) -> list[tuple[str, Any, Any]]:
    """Return title and both values of each setting that differs and may not."""
    return [
        (f.metadata["about"].title, getattr(one, f.name), getattr(other, f.name))
        for f in fields(ComparisonMethod)
        if not f.metadata["about"].may_change and getattr(one, f.name) != getattr(other, f.name)
    ]


def setting_facts(settings: ComparisonMethod) -> list[tuple[str, str]]:
    """Return heading and value of each setting that a reader of figures must know."""
    found = []
    for f in fields(ComparisonMethod):
        value, fact = getattr(settings, f.name), f.metadata["about"].fact
        if fact is not None and value != f.default:
            found.append((fact[0], fact[1](value)))
    return found
