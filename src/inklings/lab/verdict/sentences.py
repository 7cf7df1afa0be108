"""The verdict in words: which arm is better, by how much, how sure, and what was held equal."""

from __future__ import annotations

from collections.abc import Sequence

from inklings.evaluation.power import least_significant
from inklings.lab.comparison.plan import Plan
from inklings.lab.comparison.result import (
    ArmResult,
    Difference,
    EqualBudget,
    Verdict,
    mean_value,
    ranked_arms,
)
from inklings.lab.verdict.budget_sentences import at_equal, one_size, say_budgets, say_sizes
from inklings.lab.verdict.wording import (
    other_of,
    say_effect,
    say_evidence,
    say_half_width,
    say_list,
    say_p,
)
from inklings.training.budgets.budget import parse_budget

FEW_SEEDS = 3
"""With at most this many seeds, a verdict says how large a difference must be for them to show it.
"""

ENOUGH_SEEDS = 5
"""The number of seeds that it compares this with."""


def say(
    arms: Sequence[ArmResult],
    differences: Sequence[Difference],
    *,
    unit: str,
    plan: Plan,
    budgets: Sequence[EqualBudget] = (),
) -> Verdict:
    """Return the verdict in words: a headline, and the sentences that carry it.

    Args:
        arms: all arms of the comparison.
        differences: what `find_differences` found between them.
        unit: of the ranking, "nats per token" or "bits per byte".
        plan: what was asked for.
        budgets: what `equal_budgets` made of the arms.
    """
    free = [arm.label for arm in arms if arm.likelihood_free and not arm.dishonest]
    absent = _not_ranked(arms, free)
    ranked = ranked_arms(arms, unit)
    if not ranked:
        headline = (
            "No arm has a likelihood to be ranked by."
            if len(free) == len(arms)
            else "No arm could be ranked."
        )
        return Verdict(headline=headline, sentences=absent)
    best = ranked[0].label
    if len(ranked) == 1:
        why = (
            "has a likelihood: by one"
            if free and len(free) == len(arms) - 1
            else "could be ranked:"
        )
        return Verdict(
            headline=f"Only {best} {why} there is nothing to compare it with.", sentences=absent
        )
    against = {other_of(d, best): d for d in differences if best in (d.better, d.worse)}
    # Means are over all runs of an arm, differences over seeds that both have: the two may
    # disagree.
    turned = [d for d in against.values() if d.finding != "no claim" and d.better != best]
    level = [
        arm.label
        for arm in ranked[1:]
        if against[arm.label].finding == "no claim" or against[arm.label] in turned
    ]
    beaten = [arm.label for arm in ranked[1:] if arm.label not in level]
    seeds = all(difference.evidence == "seeds" for difference in against.values())
    if level:
        headline = f"No claim between {say_list([best, *level])}."
    elif seeds:
        sure = all(difference.finding == "better" for difference in against.values())
        others = beaten[0] if len(beaten) == 1 else f"all {len(beaten)} others"
        headline = (
            f"{best} beats {others}."
            if sure
            else f"{best} beats {others} on this text; on other text of its kind that is not sure."
        )
    else:
        headline = f"{best} scores best here. Single runs carry no claim about architectures."
    sentences = []
    if beaten:
        place = (
            "" if len(ranked) == 2 else ", the best of the rest," if level else ", the next best,"
        )
        pair = [arm for arm in ranked if arm.label in (best, beaten[0])]
        sentences.append(_lead(best, place, against[beaten[0]], unit, _terms(pair, plan)))
    sentences += [
        _no_claim(best, against[label], unit) for label in level if against[label] not in turned
    ]
    sentences += [_turned(best, difference, unit) for difference in turned]
    for label in beaten[1:]:
        if against[label].evidence == "seeds" and against[label].finding == "better on this text":
            sentences.append(
                f"{best} beats {label} on this text alone; {_other_text(against[label])}."
            )
    if not level:
        open_pairs = [d for d in differences if d.finding == "no claim"]
        sentences += (
            [
                "No claim between "
                + say_list([f"{d.better} and {d.worse}" for d in open_pairs], last="nor between")
                + "."
            ]
            if open_pairs
            else []
        )
    sentences += _few_seeds(differences)
    if not seeds:
        sentences.append(
            "Where a single run stands for an arm, the interval comes from resampling the held-out"
            " text: it says how sure the figures of these runs are, while another seed may change"
            " the order. With --seeds 5, the architectures are tested."
        )
    sentences += _against_floor(ranked[0], arms, unit)
    sentences += _about_counting(ranked)
    sentences += [
        *_same_twice(ranked, plan),
        *say_sizes(ranked, plan),
        *say_budgets(ranked, differences, budgets, unit=unit, plan=plan),
    ]
    return Verdict(headline=headline, sentences=sentences + absent)


def _against_floor(best: ArmResult, arms: Sequence[ArmResult], unit: str) -> list[str]:
    """Say where the best arm lies beside the baseline: figures, and no test."""
    said = []
    for arm in arms:
        if arm.floor and arm.done:
            above = mean_value(best, unit) - mean_value(arm, unit)
            side = f"{abs(above):.3f} {'above' if above > 0 else 'below'}"
            end = "; nothing here is better than counting yet" if above > 0 else ""
            said.append(
                f"The baseline: {arm.label}, which counts, scores {mean_value(arm, unit):.3f}"
                f" {unit}; {best.label} lies {side}{end}."
            )
    return said


def _about_counting(ranked: Sequence[ArmResult]) -> list[str]:
    """Say what a counted arm has read beside those that are trained, which tells why it leads."""
    trained = [arm for arm in ranked if arm.kind == "trained" and arm.done[0].tokens]
    if not trained:
        return []
    theirs = max(arm.done[0].tokens or 0 for arm in trained)
    said = []
    for arm in ranked:
        ours = arm.done[0].tokens
        if arm.kind != "counted" or not ours:
            continue
        before = [other.label for other in trained if ranked.index(other) < ranked.index(arm)]
        if ours < theirs:
            read = (
                f"{arm.label} counted {ours:,} tokens, all of the training text; the others read"
                f" {theirs:,}, {theirs / ours:.1f} times as many."
            )
            end = (
                " Reading it again, from which counting gains nothing, has not brought them past"
                " it."
                if not before
                else f" Reading it again, from which counting gains nothing, brought"
                f" {say_list(before)} past it."
            )
        else:
            read = f"{arm.label} counted {ours:,} tokens, as many as the others read."
            end = (
                " Counting remembers at once what it sees, training takes many small steps: whether"
                " more of them would help, a longer budget tells."
                if not before
                else f" {say_list(before)} made more of them."
            )
        said.append(read + end)
    return said


def _not_ranked(arms: Sequence[ArmResult], free: Sequence[str]) -> list[str]:
    """Return which arms are not ranked, and why; `free` have no likelihood."""
    missing = [
        arm.label for arm in arms if not arm.done and not arm.dishonest and arm.label not in free
    ]
    said = [f"Not ranked: {say_list(missing)}; the table says why."] if missing else []
    said += [f"No likelihood, so not ranked by one: {say_list(free)}."] if free else []
    return said + [
        f"Not ranked: {arm.label} fails its audit"
        f" ({say_list([finding.check for finding in arm.dishonest])}), so its loss is no measure"
        " of it."
        for arm in arms
        if arm.dishonest
    ]


def _lead(best: str, place: str, difference: Difference, unit: str, terms: str) -> str:
    """Say by how much the best arm beats the next one that it does beat."""
    how = say_effect(difference, unit)
    if difference.evidence == "seeds":
        said = (
            f"{best} beats {difference.worse}{place} by {how}{terms} ({say_evidence(difference)})"
        )
        return (
            f"{said}."
            if difference.finding == "better"
            else f"On this text {said}; {_other_text(difference)}."
        )
    size, known, rest = how.partition(
        " ("
    )  # "scores ... below": the other measures come after the arm
    return (
        f"This run of {best} scores {size} below"
        f" {difference.worse}{place.rstrip(',')}{known}{rest}{terms} ({say_evidence(difference)})."
    )


def _other_text(difference: Difference) -> str:
    """Say that seeds do show a difference on this text alone.

    The held-out text is too little to speak for all text of its kind.
    """
    return (
        f"it is too little text to say so of all text of its kind (p {say_p(difference.any_text)})"
    )


def _no_claim(best: str, difference: Difference, unit: str) -> str:
    """Say what could not be told apart, and how large a difference the runs could have shown."""
    if difference.detectable is not None:
        shown = (
            f"these runs could not have shown a difference below {difference.detectable:.3f} with a"
            " chance of 80%"
        )
    elif difference.low is not None:
        shown = f"these runs could not have shown a difference below {say_half_width(difference)}"
    else:
        shown = "too little text to tell"
    pair = f"{best} and {other_of(difference, best)}"
    return (
        f"{pair} differ by {say_effect(difference, unit)} ({say_evidence(difference)}), no claim:"
        f" {shown}."
    )


def _turned(best: str, difference: Difference, unit: str) -> str:
    """Say that another arm beats the one with the best mean on the seeds that both have."""
    how = f"{say_effect(difference, unit)} ({say_evidence(difference)})"
    return (
        f"{best} has the best mean, but on the runs that can be paired {difference.better} beats it"
        f" by {how}: no claim for {best}."
    )


def _few_seeds(differences: Sequence[Difference]) -> list[str]:
    """Return where two or three seeds left something open: what such a number can show at all."""
    tested = [difference for difference in differences if difference.p is not None]
    few = min(
        (difference.count for difference in tested if difference.finding == "no claim"),
        default=FEW_SEEDS + 1,
    )
    if few > FEW_SEEDS:
        return []
    needed, enough = (
        f"{least_significant(n, tests=len(tested)):.2g} times" for n in (few, ENOUGH_SEEDS)
    )
    pairs = f", with {len(tested)} pairs to correct for" if len(tested) > 1 else ""
    return [
        f"{few} seeds cannot reach significance unless a difference is {needed} its standard"
        f" deviation over the seeds{pairs}; with {ENOUGH_SEEDS} seeds, {enough} is enough."
    ]


def _same_twice(ranked: Sequence[ArmResult], plan: Plan) -> list[str]:
    """Say that arms are copies of each other, where they are: a test of the comparison itself."""
    configs = {arm.label: arm.config for arm in plan.arms if arm.config is not None}
    copies: list[list[str]] = []
    for label in (arm.label for arm in ranked if arm.kind == "trained" and arm.label in configs):
        known = next((group for group in copies if configs[group[0]] == configs[label]), None)
        if known is None:
            copies.append([label])
        else:
            known.append(label)
    return [
        f"{say_list(sorted(group))} are the same architecture with other initialisations, an A/A"
        " test: a difference between them is what chance does."
        for group in copies
        if len(group) > 1
    ]


def _terms(arms: Sequence[ArmResult], plan: Plan) -> str:
    """Return ` at equal parameters and tokens` and the like, where both arms were trained here.

    Counting reads no text twice, so where the text is short it has less than the budget.
    """
    if plan.budget is None or any(arm.kind == "as it is" for arm in arms):
        return ""
    if any(arm.kind == "counted" for arm in arms):
        tokens = {arm.done[0].tokens for arm in arms}
        return f" {at_equal(['tokens'])}" if len(tokens) == 1 else ""
    held = parse_budget(plan.budget).unit.held
    same = ["parameters"] if one_size(arms[0], arms[1], plan) else []
    return f" {at_equal([*same, *([held] if held else [])])}" if held or same else ""
