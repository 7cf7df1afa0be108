"""Results of a comparison of sizes: plain figures, as a comparison keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from inklings.lab.scaling.power_law import PowerLaw


@dataclass(frozen=True, kw_only=True)
class SizedRun:
    """One (arm, size, seed) with the losses at its decayed points."""

    arm: str
    size: int
    """Parameters, neither embedding nor head among them."""
    seed: int
    points: list[tuple[float, float]]
    """FLOPs of training up to the point, and the loss there."""


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """A point of the frontier: no size reached a loss as low for less compute."""

    flops: float
    loss: float
    """Mean over the seeds (of the logarithm)."""
    size: int
    """The one that is best at this compute."""


@dataclass(frozen=True, kw_only=True)
class LinePoint:
    """The fitted law at one amount of compute."""

    flops: float
    loss: float
    low: float | None
    high: float | None
    """95%, from resampling the runs of each size."""


@dataclass(frozen=True, kw_only=True)
class ArmScaling:
    """The sizes of one arm: its frontier and its law."""

    arm: str
    runs: list[SizedRun]
    frontier: list[Optimum]
    """Points of the frontier, by compute."""
    law: PowerLaw | None
    """Law of the frontier's loss against FLOPs; None where the frontier has one point."""
    size_law: PowerLaw | None
    """Law of the loss at each size's largest budget against its parameters; None where there is one
    size.
    """
    line: list[LinePoint]
    """`law`, from the frontier's first point to the furthest extrapolation."""
    miss: float | None
    """Measured over predicted loss, less 1, at the frontier's last point, by the law of the others;
    None where these are too few.
    """


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The loss that an arm's law predicts for more compute than was spent."""

    arm: str
    loss: float
    low: float | None
    high: float | None
    probability: float | None
    """Share of the resamples in which it is the best of the arms; None where an arm has a size with
    one seed.
    """


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """All arms at a multiple of the largest compute that all of them were given."""

    factor: int
    flops: float
    forecasts: list[Forecast]
    """Predictions, the best first."""
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """All arms, their laws, and the predictions of these for more compute."""

    arms: list[ArmScaling]
    common_flops: float | None
    """The largest compute that all arms were given; None where no arm has a law."""
    extrapolations: list[Extrapolation]
    notes: list[str]
    """What the runs could not tell, in sentences."""
