"""The plan of a comparison: its arms, seeds and budget, and how samples are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inklings.lab.comparison.settings import ComparisonMethod


@dataclass(frozen=True, kw_only=True)
class ArmPlan:
    """One contestant: a configuration to train, or an existing run to evaluate."""

    label: str
    config: dict[str, Any] | None = None
    """The whole run configuration, seed aside; None for an existing run."""
    run: str | None = None
    """The path of the existing run; None for an arm that is trained here."""
    steps: int | None = None
    """What the budget pays for; None where nothing is trained."""
    copy: int = 0
    """How many arms before it are the same: it differs from them in its first weights alone."""


@dataclass(frozen=True, kw_only=True)
class SamplePlan:
    """How the samples of all runs are drawn and compared."""

    samples: int
    """How many of each run; fewer where the text has fewer documents to compare with."""
    windows: int | None = None
    """Tokens of a window, where an arm writes windows instead of documents."""


@dataclass(frozen=True, kw_only=True)
class Plan(ComparisonMethod):
    """What was asked for: a later call with the same plan goes on with the comparison."""

    arms: list[ArmPlan]
    seeds: list[int]
    data: dict[str, Any]
    """The data configuration that all arms share."""
    budget: str | None
    """What each trained arm gets; None if nothing is trained."""
    parameters: int | None = None
    """To what size arms were brought; None where they have the sizes that they were given."""
    samples: SamplePlan | None = None
    """None if no samples are compared."""
