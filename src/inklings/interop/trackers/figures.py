"""The numbers of an event by the names that trackers show them under: `train/loss` and so on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

PREFIXES = {"step": "train", "evaluation": "evaluation", "result": "held_out"}
"""What the figures of an event are called, by its kind."""
NO_FIGURES = {"step", "seed", "factor"}
"""Numbers of an event that say where it stands, and measure nothing."""


def figures_of(event: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of an event by name; none of an event that brings no figures."""
    prefix = PREFIXES.get(event["event"])
    if prefix is None:
        return {}
    return {
        f"{prefix}/{name}": float(value)
        for name, value in event.items()
        if name not in NO_FIGURES
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }
