"""Results of a search for a learning rate: plain figures, for the plan, the disk and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class RateTrial:
    """One factor on the learning rates of an arm, tried with a seed that no ranked run has."""

    factor: float
    """On all learning rates that the arm has."""
    status: Literal["done", "pruned", "failed"]
    """`pruned`: given up early, because others did better at the same moment. `failed`: it
    diverged, or could not be trained.
    """
    losses: list[float]
    """Validation loss at each evaluation, evenly spread over the budget; nats per token."""
    message: str | None = None
    """Why the trial failed."""

    @property
    def loss(self) -> float | None:
        """At the end of the budget; None where the trial did not get there."""
        return self.losses[-1] if self.status == "done" else None


@dataclass(frozen=True, kw_only=True)
class RateSearch:
    """All factors that were tried, in their order, and the chosen one."""

    trials: list[RateTrial]
    factor: float
    """Factor of the lowest validation loss; 1 where none was found."""
    message: str | None = None
    """Why none was found: the arm has the rates of its settings then."""
