"""What one evaluation in training gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Scores:
    """The figure that weights are chosen by, and the others."""

    loss: float
    """Lower is better: nats per token, or `sample_validation`'s divergence where there is no
    likelihood.
    """
    unit: str = "nats per token"
    figures: dict[str, Any] = field(default_factory=dict)
    """What else goes into the event; a number that is not finite is None."""
