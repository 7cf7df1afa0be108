"""Equal budgets: the trained arms at an equal amount of tokens, of FLOPs, and of time.

Which arm wins may depend on what is held equal.

A run is scored where its learning rate has decayed, at a few points of its budget. Between two
points its loss is taken as linear in the logarithm of the amount; at a point it is the point's own,
exactly. Nothing is taken from beyond the points. Losses fall as a power law does, convex, so that a
line lies a little above them: by 0.0015 nats at most where 0.3 nats are still to be gained, at an
exponent of 0.3, between points a factor of two apart. An arm that is read between its points is at
a disadvantage of that order.

Seconds: a run's own wall clock depends more on what else its machine did than on its seed. So every
run of an arm is given the arm's speed, the median over its runs of seconds for each token, and its
seconds are that times its tokens: all seeds of an arm have one speed, and their losses at an equal
time differ by their seeds alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal

import numpy as np

from inklings.lab.comparison.result import (
    ArmAt,
    ArmResult,
    Difference,
    EqualBudget,
    RunResult,
    ranked_arms,
    run_value,
)
from inklings.lab.verdict.differences import UnitsOf, corrected, over_seeds

Axis = Literal["tokens", "flops", "seconds"]
AXES: tuple[Axis, ...] = ("tokens", "flops", "seconds")


def equal_budgets(arms: Sequence[ArmResult], *, unit: str, units_of: UnitsOf) -> list[EqualBudget]:
    """Return the ranked, trained arms that have points, at an equal amount on each axis.

    The amount is the largest that all runs of these arms reached. Where an arm has spent more than
    that by its first point, no amount serves all; then it is the one that serves most arms, the
    smallest such, and the others are absent. Differences are over all pairs of an axis, paired by
    seed, with Holm's correction within the axis.

    Args:
        arms: all arms of a comparison; others than those named above are passed over.
        unit: of the ranking, "nats per token" or "bits per byte".
        units_of: the documents of a run as `find_differences` takes them; their effect on an arm at
            the end of its training stands for that at any budget.

    Returns:
        One for each axis; none where fewer than two arms have points.
    """
    taking = [arm for arm in ranked_arms(arms, unit) if arm.kind == "trained" and with_points(arm)]
    return [_at_equal(taking, axis, unit, units_of) for axis in AXES] if len(taking) > 1 else []


def with_points(arm: ArmResult) -> list[RunResult]:
    """Return the scored runs of an arm that have points."""
    return [run for run in arm.done if run.points]


def span(arm: ArmResult, axis: Axis) -> tuple[float, float]:
    """Return the first and the last amount that all runs of an arm with points can be read at."""
    costs = [_costs(arm, run, axis) for run in with_points(arm)]
    return max(cost[0] for cost in costs), min(cost[-1] for cost in costs)


def _at_equal(arms: Sequence[ArmResult], axis: Axis, unit: str, units_of: UnitsOf) -> EqualBudget:
    spans = {arm.label: span(arm, axis) for arm in arms}

    def reaching(amount: float) -> int:
        return sum(first <= amount <= last for first, last in spans.values())

    amount = max(
        sorted(last for _, last in spans.values()), key=reaching
    )  # of equals, `max` takes the first: the smallest
    there = ranked_arms(
        [
            _arm_at(arm, axis, amount)
            for arm in arms
            if spans[arm.label][0] <= amount <= spans[arm.label][1]
        ],
        unit,
    )
    found: list[Difference | None] = [
        over_seeds(a, b, unit, units_of) for a, b in combinations(there, 2)
    ]
    return EqualBudget(
        axis=axis,
        amount=amount,
        arms=[
            ArmAt(label=arm.label, values={str(run.seed): run_value(run, unit) for run in arm.runs})
            for arm in there
        ],
        absent=[arm.label for arm in arms if arm.label not in {present.label for present in there}],
        differences=corrected([difference for difference in found if difference is not None]),
    )


def _arm_at(arm: ArmResult, axis: Axis, amount: float) -> ArmResult:
    """Return the arm as it would have been scored at the amount."""
    return replace(
        arm, runs=[_run_at(run, _costs(arm, run, axis), amount) for run in with_points(arm)]
    )


def _run_at(run: RunResult, costs: Sequence[float], amount: float) -> RunResult:
    losses = [point.loss for point in run.points]
    bits = [point.bits_per_byte for point in run.points if point.bits_per_byte is not None]
    known = len(bits) == len(losses)
    return replace(
        run,
        loss=_between(costs, losses, amount),
        bits_per_byte=_between(costs, bits, amount) if known else None,
    )


def _between(costs: Sequence[float], values: Sequence[float], amount: float) -> float:
    return float(np.interp(0.0, np.log(np.array(costs) / amount), values))


def _costs(arm: ArmResult, run: RunResult, axis: Axis) -> list[float]:
    """Return the cost of a run up to each of its points."""
    if axis == "tokens":
        return [float(point.tokens) for point in run.points]
    if axis == "flops":
        return [float(point.flops) for point in run.points]
    speed = float(
        np.median([run.points[-1].seconds / run.points[-1].tokens for run in with_points(arm)])
    )
    return [speed * point.tokens for point in run.points]
