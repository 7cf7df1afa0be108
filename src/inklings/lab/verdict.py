"""Which arm is better, and how sure that is, in figures and in words. "No claim" is the default.

The seed is the unit of evidence: with two seeds or more, differences are tested by a paired t over the seeds that
both arms have, corrected by Holm for all pairs. With one, documents are resampled: that tells how sure the figures of
these very runs are, and nothing about another start of the same architecture; it is weaker evidence, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from inklings.evaluation.statistics import Interval, holm, paired_bootstrap, paired_t
from inklings.evaluation.units import Sums
from inklings.lab.comparison import ArmResult, Difference, RunResult, Verdict, ranked_arms, run_value

LEVEL = 0.05
"""Largest corrected p at which a difference is claimed."""


@dataclass(frozen=True)
class Units:
    """What can be resampled of a scored run."""

    kind: Literal["documents", "blocks"]
    """Blocks of 2 KiB of text where there are few documents."""
    sums: Sums


UnitsOf = Callable[[RunResult], Units]


def find_differences(arms: Sequence[ArmResult], *, unit: str, units_of: UnitsOf) -> list[Difference]:
    """Every pair of scored arms, the better ones first. Holm's correction is over all pairs that are tested over seeds."""
    pairs = combinations(ranked_arms(arms, unit), 2)
    return corrected([_over_seeds(a, b, unit) or _over_documents(a, b, unit, units_of) for a, b in pairs])


def corrected(found: Sequence[Difference]) -> list[Difference]:
    """The differences with Holm's correction for all that were tested, and what may be claimed."""
    p_values = iter(holm([difference.p for difference in found if difference.p is not None]))
    return [_judged(difference, next(p_values)) if difference.p is not None else difference for difference in found]


def _judged(difference: Difference, p: float) -> Difference:
    return replace(difference, p=float(p), finding="better" if p < LEVEL and difference.mean > 0 else "no claim")


def paired_runs(
    a: ArmResult, b: ArmResult, runs_of: Callable[[ArmResult], list[RunResult]] = lambda arm: arm.done
) -> list[tuple[RunResult, RunResult]]:
    """The runs of two arms that belong together: those of one seed; a counted run stands for every seed."""
    of_a, of_b = runs_of(a), runs_of(b)
    if a.kind == "counted" and b.kind == "trained":
        return [(of_a[0], run) for run in of_b]
    if b.kind == "counted" and a.kind == "trained":
        return [(run, of_b[0]) for run in of_a]
    if a.kind == b.kind == "trained":
        by_seed = {run.seed: run for run in of_b}
        return [(run, by_seed[run.seed]) for run in of_a if run.seed in by_seed]
    return []


def _over_seeds(a: ArmResult, b: ArmResult, unit: str) -> Difference | None:
    """The difference as seeds tell it, p not yet corrected; None with fewer than two paired seeds."""
    pairs = paired_runs(a, b)
    if len(pairs) < 2:
        return None
    test = paired_t([run_value(of_b, unit) - run_value(of_a, unit) for of_a, of_b in pairs])
    return replace(difference_of(a, b, test.interval), p=test.p_value, evidence="seeds")


def _over_documents(a: ArmResult, b: ArmResult, unit: str, units_of: UnitsOf) -> Difference:
    """The difference between one run of each arm, by resampling the documents that both scored."""
    of_a, of_b = (paired_runs(a, b) or [(a.done[0], b.done[0])])[0]
    units = units_of(of_a)
    left, right = units.sums, units_of(of_b).sums
    size, scale = (left.targets, 1.0) if unit == "nats per token" else (left.bytes, 1 / np.log(2))
    difference = difference_of(a, b, paired_bootstrap(right.nats * scale, left.nats * scale, size))
    clear = difference.low is not None and difference.low > 0
    return replace(difference, evidence=units.kind, finding="better on this text" if clear else "no claim")


def difference_of(a: ArmResult, b: ArmResult, interval: Interval) -> Difference:
    """How much lower `a` is than `b`, or, where that is negative, `b` than `a`: a mean over fewer, paired runs may differ in sign."""
    mean, low, high = interval.estimate, interval.low, interval.high
    if mean < 0:
        a, b, mean, low, high = b, a, -mean, -high, -low
    known = np.isfinite(low) and np.isfinite(high)
    return Difference(
        better=a.label, worse=b.label, mean=mean, low=low if known else None, high=high if known else None,
        p=None, evidence="documents", count=interval.n, finding="no claim",
    )  # fmt: skip


def say(arms: Sequence[ArmResult], differences: Sequence[Difference], *, unit: str, budget: str | None) -> Verdict:
    """The verdict in words: a headline, and the sentences that carry it."""
    free = [arm.label for arm in arms if arm.likelihood_free and not arm.dishonest]
    missing = [arm.label for arm in arms if not arm.done and not arm.dishonest and arm.label not in free]
    absent = [f"Not ranked: {say_list(missing)}; the table says why."] if missing else []
    absent += [f"No likelihood, so not ranked by one: {say_list(free)}."] if free else []
    absent += [
        f"Not ranked: {arm.label} fails its audit ({say_list([finding.check for finding in arm.dishonest])}), "
        "so its loss is no measure of it."
        for arm in arms
        if arm.dishonest
    ]
    ranked = ranked_arms(arms, unit)
    if not ranked:
        headline = "No arm has a likelihood to be ranked by." if len(free) == len(arms) else "No arm could be ranked."
        return Verdict(headline=headline, sentences=absent)
    best = ranked[0].label
    if len(ranked) == 1:
        why = "has a likelihood: by one" if free and len(free) == len(arms) - 1 else "could be ranked:"
        return Verdict(headline=f"Only {best} {why} there is nothing to compare it with.", sentences=absent)
    against = {_other(d, best): d for d in differences if best in (d.better, d.worse)}
    level = [arm.label for arm in ranked[1:] if against[arm.label].finding == "no claim"]
    beaten = [arm.label for arm in ranked[1:] if arm.label not in level]
    seeds = all(difference.evidence == "seeds" for difference in against.values())
    if level:
        headline = f"No claim between {say_list([best, *level])}."
    elif seeds:
        headline = f"{best} beats {beaten[0] if len(beaten) == 1 else f'all {len(beaten)} others'}."
    else:
        headline = f"{best} scores best here. Single runs carry no claim about architectures."
    sentences = []
    if beaten:
        place = "" if len(ranked) == 2 else ", the best of the rest," if level else ", the next best,"
        pair = [arm for arm in ranked if arm.label in (best, beaten[0])]
        sentences.append(_lead(best, place, against[beaten[0]], unit, _terms(pair, budget)))
    sentences += [_no_claim(best, against[label], unit) for label in level]
    if not level:
        open_pairs = [d for d in differences if d.finding == "no claim"]
        sentences += (
            [f"No claim between {say_list([f'{d.better} and {d.worse}' for d in open_pairs], last='nor between')}."] if open_pairs else []
        )
    if not seeds:
        sentences.append(
            "Where a single run stands for an arm, the interval comes from resampling the held-out text: it says how sure the "
            "figures of these runs are, while another seed may change the order. With --seeds 5, the architectures are tested."
        )
    return Verdict(headline=headline, sentences=sentences + absent)


def _lead(best: str, place: str, difference: Difference, unit: str, terms: str) -> str:
    """By how much the best arm beats the next one that it does beat."""
    how = f"{difference.mean:.3f} ± {say_half_width(difference)} {unit}"
    if difference.evidence == "seeds":
        return f"{best} beats {difference.worse}{place} by {how}{terms} ({say_evidence(difference)})."
    return f"This run of {best} scores {how} below {difference.worse}{place.rstrip(',')}{terms} ({say_evidence(difference)})."


def _no_claim(best: str, difference: Difference, unit: str) -> str:
    """What could not be told apart, and how large a difference the runs could have shown."""
    width = say_half_width(difference)
    shown = f"these runs could not have shown a difference below {width}" if difference.low is not None else "too little text to tell"
    how = f"{difference.mean:.3f} ± {width} {unit}"
    return f"{best} and {_other(difference, best)} differ by {how} ({say_evidence(difference)}): {shown}."


def say_evidence(difference: Difference) -> str:
    """`5 seeds, p = 0.013`, `1,289 documents resampled`, or `3,000 samples of one run each`."""
    if difference.p is not None:
        return f"{difference.count} seeds, p {say_p(difference.p)}"
    if difference.evidence == "samples":
        return f"{difference.count:,} samples of one run each"
    return f"{difference.count:,} {'documents' if difference.evidence == 'documents' else 'blocks of text'} resampled"


def say_half_width(difference: Difference) -> str:
    """Half of the 95% interval, three digits; `?` where there is none."""
    if difference.low is None or difference.high is None:
        return "?"
    return f"{(difference.high - difference.low) / 2:.3f}"


def say_p(p: float | None) -> str:
    """`= 0.013`, two digits, or `< 0.001`."""
    assert p is not None
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def _terms(arms: Sequence[ArmResult], budget: str | None) -> str:
    """` at equal tokens` and the like, where both arms were trained here; what counts reads all there is."""
    if budget is None or any(arm.kind != "trained" for arm in arms):
        return ""
    return {"tokens": " at equal tokens", "steps": " at equal steps", "min": " in equal time", "flops": " at equal FLOPs"}.get(
        budget.rpartition("-")[2], ""
    )


def _other(difference: Difference, label: str) -> str:
    return difference.worse if difference.better == label else difference.better


def say_list(names: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, or `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"
