"""Several sizes of each arm: the law of its losses, the best size for its compute, predictions.

A prediction for more compute than was spent is an extrapolation, and every sentence of it begins by
saying so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from inklings.errors import ConfigError
from inklings.lab.scaling.power_law import FEW, PowerLaw, fit_power_law, losses_at, search
from inklings.lab.scaling.result import (
    ArmScaling,
    Extrapolation,
    Forecast,
    LinePoint,
    Optimum,
    Scaling,
    SizedRun,
)

FACTORS = (10, 100)
"""Multiples of the largest compute that all arms were given, for the predictions."""
SURE = 0.95
"""Least probability of a lead at which it is claimed."""
RESAMPLES = 400
GRID = 60
"""Points of a fitted line."""
MARK = "Extrapolated, not measured"


@dataclass(frozen=True)
class _Size:
    """The runs of one size, at the points that all of them have."""

    size: int
    flops: Float[np.ndarray, " P"]
    logs: Float[np.ndarray, "S P"]
    """Logarithms of the losses, a row for each seed."""


def frontier(points: Iterable[tuple[int, float, float]]) -> list[Optimum]:
    """Return the lower envelope of (size, FLOPs, loss).

    What reached its loss for the least compute, by compute.
    """
    found: list[Optimum] = []
    for flops, loss, size in sorted((flops, loss, size) for size, flops, loss in points):
        if not found or loss < found[-1].loss:
            found.append(Optimum(flops=flops, loss=loss, size=size))
    return found


def scale(runs: Sequence[SizedRun], *, seed: int = 0) -> Scaling:
    """Fit every arm, and say which would lead with more compute, and how sure that is.

    A law is fitted to the frontier of an arm's means over seeds. Its intervals come from resampling
    the runs of each size, a run with all its points. Deviations are widened: by sqrt(n / (n - 1)),
    as the mean of n runs is their own, and by Student's factor, as so few tell their spread. That
    is how far other seeds would have moved the law. It is not whether the law holds out there: for
    that there is only `miss`. A lead is claimed if it has a probability of `SURE` and is greater
    than what either law missed of its own last point.

    Args:
        runs: of all arms, in the order in which these are to be named.
        seed: of the resampling.

    Raises:
        ConfigError: a run has no points, a value is not a positive finite number, or the runs of a
            size have no compute in common.
    """
    by_arm: dict[str, list[SizedRun]] = defaultdict(list)
    for run in runs:
        _check(run)
        by_arm[run.arm].append(run)
    sizes = {arm: _sizes(of_arm) for arm, of_arm in by_arm.items()}
    fronts = {
        arm: _front(of_arm, [size.logs.mean(axis=0) for size in of_arm])
        for arm, of_arm in sizes.items()
    }
    largest = {
        arm: max(float(size.flops.max()) for size in of_arm) for arm, of_arm in sizes.items()
    }
    common = min((largest[arm] for arm, front in fronts.items() if len(front) > 1), default=None)
    arms, drawn = [], {}
    for number, (arm, of_arm) in enumerate(sizes.items()):
        grid = np.geomspace(fronts[arm][0].flops, max(FACTORS) * (common or 1.0), GRID)
        beyond = np.array([factor * (common or 1.0) for factor in FACTORS])
        fitted, drawn[arm] = _fit(
            arm,
            by_arm[arm],
            of_arm,
            fronts[arm],
            grid,
            beyond,
            np.random.default_rng((seed, number)),
        )
        arms.append(fitted)
    extrapolations = (
        []
        if common is None
        else [
            _extrapolate(arms, drawn, place, factor * common)
            for place, factor in enumerate(FACTORS)
        ]
    )
    return Scaling(
        arms=arms, common_flops=common, extrapolations=extrapolations, notes=_notes(arms, sizes)
    )


def _check(run: SizedRun) -> None:
    values = np.array(run.points, dtype=np.float64)
    if not values.size or not (np.isfinite(values).all() and (values > 0).all()):
        raise ConfigError(
            f"{run.arm} with {run.size:,} parameters, seed {run.seed}: every run needs points of"
            " positive finite FLOPs and loss."
        )


def _sizes(runs: Sequence[SizedRun]) -> list[_Size]:
    """Return the runs of an arm by size, smallest first."""
    by_size: dict[int, list[dict[float, float]]] = defaultdict(list)
    for run in runs:
        by_size[run.size].append(dict(run.points))
    sizes = []
    for size, of_size in sorted(by_size.items()):
        shared = sorted(set(of_size[0]).intersection(*of_size[1:]))
        if not shared:
            raise ConfigError(
                f"{runs[0].arm}: the runs with {size:,} parameters have no amount of compute in"
                " common, so they have no mean."
            )
        sizes.append(
            _Size(
                size,
                np.array(shared),
                np.log([[points[flops] for flops in shared] for points in of_size]),
            )
        )
    return sizes


def _front(sizes: Sequence[_Size], logs: Sequence[Float[np.ndarray, " _"]]) -> list[Optimum]:
    """Return the frontier of one value for each point of each size."""
    return frontier(
        (size.size, float(flops), float(np.exp(log)))
        for size, values in zip(sizes, logs, strict=True)
        for flops, log in zip(size.flops, values, strict=True)
    )


def _widening(sizes: Sequence[_Size]) -> list[float]:
    """Return by how much the deviation of each size's resampled mean is widened (see `scale`)."""
    from scipy import stats

    freedom = sum(len(size.logs) - 1 for size in sizes)
    student = float(stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975))
    return [student * (len(size.logs) / (len(size.logs) - 1)) ** 0.5 for size in sizes]


def _resampled(
    sizes: Sequence[_Size], widening: Sequence[float], random: np.random.Generator
) -> list[Float[np.ndarray, " _"]]:
    """Return means over as many runs of each size, drawn with replacement."""
    means = []
    for size, wide in zip(sizes, widening, strict=True):
        count, mean = len(size.logs), size.logs.mean(axis=0)
        means.append(
            mean + wide * (size.logs[random.integers(count, size=count)].mean(axis=0) - mean)
        )
    return means


def _fit(
    arm: str,
    runs: list[SizedRun],
    sizes: Sequence[_Size],
    front: list[Optimum],
    grid: Float[np.ndarray, " G"],
    beyond: Float[np.ndarray, " F"],
    random: np.random.Generator,
) -> tuple[ArmScaling, Float[np.ndarray, "F R"] | None]:
    """Fit an arm's laws, and return what those of its resamples predict.

    None where nothing can be resampled.
    """
    lasts = [(float(size.size), float(np.exp(size.logs[:, -1].mean()))) for size in sizes]
    size_law = fit_power_law(*zip(*lasts, strict=True)) if len(lasts) > 1 else None
    if len(front) < 2:
        return (
            ArmScaling(
                arm=arm, runs=runs, frontier=front, law=None, size_law=size_law, line=[], miss=None
            ),
            None,
        )
    few = len(sizes) <= FEW
    with_floor = len(front) > FEW and not few
    law = _law(front, few)
    values = [law.at(float(flops)) for flops in grid]
    drawn: Float[np.ndarray, "F R"] | None = None
    ends: list[tuple[float | None, float | None]] = [(None, None)] * len(grid)
    if all(len(size.logs) > 1 for size in sizes):
        _, start = search(*_axes(front), with_floor=with_floor)
        wide = _widening(sizes)
        fronts = (_front(sizes, _resampled(sizes, wide, random)) for _ in range(RESAMPLES))
        laws = [search(*_axes(redrawn), with_floor=with_floor, near=start) for redrawn in fronts]
        at_grid = np.stack(
            [losses_at(center, parameters, grid) for center, parameters in laws], axis=1
        )
        drawn = np.stack(
            [losses_at(center, parameters, beyond) for center, parameters in laws], axis=1
        )
        ends = [_interval(row) for row in at_grid]
        law = replace(
            law,
            floor_interval=(
                _interval(np.array([parameters[0] for _, parameters in laws]))
                if with_floor
                else None
            ),
            exponent_interval=_interval(np.array([parameters[2] for _, parameters in laws])),
        )
    line = [
        LinePoint(flops=float(x), loss=y, low=low, high=high)
        for x, y, (low, high) in zip(grid, values, ends, strict=True)
    ]
    miss = (
        front[-1].loss / _law(front[:-1], few).at(front[-1].flops) - 1 if len(front) > 3 else None
    )
    return (
        ArmScaling(
            arm=arm, runs=runs, frontier=front, law=law, size_law=size_law, line=line, miss=miss
        ),
        drawn,
    )


def _axes(front: Sequence[Optimum]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    return np.array([point.flops for point in front]), np.array([point.loss for point in front])


def _law(front: Sequence[Optimum], few_sizes: bool) -> PowerLaw:
    return fit_power_law(
        [point.flops for point in front], [point.loss for point in front], few_sizes=few_sizes
    )


def _interval(values: Float[np.ndarray, " R"]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _extrapolate(
    arms: Sequence[ArmScaling],
    drawn: Mapping[str, Float[np.ndarray, "F R"] | None],
    place: int,
    flops: float,
) -> Extrapolation:
    """Return all arms that have a law, at one amount of compute."""
    laws = {arm.arm: arm.law for arm in arms if arm.law is not None}
    values = {arm: row[place] for arm, row in drawn.items() if row is not None}
    shares: dict[str, float] = {}
    if len(values) == len(laws):
        best = np.argmin(np.stack(list(values.values())), axis=0)
        shares = {arm: float((best == number).mean()) for number, arm in enumerate(values)}
    forecasts = []
    for arm, law in laws.items():
        low, high = _interval(values[arm]) if arm in values else (None, None)
        forecasts.append(
            Forecast(arm=arm, loss=law.at(flops), low=low, high=high, probability=shares.get(arm))
        )
    forecasts.sort(key=lambda forecast: (forecast.loss, forecast.arm))
    misses = {arm.arm: arm.miss for arm in arms}
    sentence = _sentence(FACTORS[place], flops, forecasts, misses)
    return Extrapolation(factor=FACTORS[place], flops=flops, forecasts=forecasts, sentence=sentence)


def _sentence(
    factor: int, flops: float, forecasts: Sequence[Forecast], misses: Mapping[str, float | None]
) -> str:
    """Return what is claimed, or why nothing is."""
    opening = f"{MARK}: at {factor} times the compute ({flops:.2g} FLOPs)"
    first = forecasts[0]
    if len(forecasts) == 1:
        return f"{opening} {first.arm} would come to {_figure(first)}."
    second = forecasts[1]
    lead = f"{first.arm} with {_figure(first)} before {second.arm} with {_figure(second)}"
    likeliest = max(forecasts, key=lambda forecast: forecast.probability or 0.0)
    if likeliest.probability is None:
        return (
            f"{opening} the fitted laws put {lead}; an arm with one seed a size does not tell how"
            " sure that is: no claim."
        )
    claim = (
        f"{opening} {likeliest.arm} would lead with probability {_share(likeliest.probability)}"
        f" ({lead})"
    )
    if likeliest.probability < SURE:
        return f"{claim}: no claim."
    for arm in (first.arm, second.arm):
        miss = misses[arm]
        if miss is None:
            return (
                f"{claim}, but {arm} has too few points to try its law on one that was measured: no"
                " claim."
            )
        if abs(miss) * first.loss > second.loss - first.loss:
            return (
                f"{claim}, but the law of {arm} misses its own last point by {abs(miss):.1%}, more"
                " than the lead: no claim."
            )
    return f"{claim}."


def _figure(forecast: Forecast) -> str:
    if forecast.low is None or forecast.high is None:
        return f"{forecast.loss:.3f}"
    return f"{forecast.loss:.3f} [{forecast.low:.3f}, {forecast.high:.3f}]"


def _share(probability: float) -> str:
    return (
        f"{probability:.2f}" if probability < 0.995 else "above 0.99"
    )  # of so few resamples, none is certain


def _notes(arms: Sequence[ArmScaling], sizes: Mapping[str, Sequence[_Size]]) -> list[str]:
    """Return what the runs could not tell, arm by arm."""
    notes = []
    for arm in arms:
        if arm.law is None:
            notes.append(
                f"{arm.arm}: one point of the frontier makes no law. More sizes or more points do."
            )
        elif arm.law.note is not None:
            notes.append(f"{arm.arm}: {arm.law.note}.")
        single = [f"{size.size:,}" for size in sizes[arm.arm] if len(size.logs) == 1]
        if single:
            notes.append(
                f"{arm.arm}: one seed with {', '.join(single)} parameters, so its law has no"
                " interval."
            )
    return notes
