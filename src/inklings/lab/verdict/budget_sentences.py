"""Sentences of a verdict on equal parameters, tokens, FLOPs and time.

A win at one of them need not be a win at another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from inklings.lab.comparison.plan import Plan
from inklings.lab.comparison.result import ArmResult, Difference, EqualBudget
from inklings.lab.verdict.equal_budgets import Axis, span
from inklings.lab.verdict.wording import say_effect, say_evidence, say_list
from inklings.models.sizes import TOLERANCE

NAMES: dict[Axis, str] = {"tokens": "tokens", "flops": "FLOPs", "seconds": "time"}


def size_of(arm: ArmResult) -> int | None:
    """Return an arm's parameters without embedding and head; None where that is not known."""
    return next((run.non_embedding for run in arm.runs if run.non_embedding is not None), None)


def one_size(a: ArmResult, b: ArmResult, plan: Plan) -> bool:
    """Return whether two arms have equally many parameters, as far as is known.

    Args:
        a: an arm.
        b: the other arm.
        plan: of the comparison.
    """
    sizes = size_of(a), size_of(b)
    if sizes[0] is None or sizes[1] is None:
        return plan.parameters is not None and a.kind == b.kind == "trained"
    return _near(sizes[0], sizes[1], plan)


def say_sizes(ranked: Sequence[ArmResult], plan: Plan) -> list[str]:
    """Say against which arms the best of the trained ones has more or fewer parameters."""
    sizes = [
        (arm.label, size)
        for arm in ranked
        if arm.kind == "trained" and (size := size_of(arm)) is not None
    ]
    if not sizes or not sizes[0][1]:
        return []
    best, of_best = sizes[0]
    other = [
        _say_ratio(of_best / size, label)
        for label, size in sizes[1:]
        if size and not _near(of_best, size, plan)
    ]
    if not other:
        return []
    nothing = not any(_near(a, b, plan) for (_, a), (_, b) in combinations(sizes, 2))
    return [
        f"{best} has {say_list(other)}:"
        f" {'nothing here is' if nothing else 'these are not compared'} at equal parameters."
    ]


def _say_ratio(ratio: float, label: str) -> str:
    if 0.67 < ratio < 1.5:
        return f"{abs(ratio - 1):.0%} {'more' if ratio > 1 else 'fewer'} parameters than {label}"
    times = f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}"
    return f"{times} times the parameters of {label}"


def _near(a: int, b: int, plan: Plan) -> bool:
    """Return whether two sizes are one.

    Near each other, or both near the number that arms were brought to.
    """
    asked = plan.parameters
    if asked is not None and max(abs(a - asked), abs(b - asked)) <= TOLERANCE * asked:
        return True
    return abs(a - b) <= TOLERANCE * max(a, b)


def at_equal(names: Sequence[str]) -> str:
    """Return the list in words: `at equal parameters, tokens and FLOPs`, `in equal time`."""
    counted = [name for name in names if name != "time"]
    said = [f"at equal {say_list(counted)}"] if counted else []
    return say_list([*said, *(["in equal time"] if "time" in names else [])])


@dataclass(frozen=True)
class BudgetOutcome:
    """The findings for the best arm and another, on each axis on which both have a figure."""

    won: tuple[Axis, ...]
    open: tuple[Axis, ...]
    lost: tuple[Axis, ...]
    one_size: bool
    claimed: bool
    """Whether the best arm beats the other at the budget that they were given."""


def say_budgets(
    ranked: Sequence[ArmResult],
    differences: Sequence[Difference],
    budgets: Sequence[EqualBudget],
    *,
    unit: str,
    plan: Plan,
) -> list[str]:
    """Say at which equal budgets the best trained arm keeps its lead.

    Every budget on which another one leads is named.

    Args:
        ranked: the ranked arms, the best first.
        differences: at the budget that the arms were given.
        budgets: what `equal_budgets` made of the arms.
        unit: of the ranking.
        plan: what was asked for.
    """
    trained = [arm for arm in ranked if arm.kind == "trained"]
    if len(trained) < 2 or not budgets:
        return []
    best = trained[0]
    of_pairs = {frozenset((d.better, d.worse)): d for d in differences}
    outcomes: dict[BudgetOutcome, list[str]] = {}
    turned: list[str] = []
    for other in trained[1:]:
        main = of_pairs.get(frozenset((best.label, other.label)))
        at = {
            budget.axis: found
            for budget in budgets
            if (found := _between(budget, best.label, other.label, main)) is not None
        }
        claims = {axis: found for axis, found in at.items() if found.finding == "better"}
        outcome = BudgetOutcome(
            won=tuple(axis for axis in claims if claims[axis].better == best.label),
            open=tuple(axis for axis in at if axis not in claims),
            lost=tuple(axis for axis in claims if claims[axis].better != best.label),
            one_size=one_size(best, other, plan),
            claimed=main is not None and main.finding == "better" and main.better == best.label,
        )
        outcomes.setdefault(outcome, []).append(other.label)
        for axis in outcome.lost:
            how = "the order is reversed: " if outcome.won or outcome.claimed else ""
            effect = f"{say_effect(claims[axis], unit)} ({say_evidence(claims[axis])})"
            turned.append(f"{_sentence(axis)} {how}{other.label} beats {best.label} by {effect}.")
    said = [
        sentence
        for outcome, others in outcomes.items()
        if (sentence := _say_outcome(best.label, say_list(others), outcome))
    ]
    changed = [
        sentence for budget in budgets if (sentence := _say_change(budget, best.label, unit))
    ]
    return [*said, *turned, *changed, *_say_absent(ranked, budgets)]


def _between(
    budget: EqualBudget, best: str, other: str, main: Difference | None
) -> Difference | None:
    """Find what a budget says of two arms.

    Where it has the same figures as the main budget, that one's finding counts: the main family has
    more pairs in it (counted arms), and one difference must not be claimed here and left open
    there.
    """
    found = next((d for d in budget.differences if {d.better, d.worse} == {best, other}), None)
    if found is None or main is None or found.better != main.better or found.count != main.count:
        return found
    same = math.isclose(found.mean, main.mean, rel_tol=1e-9) and found.low == main.low
    return main if same else found


def _say_outcome(best: str, others: str, outcome: BudgetOutcome) -> str:
    """Return where the best arm's lead holds, and where not.

    Nothing where it is claimed nowhere.
    """
    missed = [NAMES[axis] for axis in (*outcome.open, *outcome.lost)]
    same = ["parameters"] if outcome.one_size else []
    if not outcome.won:
        if not outcome.claimed or not missed:
            return ""
        return f"What {best} gains over {others} is not there {_nor(missed, 'nor')}."
    held = [*same, *(NAMES[axis] for axis in outcome.won)]
    if not missed:
        alike = " alike" if len(outcome.won) > 1 else ""
        return f"{best} beats {others} at equal {say_list(held)}{alike}."
    only = (
        f": it wins only at equal {'parameters' if same else 'tokens'}"
        if outcome.won == ("tokens",)
        else ""
    )
    return f"{best} beats {others} {at_equal(held)}, but not {_nor(missed, 'nor')}{only}."


def _nor(names: Sequence[str], last: str) -> str:
    """Join names as in `at equal FLOPs nor in equal time`."""
    return f" {last} ".join(at_equal([name]) for name in names)


def _say_change(budget: EqualBudget, best: str, unit: str) -> str:
    """Say that another arm has the best figure at this budget, and by how much.

    Say nothing where that was claimed already.
    """
    if (
        len(budget.arms) < 2
        or budget.arms[0].label == best
        or best not in {arm.label for arm in budget.arms}
    ):
        return ""
    leader = budget.arms[0].label
    found = next((d for d in budget.differences if {d.better, d.worse} == {best, leader}), None)
    if found is None:
        return f"{_sentence(budget.axis)} {leader} scores best, not {best}; single runs, no claim."
    if found.finding == "better":
        return ""
    return (
        f"{_sentence(budget.axis)} {leader} scores best, by {say_effect(found, unit)}"
        f" ({say_evidence(found)}): no claim."
    )


def _say_absent(ranked: Sequence[ArmResult], budgets: Sequence[EqualBudget]) -> list[str]:
    """Return which arms have no figure at a budget, and why."""
    by_label = {arm.label: arm for arm in ranked}
    said = []
    for budget in budgets:
        dear = [
            label
            for label in budget.absent
            if span(by_label[label], budget.axis)[0] > budget.amount
        ]
        cheap = [label for label in budget.absent if label not in dear]
        why = [f"{say_list(dear)} had cost more at the first checkpoint"] if dear else []
        why += [f"{say_list(cheap)} had cost less at the end"] if cheap else []
        if why:
            said.append(f"Not compared {at_equal([NAMES[budget.axis]])}: {'; '.join(why)}.")
    return said


def _sentence(axis: Axis) -> str:
    """Begin a sentence, as in `At equal FLOPs`."""
    return {"tokens": "At equal tokens", "flops": "At equal FLOPs", "seconds": "In equal time"}[
        axis
    ]
