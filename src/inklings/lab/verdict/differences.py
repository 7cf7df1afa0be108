"""Differences between two arms, and whether they may be claimed. "No claim" is the default.

The seed is the unit of evidence: with two seeds or more, differences are tested by a paired t over
the seeds that both arms have, corrected by Holm for all pairs. From 6 seeds on the sign-flip test
must agree, uncorrected. With one, documents are resampled: that tells how sure the figures of these
very runs are, and nothing about another start of the same architecture; it is weaker evidence, and
says so.

All seeds are scored on one held-out text, and more seeds do not make it longer. If its documents
happen to favour an arm, they do so in every seed's difference alike, so that a test over seeds
takes it for a property of the arm: on this text it is one. A claim must therefore hold with that
error added too (`any_text`); one that does not is "better on this text".

Why both tests: t takes the seeds' differences for normal, the sign flips for symmetric only, so a
claim that rests on the tails of a normal distribution is not made. Fewer than 6 seeds cannot reach
p < 0.05 by signs: 2 / 2^5 is 0.0625. And the flips are not corrected for the number of pairs
because then hardly any number of seeds could: with 10 pairs, 9 at least. Holm's correction of t
alone bounds how often anything is claimed wrongly; the flips only take claims away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from inklings.evaluation.likelihood.units import UnitSums
from inklings.evaluation.power import detectable, least_significant
from inklings.evaluation.statistics import (
    FLIPS_FROM,
    LEVEL,
    Interval,
    PairedTest,
    holm,
    paired_bootstrap,
    paired_t,
    shared_error_p,
    sign_flip,
)
from inklings.lab.comparison.result import ArmResult, Difference, RunResult, ranked_arms, run_value


@dataclass(frozen=True)
class ResamplingUnits:
    """What can be resampled of a scored run."""

    kind: Literal["documents", "blocks"]
    """Blocks of 2 KiB of text where there are few documents."""
    sums: UnitSums


UnitsOf = Callable[[RunResult], ResamplingUnits]


def find_differences(
    arms: Sequence[ArmResult], *, unit: str, units_of: UnitsOf
) -> list[Difference]:
    """Return the difference of every pair of scored arms, the better ones first.

    Holm's correction is over all pairs that are tested over seeds.

    Args:
        arms: all arms.
        unit: of the ranking, "nats per token" or "bits per byte".
        units_of: gives the documents or blocks of a run.
    """
    pairs = combinations(ranked_arms(arms, unit), 2)
    return corrected(
        [
            over_seeds(a, b, unit, units_of) or _over_documents(a, b, unit, units_of)
            for a, b in pairs
        ]
    )


def corrected(found: Sequence[Difference]) -> list[Difference]:
    """Correct the differences by Holm for all that were tested.

    Each says what may be claimed, and what could have been.
    """
    p_values = holm([difference.p for difference in found if difference.p is not None])
    any_text = holm(
        [difference.any_text for difference in found if difference.any_text is not None]
    )
    tests, of_seeds, of_texts = len(p_values), iter(p_values), iter(any_text)
    return [
        (
            _judged(
                difference,
                next(of_seeds),
                None if difference.any_text is None else next(of_texts),
                tests,
            )
            if difference.p is not None
            else difference
        )
        for difference in found
    ]


def _judged(difference: Difference, p: float, any_text: float | None, tests: int) -> Difference:
    finding: Literal["better", "better on this text", "no claim"] = "no claim"
    if p < LEVEL and difference.mean > 0 and (difference.flips is None or difference.flips < LEVEL):
        finding = "better" if any_text is None or any_text < LEVEL else "better on this text"
    assert difference.detectable is not None, "what is tested over seeds has a spread"
    shown = (
        difference.detectable
        * detectable(difference.count, tests=tests)
        / detectable(difference.count)
    )
    return replace(difference, p=p, any_text=any_text, detectable=shown, finding=finding)


def spread_of(difference: Difference) -> float:
    """Return the standard deviation of the paired differences behind a tested difference."""
    assert difference.low is not None and difference.high is not None, (
        "over seeds there is always an interval"
    )
    # Without correction a mean is significant where its interval ends at zero.
    return (difference.high - difference.low) / 2 / least_significant(difference.count)


def paired_runs(
    a: ArmResult,
    b: ArmResult,
    runs_of: Callable[[ArmResult], list[RunResult]] = lambda arm: arm.done,
) -> list[tuple[RunResult, RunResult]]:
    """Pair the runs of two arms by seed; a counted run is paired with every seed.

    Args:
        a: an arm.
        b: the other arm.
        runs_of: gives the runs of an arm.
    """
    of_a, of_b = runs_of(a), runs_of(b)
    if a.kind == "counted" and b.kind == "trained":
        return [(of_a[0], run) for run in of_b]
    if b.kind == "counted" and a.kind == "trained":
        return [(run, of_b[0]) for run in of_a]
    if a.kind == b.kind == "trained":
        by_seed = {run.seed: run for run in of_b}
        return [(run, by_seed[run.seed]) for run in of_a if run.seed in by_seed]
    return []


def over_seeds(a: ArmResult, b: ArmResult, unit: str, units_of: UnitsOf) -> Difference | None:
    """Return the difference of two arms over paired seeds, p not yet corrected.

    None with fewer than two paired seeds.

    Args:
        a: an arm.
        b: the other arm.
        unit: of the ranking, "nats per token" or "bits per byte".
        units_of: gives the documents or blocks of a run.
    """
    pairs = paired_runs(a, b)
    if len(pairs) < 2:
        return None
    values = [run_value(of_b, unit) - run_value(of_a, unit) for of_a, of_b in pairs]
    found = tested(a, b, values, paired_t(values))
    text = text_variance(pairs, unit, units_of)
    if text is not None:
        whole = math.hypot(spread_of(found), math.sqrt(len(pairs) * text.of_mean))
        p = shared_error_p(values, math.sqrt(text.of_mean), text.units)
        found = replace(found, any_text=p, detectable=whole * detectable(len(pairs)))
    return _sized(found, a, pairs, unit)


@dataclass(frozen=True, kw_only=True)
class TextVariance:
    """The variance of two arms' difference that the choice of held-out documents adds."""

    of_mean: float
    """Variance of the mean over seeds. It holds `of_seed` over the number of seeds, which the
    spread over seeds holds too: so counted twice, it makes up for what the approximate degrees of
    freedom give away.
    """
    of_seed: float
    """Variance of one seed's difference, the part that is that seed's own."""
    units: int
    """Documents, or blocks of text."""


def text_variance(
    pairs: Sequence[tuple[RunResult, RunResult]], unit: str, units_of: UnitsOf
) -> TextVariance | None:
    """Estimate how the difference of two arms depends on which documents were held out.

    None for a single unit. Both figures are ratios of sums over the documents, so variances are
    those of the linearised ratio. The mean over the seeds varies between documents for what the
    arms are, and for what the seeds happened to be; the spread between the seeds within each
    document says how much is the latter.

    Args:
        pairs: runs of the two arms, paired by seed.
        unit: of the ranking, "nats per token" or "bits per byte".
        units_of: gives the documents or blocks of a run.
    """
    sums = [(units_of(of_a).sums, units_of(of_b).sums) for of_a, of_b in pairs]
    first = sums[0][0]
    n, size, scale = (
        len(first),
        *((first.targets, 1.0) if unit == "nats per token" else (first.bytes, 1 / math.log(2))),
    )
    if n < 2:
        return None
    gains = np.stack([(of_b.nats - of_a.nats) * scale for of_a, of_b in sums])
    total = float(size.sum())
    residuals = gains - gains.sum(1, keepdims=True) / total * size
    of_mean = float((residuals.mean(0) ** 2).sum()) / total**2 * n / (n - 1)
    of_seed = float(residuals.var(0, ddof=1).sum()) / total**2 * n / (n - 1)
    return TextVariance(of_mean=of_mean, of_seed=of_seed, units=n)


def tested(a: ArmResult, b: ArmResult, values: Sequence[float], test: PairedTest) -> Difference:
    """Return the difference that a paired test of seeds found; nothing is corrected yet.

    Args:
        a: an arm.
        b: the other arm.
        values: how much lower `a` is, seed by seed.
        test: the t test of these.
    """
    flips = sign_flip(values) if len(values) >= FLIPS_FROM else None
    found = replace(
        difference_of(a, b, test.interval), p=test.p_value, flips=flips, evidence="seeds"
    )
    return replace(found, detectable=spread_of(found) * detectable(len(values)))


def _over_documents(a: ArmResult, b: ArmResult, unit: str, units_of: UnitsOf) -> Difference:
    """Return the difference between one run of each arm, by resampling their shared documents."""
    of_a, of_b = (paired_runs(a, b) or [(a.done[0], b.done[0])])[0]
    units = units_of(of_a)
    left, right = units.sums, units_of(of_b).sums
    size, scale = (left.targets, 1.0) if unit == "nats per token" else (left.bytes, 1 / np.log(2))
    difference = difference_of(a, b, paired_bootstrap(right.nats * scale, left.nats * scale, size))
    clear = difference.low is not None and difference.low > 0
    found = replace(
        difference, evidence=units.kind, finding="better on this text" if clear else "no claim"
    )
    return _sized(found, a, [(of_a, of_b)], unit)


def difference_of(a: ArmResult, b: ArmResult, interval: Interval) -> Difference:
    """Return the difference of two arms, the one with the lower mean as the better.

    A mean over fewer, paired runs may differ in sign.

    Args:
        a: an arm.
        b: the other arm.
        interval: of how much lower `a` is.
    """
    mean, low, high = interval.estimate, interval.low, interval.high
    if mean < 0:
        a, b, mean, low, high = b, a, -mean, -high, -low
    return Difference(
        better=a.label,
        worse=b.label,
        mean=mean,
        low=low if interval.known else None,
        high=high if interval.known else None,
        p=None,
        evidence="documents",
        count=interval.n,
        finding="no claim",
    )


def _sized(
    difference: Difference, a: ArmResult, pairs: Sequence[tuple[RunResult, RunResult]], unit: str
) -> Difference:
    """Return the difference with its size in other measures.

    The pairs are those of `a`, first, and the other arm.
    """
    ordered = pairs if difference.better == a.label else [(of_b, of_a) for of_a, of_b in pairs]
    of_worse = sum(run_value(worse, unit) for _, worse in ordered) / len(ordered)
    bits = [
        w.bits_per_byte - b.bits_per_byte
        for b, w in ordered
        if b.bits_per_byte is not None and w.bits_per_byte is not None
    ]
    return replace(
        difference,
        relative=difference.mean / of_worse if of_worse > 0 else None,
        bits_per_byte=sum(bits) / len(bits) if len(bits) == len(ordered) else None,
    )
