"""The power law that losses follow as compute or size grows: L = E + A C^-alpha.

It is fitted to a few points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from inklings.errors import ConfigError

HUBER = 0.01
"""Residual of the logarithm (about a relative one) from which a point counts by its size and not by
its square.
"""
FEW = 3
"""With at most this many points or sizes, an irreducible loss cannot be told from a small exponent.
"""
EXPONENTS = (1e-4, 5.0)
"""The range in which an exponent is searched; one at an end was not found."""
FLOORS = (0.0, 0.5, 0.9)
"""Starts of the search, as shares of the lowest loss."""

Parameters = Float[np.ndarray, "3"]
"""Irreducible loss, the logarithm of the part above it at the geometric mean of the compute,
exponent.
"""


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """L = E + A C^-alpha, in the unit of the losses that it was fitted to."""

    floor: float
    """E: what no compute takes away."""
    coefficient: float
    """The coefficient A."""
    exponent: float
    """The exponent alpha."""
    points: int
    floor_interval: tuple[float, float] | None = None
    """95%, from resampling the runs; None where each size has one, or E was set."""
    exponent_interval: tuple[float, float] | None = None
    note: str | None = None
    """What the points could not tell."""

    def at(self, compute: float) -> float:
        """Return the loss that the law gives."""
        return float(self.floor + self.coefficient * compute**-self.exponent)


def fit_power_law(
    compute: Sequence[float], loss: Sequence[float], *, few_sizes: bool = False
) -> PowerLaw:
    """Fit the law to points, by Huber's loss of the logarithms' residuals, from several starts.

    With three different amounts of compute or fewer, or with `few_sizes`, E is set to 0 and the
    note says so. Sources: Kaplan et al. 2020; Hoffmann et al. 2022, appendix D.3 (whose threshold
    is smaller: they had hundreds of runs, and with a few points so small a threshold keeps whatever
    the law happens to pass through).

    Args:
        compute: FLOPs, or parameters: anything that grows.
        loss: as many, in nats per token or bits per byte.
        few_sizes: whether the points come from too few sizes to tell a floor, however many they
            are.

    Raises:
        ConfigError: the values are not positive and finite, not as many of both, or of one amount
            of compute only.
    """
    c, y = np.asarray(compute, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    if c.shape != y.shape or c.ndim != 1:
        raise ConfigError(
            f"{c.size} amounts of compute and {y.size} losses; give one loss for each amount."
        )
    if not (np.isfinite(c).all() and np.isfinite(y).all() and (c > 0).all() and (y > 0).all()):
        raise ConfigError(
            "an amount of compute or a loss is not a positive finite number; no power law goes"
            " through such a point."
        )
    amounts = len(np.unique(c))
    if amounts < 2:
        raise ConfigError(
            f"all {c.size} points have one amount of compute; a law needs two at least."
        )
    with_floor = amounts > FEW and not few_sizes
    center, parameters = search(c, y, with_floor=with_floor)
    floor, height, exponent = parameters.tolist()
    notes = []
    if not with_floor:
        what = "these sizes are" if few_sizes else f"{amounts} points are"
        notes.append(
            f"{what} too few to tell the irreducible loss: E is set to 0, so the law lets the loss"
            " fall for ever"
        )
    if not EXPONENTS[0] * 1.01 < exponent < EXPONENTS[1] * 0.99:
        notes.append("the points do not tell the exponent")
    coefficient = float(np.exp(height + exponent * center))
    return PowerLaw(
        floor=floor,
        coefficient=coefficient,
        exponent=exponent,
        points=c.size,
        note="; ".join(notes) or None,
    )


def search(
    compute: Float[np.ndarray, " n"],
    loss: Float[np.ndarray, " n"],
    *,
    with_floor: bool,
    near: Parameters | None = None,
) -> tuple[float, Parameters]:
    """Return the mean logarithm of the compute, and the parameters of the best fit.

    Args:
        compute: of each point.
        loss: of each point.
        with_floor: whether E is fitted; otherwise it is 0.
        near: begin from these parameters only; None begins from several.
    """
    from scipy.optimize import least_squares  # takes half a second to import

    center = float(np.log(compute).mean())
    x, y = np.log(compute) - center, np.log(loss)
    lowest = float(loss.min())
    free = slice(0 if with_floor else 1, 3)

    def whole(parameters: np.ndarray) -> np.ndarray:
        return parameters if with_floor else np.array([0.0, *parameters])

    def residuals(parameters: np.ndarray) -> np.ndarray:
        apart: np.ndarray = np.log(losses_at(center, whole(parameters), compute)) - y
        return apart

    def slopes(parameters: np.ndarray) -> np.ndarray:
        floor, height, exponent = whole(parameters)
        above = np.exp(height - exponent * x)
        columns: np.ndarray = np.stack([np.ones_like(x), above, -x * above]) / (floor + above)
        return columns[free].T

    low, high = np.array([0.0, -np.inf, EXPONENTS[0]]), np.array([lowest, np.inf, EXPONENTS[1]])
    starts = (
        [_line(x, loss, share * lowest) for share in (FLOORS if with_floor else FLOORS[:1])]
        if near is None
        else [near]
    )
    margin = np.array([1e-9 * lowest, 0.0, 1e-9])  # a search may not begin on a bound
    inside = [np.clip(start, low + margin, high - margin) for start in starts]
    bounds = (low[free], high[free])
    found = [
        least_squares(
            residuals, start[free], jac=slopes, bounds=bounds, loss="huber", f_scale=HUBER
        )
        for start in inside
    ]
    return center, whole(min(found, key=lambda fit: float(fit.cost)).x)


def losses_at(
    center: float, parameters: Parameters, compute: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """Return what the law of `search` predicts at amounts of compute.

    Args:
        center: the mean logarithm of the compute.
        parameters: of the fit.
        compute: the amounts.
    """
    floor, height, exponent = parameters
    losses: Float[np.ndarray, " m"] = floor + np.exp(height - exponent * (np.log(compute) - center))
    return losses


def _line(x: Float[np.ndarray, " n"], loss: Float[np.ndarray, " n"], floor: float) -> Parameters:
    """Return the straight line through the logarithms of what lies above a floor."""
    slope, height = np.polyfit(x, np.log(loss - floor), 1)
    return np.array([floor, height, np.clip(-slope, *EXPONENTS)])
