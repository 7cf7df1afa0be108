"""The verdict on samples: which arm writes better, and how sure that is.

It is by reverse likelihood, the best single figure, with the seed as the unit. One run of each arm
carries no claim about architectures, whatever the intervals over its samples say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from inklings.evaluation.samples.calibration import PLACED, Calibration
from inklings.evaluation.samples.metric import METRICS
from inklings.evaluation.samples.reference_models import REVERSE_GROUPS
from inklings.evaluation.statistics import Interval, PairedTest, paired_t
from inklings.lab.comparison.result import ArmResult, Difference, RunResult, Verdict
from inklings.lab.comparison.run_samples import Measured
from inklings.lab.verdict.differences import corrected, difference_of, paired_runs, tested
from inklings.lab.verdict.wording import other_of, say_evidence, say_half_width, say_list

UNIT = "nats of reverse likelihood"


def sampled_arms(arms: Sequence[ArmResult]) -> list[ArmResult]:
    """Return the arms that may be compared by their samples, the best first; ties by name.

    An arm whose loss is no measure of it still counts; one without likelihood that fails its audit
    does not.
    """
    able = [arm for arm in arms if arm.measured and not (arm.likelihood_free and arm.dishonest)]
    return sorted(able, key=lambda arm: (mean_figure(arm, "reverse"), arm.label))


def mean_figure(arm: ArmResult, metric: str) -> float:
    """Return the mean of a metric over an arm's measured runs."""
    return sum(_figure(run, metric) for run in arm.measured) / len(arm.measured)


def _figure(run: RunResult, metric: str) -> float:
    assert run.samples is not None
    return run.samples.values[metric]


def find_sample_differences(arms: Sequence[ArmResult], measured: Measured) -> list[Difference]:
    """Return every pair of measured arms, the better ones first.

    Holm's correction is over all pairs that are tested over seeds.
    """
    pairs = combinations(sampled_arms(arms), 2)
    return corrected(
        [_over_seeds(a, b, measured) or _over_samples(a, b, measured) for a, b in pairs]
    )


def _over_seeds(a: ArmResult, b: ArmResult, measured: Measured) -> Difference | None:
    """Return the difference as seeds tell it, p not yet corrected.

    None with fewer than two paired seeds.
    """
    pairs = paired_runs(a, b, lambda arm: arm.measured)
    if len(pairs) < 2:
        return None
    values = [_figure(of_b, "reverse") - _figure(of_a, "reverse") for of_a, of_b in pairs]
    test = paired_t(values)
    counted = next((arm for arm in (a, b) if arm.kind == "counted"), None)
    if counted is not None:
        test = _with_draws(test, _reverse(counted, counted.measured[0], measured))
    return tested(a, b, values, test)


def _with_draws(test: PairedTest, counted: Interval) -> PairedTest:
    """Add to the test the uncertainty of a counted arm's draws.

    One set of them is in all pairs, so seeds do not show it.
    """
    from scipy import (
        stats,
    )  # takes half a second, which a comparison without samples should not pay

    interval, degrees = test.interval, test.interval.n - 1
    quantile = float(stats.t.ppf((1 + interval.confidence) / 2, degrees))
    draws = _half(counted) / float(stats.t.ppf((1 + counted.confidence) / 2, REVERSE_GROUPS - 1))
    error = math.hypot(_half(interval) / quantile, draws)
    if not 0 < error < math.inf:
        return test
    reach = quantile * error
    wider = replace(interval, low=interval.estimate - reach, high=interval.estimate + reach)
    return PairedTest(wider, float(2 * stats.t.sf(abs(interval.estimate) / error, degrees)))


def _over_samples(a: ArmResult, b: ArmResult, measured: Measured) -> Difference:
    """Return the difference between one run of each arm, with the uncertainty of their draws."""
    of_a, of_b = (paired_runs(a, b, lambda arm: arm.measured) or [(a.measured[0], b.measured[0])])[
        0
    ]
    one, other = _reverse(a, of_a, measured), _reverse(b, of_b, measured)
    estimate, reach = other.estimate - one.estimate, math.hypot(_half(one), _half(other))
    interval = Interval(
        estimate, estimate - reach, estimate + reach, one.confidence, one.method, one.n
    )
    return replace(difference_of(a, b, interval), evidence="samples")


def _reverse(arm: ArmResult, run: RunResult, measured: Measured) -> Interval:
    return measured[arm.label, run.seed].judged.values["reverse"]


def _half(interval: Interval) -> float:
    return (interval.high - interval.low) / 2


def say_samples(
    arms: Sequence[ArmResult],
    differences: Sequence[Difference],
    calibration: Calibration,
    measured: Measured,
) -> Verdict:
    """Say the verdict by samples in words.

    It says which arm beats which, where each stands among the reference samplers, what is gameable,
    and every alarm.

    Args:
        arms: all arms.
        differences: in reverse likelihood.
        calibration: the scale of the metrics.
        measured: the metrics of each run.
    """
    ranked = sampled_arms(arms)
    absent = [arm.label for arm in arms if arm not in ranked]
    about = [_describe(arm, calibration, measured) for arm in ranked]
    about += [warning] if (warning := say_gameable(ranked, calibration)) else []
    about += [f"Not compared by samples: {say_list(absent)}."] if absent else []
    if len(ranked) < 2:
        headline = (
            f"By samples, {ranked[0].label} has nothing to be compared with."
            if ranked
            else "No samples could be compared."
        )
        return Verdict(headline=headline, sentences=about)
    best = ranked[0].label
    against = {
        other_of(difference, best): difference
        for difference in differences
        if best in (difference.better, difference.worse)
    }
    beaten = [
        arm.label
        for arm in ranked[1:]
        if against[arm.label].finding == "better" and against[arm.label].better == best
    ]
    level = [arm.label for arm in ranked[1:] if arm.label not in beaten]
    single = any(difference.evidence == "samples" for difference in against.values())
    if level and single:
        headline = (
            f"By samples, no claim: single runs say nothing about architectures. {best} has the"
            " best figure here."
        )
    elif level:
        headline = f"By samples, no claim between {say_list([best, *level])}."
    else:
        headline = (
            f"By samples, {best} beats"
            f" {beaten[0] if len(beaten) == 1 else f'all {len(beaten)} others'}."
        )
    sentences = [_pair(against[label], best) for label in (*beaten, *level)]
    return Verdict(headline=headline, sentences=[*sentences, *about])


def _pair(difference: Difference, best: str) -> str:
    """Return what separates the best arm from another."""
    how = f"{difference.mean:.3f} ± {say_half_width(difference)} {UNIT}"
    if difference.finding == "better":
        return (
            f"By samples, {best} beats {other_of(difference, best)} by {how}"
            f" ({say_evidence(difference)})."
        )
    if difference.evidence == "samples":
        return (
            f"The samples of this run of {difference.better} are {how} better than those of"
            f" {difference.worse} ({say_evidence(difference)}): no claim, for another seed may"
            " change the order."
        )
    return (
        f"{best} and {other_of(difference, best)} differ by {how} ({say_evidence(difference)}): no"
        " claim."
    )


def _describe(arm: ArmResult, calibration: Calibration, measured: Measured) -> str:
    """Say an arm's place among the reference samplers, and its alarms.

    Where seeds have different places, all of them.
    """
    places = []
    for metric, title in PLACED.items():
        found = [
            calibration.place(measured[arm.label, run.seed].judged.values[metric], metric)
            for run in arm.measured
        ]
        places.append(f"{title} {' or '.join(dict.fromkeys(found))}")
    return f"{arm.label}: {'; '.join(places)}; {say_alarm(arm)}."


def say_alarm(arm: ArmResult) -> str:
    """Say `no collapse alarm`, or in how many runs there is one, and why.

    The reason is that of the first such run.
    """
    alarms = [
        run.samples.alarm for run in arm.measured if run.samples is not None and run.samples.alarm
    ]
    if not alarms:
        return "no collapse alarm"
    of = f" in {len(alarms)} of {len(arm.measured)} runs" if len(arm.measured) > 1 else ""
    return f"collapse alarm{of}: {' '.join(alarms[0]).rstrip('.')}"


def say_gameable(ranked: Sequence[ArmResult], calibration: Calibration) -> str:
    """Say which metrics of a verdict prove nothing alone here, and what to look at beside them."""
    games = {PLACED[metric]: calibration.gameable(metric) for metric in PLACED}
    by = list(dict.fromkeys(name for names in games.values() for name in names))
    if not by:
        return ""
    said = [
        f"{say_list([title for title, names in games.items() if name in names])} by {name}"
        for name in by
    ]
    novel = [f"{arm.label} {mean_figure(arm, 'novel'):.0%}" for arm in ranked]
    real = calibration.floor.values["novel"].estimate
    return (
        f"Gameable here: {'; '.join(said)}. So look at {METRICS['novel'].title} too:"
        f" {', '.join([*novel, f'new real text {real:.0%}'])}."
    )
