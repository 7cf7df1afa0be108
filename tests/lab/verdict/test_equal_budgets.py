"""Arms at equal tokens, FLOPs and time.

The amount serves as many as can be, the figures are those of the points, the words are theirs.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inklings.evaluation.likelihood.units import UnitSums
from inklings.evaluation.statistics import holm, paired_t
from inklings.lab.comparison.plan import Plan
from inklings.lab.comparison.result import ArmResult, EqualBudget, Point, RunResult
from inklings.lab.verdict.budget_sentences import one_size
from inklings.lab.verdict.differences import ResamplingUnits, find_differences
from inklings.lab.verdict.equal_budgets import equal_budgets, span
from inklings.lab.verdict.sentences import say

SHARES = (0.125, 0.25, 0.5, 1.0)
TOKENS = 80_000
TEN = np.full(40, 10)
NOISE = (0.000, 0.011, -0.004, 0.006, -0.009)


def arm(
    label: str,
    start: float,
    *,
    gain: float = 0.1,
    flops: float = 1000.0,
    speed: float = 1e-4,
    seeds: int = 3,
    size: int | None = None,
    slow: tuple[float, ...] = (1.0,) * 5,
) -> ArmResult:
    """An arm whose loss falls from `start` at the first point by `gain` with every doubling.

    Each seed has its own noise.
    """
    runs = []
    for seed in range(seeds):
        points = [
            Point(
                share=share,
                run=f"{label}/{seed}",
                weights="",
                steps=1,
                tokens=round(TOKENS * share),
                flops=round(flops * TOKENS * share),
                seconds=speed * slow[seed] * TOKENS * share,
                loss=(loss := start - gain * i + NOISE[(seed + len(label)) % 5]),
                bits_per_byte=loss / np.log(2).item(),
                accuracy=0.5,
            )
            for i, share in enumerate(SHARES)
        ]
        last = points[-1]
        run = RunResult(
            seed=seed,
            status="done",
            run=label,
            tokens=last.tokens,
            flops=last.flops,
            seconds=last.seconds,
            loss=last.loss,
            bits_per_byte=last.bits_per_byte,
            non_embedding=size,
            points=points,
        )
        runs.append(run)
    return ArmResult(label=label, architecture=label, kind="trained", runs=runs)


def at(arms: list[ArmResult], axis: str) -> EqualBudget:
    return next(
        budget
        for budget in equal_budgets(arms, unit="nats per token", units_of=even)
        if budget.axis == axis
    )


def even(run: RunResult) -> ResamplingUnits:
    """Documents that are all as hard for all runs: the held-out text is beyond doubt."""
    assert run.loss is not None
    return ResamplingUnits("documents", UnitSums(run.loss * TEN, TEN, TEN, TEN))


def words(*arms: ArmResult, parameters: int | None = None) -> str:
    differences = find_differences(arms, unit="nats per token", units_of=even)
    plan = Plan(arms=[], seeds=[0], data={}, budget="80k-tokens", parameters=parameters)
    budgets = equal_budgets(arms, unit="nats per token", units_of=even)
    return " ".join(
        say(arms, differences, unit="nats per token", plan=plan, budgets=budgets).sentences
    )


def test_where_all_cost_the_same_it_is_the_plain_comparison() -> None:
    arms = [arm("a", 2.0), arm("bb", 2.3), arm("ccc", 2.2)]
    plain = find_differences(arms, unit="nats per token", units_of=even)
    budgets = equal_budgets(arms, unit="nats per token", units_of=even)
    assert [budget.axis for budget in budgets] == ["tokens", "flops", "seconds"]
    for budget in budgets:
        assert budget.differences == plain
        assert (budget.absent, [there.label for there in budget.arms]) == ([], ["a", "ccc", "bb"])
        assert budget.arms[0].values == {str(run.seed): run.loss for run in arms[0].runs}
    assert [budget.amount for budget in budgets] == [
        TOKENS,
        1000 * TOKENS,
        pytest.approx(1e-4 * TOKENS),
    ]


@given(st.floats(1.0, 7.9), st.floats(0.01, 0.3))
def test_a_dearer_arm_is_read_between_its_points_over_the_logarithm(
    factor: float, gain: float
) -> None:
    dear, cheap = arm("dear", 2.0, flops=1000 * factor, gain=gain), arm("cheap", 2.0)
    budget = at([dear, cheap], "flops")
    assert budget.amount == 1000 * TOKENS
    values = next(there.values for there in budget.arms if there.label == "dear")
    doublings = 3 - np.log2(
        factor
    )  # losses were made linear in the doublings, so the line between points is exact
    for run in dear.runs:
        assert run.loss is not None
        assert values[str(run.seed)] == pytest.approx(run.loss + gain * (3 - doublings), abs=1e-6)
    assert values != next(there.values for there in budget.arms if there.label == "cheap")


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_at_a_point_it_is_the_points_own_figure(factor: int) -> None:
    dear = arm("dear", 2.0, flops=1000 * factor)
    values = next(
        there.values
        for there in at([dear, arm("cheap", 2.5)], "flops").arms
        if there.label == "dear"
    )
    place = 3 - {2: 1, 4: 2, 8: 3}[factor]
    assert values == {str(run.seed): run.points[place].loss for run in dear.runs}


@given(st.lists(st.floats(0.02, 50.0), min_size=2, max_size=6))
def test_the_amount_serves_as_many_arms_as_any_would(costs: list[float]) -> None:
    arms = [
        arm(f"arm {i}", 2.0 + 0.1 * i, flops=1000 * cost, seeds=2) for i, cost in enumerate(costs)
    ]
    budget = at(arms, "flops")
    spans = [span(each, "flops") for each in arms]
    ends = sorted(last for _, last in spans)
    served = {end: sum(first <= end <= last for first, last in spans) for end in ends}
    assert len(budget.arms) == max(served.values())
    assert budget.amount == next(end for end in ends if served[end] == len(budget.arms))
    assert len(budget.arms) + len(budget.absent) == len(arms)
    if max(first for first, _ in spans) <= ends[0]:
        assert (budget.amount, budget.absent) == (ends[0], [])


def test_one_that_is_far_cheaper_does_not_exclude_the_others() -> None:
    arms = [arm("cheap", 2.4, flops=20), arm("a", 2.0), arm("b", 2.1, flops=1500)]
    budget = at(arms, "flops")
    assert ([there.label for there in budget.arms], budget.absent, budget.amount) == (
        ["a", "b"],
        ["cheap"],
        1000 * TOKENS,
    )
    assert "Not compared at equal FLOPs: cheap had cost less at the end." in words(*arms)


def test_two_without_a_common_amount_are_not_compared() -> None:
    arms = [arm("cheap", 2.4, flops=20), arm("dear", 2.0)]
    budget = at(arms, "flops")
    assert ([there.label for there in budget.arms], budget.absent, budget.differences) == (
        ["cheap"],
        ["dear"],
        [],
    )
    assert "Not compared at equal FLOPs: dear had cost more at the first checkpoint." in words(
        *arms
    )


def test_all_seeds_of_an_arm_have_one_speed() -> None:
    hurried = [
        arm("a", 2.0, slow=(1.0, 1.3, 0.9, 1, 1)),
        arm("b", 2.2, speed=2e-4, slow=(1.7, 1.0, 0.8, 1, 1)),
    ]
    quiet = [arm("a", 2.0), arm("b", 2.2, speed=2e-4)]
    found, expected = (at(arms, "seconds") for arms in (hurried, quiet))
    assert found.amount == pytest.approx(expected.amount)
    for one, other in zip(found.arms, expected.arms, strict=True):
        assert one.values == pytest.approx(other.values)


def test_p_values_are_corrected_within_an_axis() -> None:
    arms = [
        arm("a", 2.00, seeds=5),
        arm("bb", 2.02, seeds=5),
        arm("ccc", 2.03, flops=1500, seeds=5),
    ]
    budget = at(arms, "flops")
    values = {there.label: np.array(list(there.values.values())) for there in budget.arms}
    plain = [paired_t(values[d.worse] - values[d.better]).p_value for d in budget.differences]
    assert [d.p for d in budget.differences] == pytest.approx(holm(plain))


def test_only_equal_seeds_are_paired_and_one_seed_claims_nothing() -> None:
    a, b = arm("a", 2.0, seeds=4), arm("b", 2.2, seeds=3)
    b = replace(b, runs=b.runs[1:])
    assert [d.count for d in at([a, b], "tokens").differences] == [2]
    single = [arm("a", 2.0, seeds=1), arm("b", 2.2, seeds=1)]
    assert [
        budget.differences for budget in equal_budgets(single, unit="nats per token", units_of=even)
    ] == [[], [], []]


def test_what_is_not_trained_has_no_points_or_is_not_ranked_takes_no_part() -> None:
    a, b = arm("a", 2.0), arm("b", 2.2)
    counted, known = (
        replace(arm("ngram", 1.0), kind="counted"),
        replace(arm("hf", 1.0), kind="as it is"),
    )
    plain = replace(arm("plain", 1.0), runs=[replace(run, points=[]) for run in a.runs])
    failed = replace(
        arm("failed", 1.0), runs=[replace(run, status="failed", loss=None) for run in a.runs]
    )
    arms = [counted, a, known, plain, b, failed]
    assert equal_budgets(arms, unit="nats per token", units_of=even) == equal_budgets(
        [a, b], unit="nats per token", units_of=even
    )
    assert equal_budgets([a, counted], unit="nats per token", units_of=even) == []


def test_bits_per_byte_are_read_between_points_too() -> None:
    arms = [arm("a", 2.0, flops=1700), arm("b", 2.2)]
    nats, bits = (
        equal_budgets(arms, unit=unit, units_of=even)[1]
        for unit in ("nats per token", "bits per byte")
    )
    assert bits.differences[0].mean == pytest.approx(nats.differences[0].mean / np.log(2))
    assert nats.differences[0].bits_per_byte == pytest.approx(bits.differences[0].mean)


@given(
    st.lists(
        st.tuples(st.floats(0.2, 4.0), st.floats(0.2, 4.0), st.floats(1.5, 2.5)),
        min_size=2,
        max_size=4,
    )
)
def test_the_best_come_first_and_order_does_not_matter(
    given_arms: list[tuple[float, float, float]],
) -> None:
    arms = [
        arm(f"arm {i}", start, flops=1000 * f, speed=1e-4 * s, seeds=2)
        for i, (f, s, start) in enumerate(given_arms)
    ]
    budgets = equal_budgets(arms, unit="nats per token", units_of=even)
    for budget in budgets:
        means = [np.mean(list(there.values.values())) for there in budget.arms]
        assert all(x <= y + 1e-12 for x, y in pairwise(means))
    assume(len({budget.amount for budget in budgets}) == 3)
    again = equal_budgets(arms[::-1], unit="nats per token", units_of=even)
    assert [(b.amount, b.arms, b.differences, set(b.absent)) for b in again] == [
        (b.amount, b.arms, b.differences, set(b.absent)) for b in budgets
    ]


def test_a_win_everywhere_is_said_in_one_sentence() -> None:
    assert "a beats bb and ccc at equal tokens, FLOPs and time alike." in words(
        arm("a", 2.0), arm("bb", 2.5), arm("ccc", 2.6)
    )


def test_a_win_at_equal_parameters_only_is_said_so() -> None:
    # Per token it leads by 0.1; at four times the cost it is read two doublings earlier, where it
    # has no lead.
    a, b = arm("a", 2.0, flops=2000, speed=2e-4, size=1000), arm("bb", 2.1, size=1020)
    said = words(a, b, parameters=1000)
    assert "at equal parameters and tokens (3 seeds" in said
    assert (
        "a beats bb at equal parameters and tokens, but not at equal FLOPs nor in equal time: it"
        " wins only at equal parameters." in said
    )
    unsized = words(a, replace(b, runs=[replace(run, non_embedding=None) for run in b.runs]))
    assert (
        "a beats bb at equal tokens, but not at equal FLOPs nor in equal time: it wins only at"
        " equal tokens." in unsized
    )


def test_a_reversed_order_is_said_with_its_evidence() -> None:
    a, b = arm("a", 2.0, gain=0.2, flops=8000, seeds=5), arm("bb", 2.3, gain=0.2, seeds=5)
    said = words(a, b)
    assert "a beats bb at equal tokens and in equal time, but not at equal FLOPs." in said
    assert "At equal FLOPs the order is reversed: bb beats a by 0.300 ± " in said
    assert said.count("At equal FLOPs") == 1


def test_another_winner_without_a_claim_is_a_finding_too() -> None:
    a, b = arm("a", 2.0, gain=0.1, flops=2000), arm("bb", 2.098)
    said = words(a, b)
    assert "At equal FLOPs bb scores best, by 0.009 ± " in said
    assert "): no claim." in said
    single = words_of_one(arm("a", 2.0, flops=4000, seeds=1), arm("bb", 2.1, seeds=1))
    assert "At equal FLOPs bb scores best, not a; single runs, no claim." in single


def words_of_one(a: ArmResult, b: ArmResult) -> str:
    plan = Plan(arms=[], seeds=[0], data={}, budget="80k-tokens")
    many = find_differences([arm("a", 2.0), arm("bb", 2.1)], unit="nats per token", units_of=even)
    budgets = equal_budgets([a, b], unit="nats per token", units_of=even)
    return " ".join(say([a, b], many, unit="nats per token", plan=plan, budgets=budgets).sentences)


def test_a_lead_that_no_equal_budget_knows_is_said() -> None:
    a, b = arm("a", 2.0), arm("bb", 2.3)
    level = [
        replace(run, points=[replace(p, loss=2.0 + NOISE[run.seed or 0]) for p in run.points])
        for run in b.runs
    ]
    said = words(a, replace(b, runs=level))
    assert (
        "What a gains over bb is not there" not in said
    )  # where it scores best without a claim, something is said of it below
    a = replace(
        a,
        runs=[
            replace(
                run, points=[replace(p, loss=2.0 + NOISE[-1 - (run.seed or 0)]) for p in run.points]
            )
            for run in a.runs
        ],
    )
    assert (
        "What a gains over bb is not there at equal tokens nor at equal FLOPs nor in equal time."
        in words(a, replace(b, runs=level))
    )


def test_one_difference_is_not_claimed_in_one_place_and_left_open_in_another() -> None:
    arms = [arm("a", 2.0, seeds=3), arm("bb", 2.045, seeds=3)]
    assert "a beats bb at equal tokens" in words(*arms)
    floors = [replace(arm(f"{n}-gram", 2.02, seeds=1), kind="counted") for n in range(4)]
    differences = find_differences([*arms, *floors], unit="nats per token", units_of=even)
    assert next(d for d in differences if {d.better, d.worse} == {"a", "bb"}).finding == "no claim"
    plan = Plan(arms=[], seeds=[0], data={}, budget="80k-tokens")
    budgets = equal_budgets(arms, unit="nats per token", units_of=even)
    said = say(
        [*arms, *floors], differences, unit="nats per token", plan=plan, budgets=budgets
    ).sentences
    assert not any("a beats bb" in sentence for sentence in said)


def test_sizes_that_differ_are_said() -> None:
    a, b, c = arm("a", 2.0, size=2100), arm("bb", 2.3, size=1000), arm("ccc", 2.4, size=1010)
    assert "a has 2.1 times the parameters of bb: nothing here is at equal parameters." in words(
        a, b
    )
    assert (
        "a has 2.1 times the parameters of bb and 2.1 times the parameters of ccc: these are not"
        " compared at equal parameters." in words(a, b, c)
    )
    assert "parameters" not in words(arm("a", 2.0), arm("bb", 2.3))
    assert "at equal parameters, tokens, FLOPs and time alike" in words(b, arm("a", 2.6, size=980))
    assert "times the parameters" not in words(b, c, arm("a", 2.6, size=980))
    assert "a has 8% more parameters than bb: nothing here is at equal parameters." in words(
        arm("a", 2.0, size=1080), b
    )
    asked = Plan(arms=[], seeds=[0], data={}, budget="80k-tokens", parameters=1000)
    assert one_size(arm("a", 2.0, size=1028), arm("bb", 2.3, size=972), asked), (
        "both are what was asked for"
    )
    assert not one_size(
        arm("a", 2.0, size=1028), arm("bb", 2.3, size=972), replace(asked, parameters=None)
    )
