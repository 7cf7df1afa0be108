"""Who is better, and how sure that is.

Seeds carry claims, documents never do, and without evidence there is no claim.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from inklings.evaluation.likelihood.units import UnitSums
from inklings.evaluation.power import detectable
from inklings.evaluation.statistics import holm, paired_t, shared_error_p
from inklings.lab.comparison.plan import ArmPlan, Plan
from inklings.lab.comparison.result import ArmResult, Difference, RunResult, Verdict
from inklings.lab.report.table import beside_the_best
from inklings.lab.verdict.differences import ResamplingUnits, find_differences
from inklings.lab.verdict.sentences import say
from inklings.lab.verdict.wording import say_p

TARGETS = np.full(200, 20)


def arm(
    label: str, *losses: float, kind: str = "trained", seeds: tuple[int, ...] | None = None
) -> ArmResult:
    runs = [
        RunResult(
            seed=seed,
            status="done",
            run=f"{label}/{seed}",
            loss=loss,
            bits_per_byte=loss / np.log(2).item(),
        )
        for seed, loss in zip(seeds or range(len(losses)), losses, strict=True)
    ]
    return ArmResult(label=label, architecture=label, kind=kind, runs=runs)  # type: ignore[arg-type]  # any kind


def units(run: RunResult) -> ResamplingUnits:
    """Documents that add up to the run's loss, with the same easy and hard ones for all."""
    assert run.loss is not None
    noise = np.random.default_rng(0).normal(0, 3, len(TARGETS)) + np.random.default_rng(
        ord(run.run[0])
    ).normal(0, 0.5, len(TARGETS))
    nats = run.loss * TARGETS + noise - noise.mean()
    return ResamplingUnits("documents", UnitSums(nats, TARGETS, TARGETS, TARGETS))


def differences(*arms: ArmResult) -> list[Difference]:
    return find_differences(arms, unit="nats per token", units_of=units)


def plan(**changes: object) -> Plan:
    return replace(Plan(arms=[], seeds=[0], data={}, budget="1M-tokens"), **changes)  # type: ignore[arg-type]  # any field


def verdict(*arms: ArmResult) -> Verdict:
    return say(arms, differences(*arms), unit="nats per token", plan=plan())


def headline(*arms: ArmResult) -> str:
    return verdict(*arms).headline


def test_a_clear_difference_over_seeds_is_claimed_with_its_t_interval() -> None:
    found = differences(arm("worse", 2.10, 2.12, 2.11), arm("better", 2.00, 2.01, 2.02))[0]
    expected = paired_t([0.10, 0.11, 0.09])
    assert (found.better, found.worse, found.finding, found.evidence, found.count) == (
        "better",
        "worse",
        "better",
        "seeds",
        3,
    )
    assert (found.mean, found.low, found.high, found.p) == pytest.approx(
        (0.10, expected.interval.low, expected.interval.high, expected.p_value)
    )


def test_noise_is_no_claim() -> None:
    a, b = arm("a", 2.00, 2.05, 1.98), arm("b", 2.01, 2.00, 2.03)
    assert differences(a, b)[0].finding == "no claim"
    assert headline(a, b) == "No claim between a and b."
    assert "could not have shown a difference below" in verdict(a, b).sentences[0]


def test_equal_losses_are_no_claim() -> None:
    found = differences(arm("a", 2.0, 2.1), arm("b", 2.0, 2.1))[0]
    assert (found.mean, found.p, found.finding) == (0, 1, "no claim")


def test_one_seed_is_weaker_evidence_and_makes_no_claim_about_architectures() -> None:
    a, b = arm("a", 2.0), arm("b", 2.5)
    found = differences(a, b)[0]
    assert (found.evidence, found.finding, found.p, found.count) == (
        "documents",
        "better on this text",
        None,
        200,
    )
    assert found.low is not None and found.high is not None and found.low < 0.5 < found.high
    said = verdict(a, b)
    assert said.headline == "a scores best here. Single runs carry no claim about architectures."
    assert said.sentences[0].startswith("This run of a scores 0.500 ± ")
    assert (
        "below b (20.0%, 0.721 bits per byte) at equal tokens (200 documents resampled)."
        in said.sentences[0]
    )
    assert any("another seed may change the order" in sentence for sentence in said.sentences)


def test_p_values_are_corrected_over_all_pairs() -> None:
    arms = [arm("a", 2.00, 2.01, 2.02), arm("b", 2.05, 2.07, 2.06), arm("c", 2.10, 2.12, 2.11)]
    losses = {a.label: np.array([run.loss for run in a.runs]) for a in arms}
    plain = [
        paired_t(losses[w] - losses[b]).p_value for b, w in (("a", "b"), ("a", "c"), ("b", "c"))
    ]
    assert [found.p for found in differences(*arms)] == pytest.approx(holm(plain))


def test_a_difference_that_only_holds_uncorrected_is_no_claim() -> None:
    a, b = arm("a", 2.000, 2.000, 2.000), arm("b", 2.010, 2.012, 2.005)
    assert differences(a, b)[0].finding == "better"
    others = [arm(f"x{i}", 2.03 + 0.001 * i, 2.02, 2.04) for i in range(4)]
    assert (
        next(d for d in differences(a, b, *others) if {d.better, d.worse} == {"a", "b"}).finding
        == "no claim"
    )


def test_a_counted_run_stands_for_every_seed() -> None:
    found = differences(arm("gpt", 2.00, 2.01, 2.02), arm("ngram", 2.3, kind="counted"))[0]
    assert (found.evidence, found.count) == ("seeds", 3)
    assert found.mean == pytest.approx(2.3 - 2.01)


def test_only_equal_seeds_are_paired() -> None:
    found = differences(
        arm("a", 2.0, 2.1, 2.2, seeds=(0, 1, 2)), arm("b", 9.0, 2.6, 2.7, seeds=(7, 1, 2))
    )[0]
    assert found.count == 2
    assert found.mean == pytest.approx(0.5)


def test_a_run_that_failed_is_left_out_of_the_pairs() -> None:
    broken = arm("b", 2.5, 2.6, 2.7)
    broken = replace(
        broken, runs=[replace(broken.runs[0], status="failed", loss=None), *broken.runs[1:]]
    )
    assert differences(arm("a", 2.0, 2.1, 2.2), broken)[0].count == 2


def test_runs_as_they_are_are_compared_over_documents_only() -> None:
    found = differences(arm("a", 2.0, 2.01, 2.02), arm("old", 2.5, kind="as it is", seeds=(0,)))[0]
    assert (found.evidence, found.finding) == ("documents", "better on this text")


def test_with_different_tokenizers_bits_per_byte_are_compared() -> None:
    found = find_differences([arm("a", 2.0), arm("b", 2.5)], unit="bits per byte", units_of=units)[
        0
    ]
    assert found.mean == pytest.approx(0.5 / np.log(2))
    assert found.low is not None and found.low < found.mean < (found.high or 0)


def test_too_little_text_for_an_interval_is_no_claim() -> None:
    one = UnitSums(np.array([10.0]), np.array([5]), np.array([5]), np.array([1]))
    arms = [arm("a", 2.0), arm("b", 2.5)]
    found = find_differences(
        arms, unit="nats per token", units_of=lambda run: ResamplingUnits("blocks", one)
    )
    assert (found[0].low, found[0].high, found[0].finding) == (None, None, "no claim")
    words = say(arms, found, unit="nats per token", plan=plan(budget=None)).sentences[0]
    assert "(1 blocks of text resampled), no claim: too little text to tell" in words


def test_words() -> None:
    strong = [arm("a", 2.00, 2.01, 2.02), arm("b", 2.50, 2.52, 2.51), arm("c", 3.00, 3.02, 3.01)]
    said = verdict(*strong)
    assert said.headline == "a beats all 2 others."
    assert said.sentences[0].startswith("a beats b, the next best, by 0.500 ± ")
    assert (
        "nats per token (19.9%, 0.721 bits per byte) at equal tokens (3 seeds, p "
        in said.sentences[0]
    )
    assert headline(strong[0]) == "Only a could be ranked: there is nothing to compare it with."
    assert (
        headline(ArmResult(label="x", architecture="x", kind="trained"))
        == "No arm could be ranked."
    )
    assert (say_p(0.0004), say_p(0.01234)) == ("< 0.001", "= 0.012")


def test_equal_tokens_are_said_of_counting_where_it_had_as_many() -> None:
    gpt = arm("gpt", 2.50, 2.52, 2.51)
    for tokens, equal in ((1_000_000, True), (180_000, False)):
        arms = [arm("ngram", 2.0, kind="counted"), gpt]
        arms = [
            replace(
                of,
                runs=[
                    replace(run, tokens=tokens if of.kind == "counted" else 1_000_000)
                    for run in of.runs
                ],
            )
            for of in arms
        ]
        assert ("at equal tokens" in verdict(*arms).sentences[0]) == equal
    lacking = arm("as it is", 2.0, kind="as it is")
    assert "at equal tokens" not in verdict(lacking, gpt).sentences[0]


@pytest.mark.parametrize(
    ("counted", "loss", "said"),
    [
        (1_000_000, 2.0, "as many as the others read. Counting remembers at once"),
        (1_000_000, 3.0, "as many as the others read. gpt made more of them"),
        (
            250_000,
            2.0,
            "4.0 times as many. Reading it again, from which counting gains nothing, has",
        ),
        (250_000, 3.0, "counting gains nothing, brought gpt past it"),
    ],
)
def test_what_counting_read_beside_the_others_is_told(counted: int, loss: float, said: str) -> None:
    ngram, gpt = arm("ngram", loss, kind="counted"), arm("gpt", 2.50, 2.52, 2.51)
    arms = [
        replace(of, runs=[replace(run, tokens=tokens) for run in of.runs])
        for of, tokens in ((ngram, counted), (gpt, 1_000_000))
    ]
    found = [line for line in verdict(*arms).sentences if line.startswith("ngram counted")]
    assert len(found) == 1
    assert said in found[0]
    assert not [line for line in verdict(gpt, arm("mlp", 3.0)).sentences if "counted" in line]


def test_the_size_of_a_difference_is_said_of_the_better_arm_in_every_measure() -> None:
    for arms in (
        [arm("a", 2.0, 2.1), arm("b", 2.5, 2.52)],
        [arm("b", 2.5, 2.52), arm("a", 2.0, 2.1)],
    ):
        found = differences(*arms)[0]
        assert found.relative == pytest.approx(0.46 / 2.51)
        assert found.bits_per_byte == pytest.approx(0.46 / np.log(2))
    # The means over the seeds that both have turn the order of all runs round.
    turned = differences(
        arm("a", 1.0, 2.6, 2.7, seeds=(7, 1, 2)), arm("b", 2.0, 2.1, 2.2, seeds=(0, 1, 2))
    )[0]
    assert turned.better == "b"
    assert turned.relative == pytest.approx(0.5 / 2.65)
    assert turned.bits_per_byte == pytest.approx(0.5 / np.log(2))


def test_bits_that_a_run_does_not_have_are_not_said() -> None:
    a, b = arm("a", 2.0, 2.0, 2.01), arm("b", 2.5, 2.52, 2.51)
    b = replace(b, runs=[replace(run, bits_per_byte=None) for run in b.runs])
    assert differences(a, b)[0].bits_per_byte is None
    assert "(20.2%) at equal tokens" in verdict(a, b).sentences[0]


def test_from_six_seeds_on_a_claim_needs_the_signs_too() -> None:
    gains = (0.10, 0.09, 0.11, 0.10, 0.08, -0.01)
    a = arm("a", *[2.0] * 6)
    assert paired_t(gains).p_value < 0.05
    found = differences(a, arm("b", *[2.0 + gain for gain in gains]))[0]
    assert found.finding == "no claim"
    assert found.flips == pytest.approx(4 / 64)
    assert (
        "sign-flip p = 0.062" in verdict(a, arm("b", *[2.0 + gain for gain in gains])).sentences[0]
    )
    agreed = differences(a, arm("b", *[2.0 + abs(gain) for gain in gains]))[0]
    assert agreed.finding == "better"
    assert agreed.flips == pytest.approx(2 / 64)


def lopsided(run: RunResult) -> ResamplingUnits:
    """As `units`.

    But what an arm gains or loses lies in three documents out of 200, the same for all its seeds.
    """
    assert run.loss is not None
    nats = 2.0 * TARGETS.astype(float)
    nats[:3] += (run.loss - 2.0) * TARGETS.sum() / 3
    return ResamplingUnits("documents", UnitSums(nats, TARGETS, TARGETS, TARGETS))


def test_seeds_that_agree_on_too_little_text_claim_it_of_this_text_only() -> None:
    arms = [arm("a", 2.000, 2.001, 2.002), arm("b", 2.051, 2.050, 2.049)]
    found = find_differences(arms, unit="nats per token", units_of=lopsided)
    assert found[0].p is not None and found[0].any_text is not None
    assert (found[0].finding, found[0].p < 0.05 < found[0].any_text) == (
        "better on this text",
        True,
    )
    said = say(arms, found, unit="nats per token", plan=plan())
    assert said.headline == "a beats b on this text; on other text of its kind that is not sure."
    assert said.sentences[0].startswith("On this text a beats b by 0.049 ± ")
    assert said.sentences[0].endswith(
        f"to say so of all text of its kind (p {say_p(found[0].any_text)})."
    )
    assert differences(*arms)[0].finding == "better"  # the same losses, evenly over the text


def test_among_others_too_a_win_on_this_text_alone_is_said_so() -> None:
    arms = [
        arm("a", 2.000, 2.001, 2.002),
        arm("b", 2.051, 2.050, 2.049),
        arm("c", 2.072, 2.071, 2.070),
    ]
    said = say(
        arms,
        find_differences(arms, unit="nats per token", units_of=lopsided),
        unit="nats per token",
        plan=plan(),
    )
    assert (
        said.headline
        == "a beats all 2 others on this text; on other text of its kind that is not sure."
    )
    assert said.sentences[1].startswith("a beats c on this text alone; it is too little text")


def test_the_doubt_of_the_text_is_that_of_its_documents() -> None:
    a, b = arm("a", 2.00, 2.02, 2.01), arm("b", 2.05, 2.04, 2.06)
    found = differences(a, b)[0]
    gains = np.array(
        [units(y).sums.nats - units(x).sums.nats for x, y in zip(a.runs, b.runs, strict=True)]
    )
    of_documents = stats.sem(gains.mean(0) / TARGETS)  # all are of one length
    assert found.any_text == pytest.approx(
        shared_error_p([0.05, 0.02, 0.05], of_documents, len(TARGETS))
    )
    in_bits = find_differences([a, b], unit="bits per byte", units_of=units)[0]
    assert in_bits.any_text == pytest.approx(found.any_text)


def test_a_single_block_of_text_tells_nothing_of_other_text() -> None:
    one = UnitSums(np.array([10.0]), np.array([5]), np.array([5]), np.array([1]))
    found = find_differences(
        [arm("a", 2.0, 2.01), arm("b", 2.5, 2.51)],
        unit="nats per token",
        units_of=lambda run: ResamplingUnits("blocks", one),
    )
    assert (found[0].any_text, found[0].finding) == (None, "better")


def test_five_seeds_cannot_be_asked_for_signs() -> None:
    found = differences(arm("a", *[2.0] * 5), arm("b", 2.10, 2.09, 2.11, 2.10, 2.08))[0]
    assert (found.flips, found.finding) == (None, "better")


def test_what_could_have_been_shown_is_what_power_says_of_the_spread() -> None:
    def even(run: RunResult) -> ResamplingUnits:
        assert run.loss is not None
        return ResamplingUnits("documents", UnitSums(run.loss * TARGETS, TARGETS, TARGETS, TARGETS))

    gains = np.array([0.03, -0.02, 0.01, 0.02, -0.03])
    a, b, c = (
        arm("a", *[2.0] * 5),
        arm("b", *(2.0 + gains).tolist()),
        arm("c", 3.0, 3.1, 3.0, 3.1, 3.0),
    )
    spread = gains.std(ddof=1)
    found = find_differences([a, b], unit="nats per token", units_of=even)[0]
    assert found.detectable == pytest.approx(spread * detectable(5))
    among_three = find_differences([a, b, c], unit="nats per token", units_of=even)[0]
    assert among_three.detectable == pytest.approx(spread * detectable(5, tests=3))
    said = say([a, b], [found], unit="nats per token", plan=plan()).sentences[0]
    assert (
        f"no claim: these runs could not have shown a difference below {found.detectable:.3f} with"
        " a chance of 80%" in said
    )
    # What the text adds to the doubt, it adds to what could not be shown.
    on_less_text = find_differences([a, b], unit="nats per token", units_of=units)[0]
    of_documents = stats.sem((units(b.runs[0]).sums.nats - units(a.runs[0]).sums.nats) / TARGETS)
    assert on_less_text.detectable == pytest.approx(
        np.hypot(spread, np.sqrt(5) * of_documents) * detectable(5), rel=1e-3
    )


@pytest.mark.parametrize(("losses", "factor"), [((2.00, 2.03), 8.98), ((2.00, 2.03, 1.99), 2.48)])
def test_few_seeds_say_what_they_can_show(losses: tuple[float, ...], factor: float) -> None:
    a, b = arm("a", *[2.0] * len(losses)), arm("b", *losses)
    said = " ".join(verdict(a, b).sentences)
    assert (
        f"{len(losses)} seeds cannot reach significance unless a difference is {factor:.2g} times"
        " its standard deviation" in said
    )
    # It is so: just beyond that factor there is a claim, just below there is none.
    noise = np.array(losses) - np.mean(losses)
    for scale, finding in ((1.01, "better"), (0.99, "no claim")):
        lead = scale * factor * noise.std(ddof=1)
        assert differences(a, arm("b", *(2.0 + lead + noise).tolist()))[0].finding == finding


def test_enough_seeds_or_a_claim_need_no_such_warning() -> None:
    assert "cannot reach" not in " ".join(
        verdict(arm("a", *[2.0] * 4), arm("b", 2.1, 1.9, 2.0, 2.1)).sentences
    )
    assert "cannot reach" not in " ".join(
        verdict(arm("a", 2.0, 2.01), arm("b", 2.5, 2.51)).sentences
    )


def test_an_arm_named_twice_is_said_to_be_a_test_of_chance() -> None:
    arms = [arm("gpt (2)", 2.0, 2.1, 2.0), arm("gpt", 2.05, 2.0, 2.1), arm("rnn", 2.5, 2.6, 2.5)]
    plans = [
        ArmPlan(label=name, config={"architecture": name[:3]}) for name in ("gpt", "gpt (2)", "rnn")
    ]
    said = say(arms, differences(*arms), unit="nats per token", plan=plan(arms=plans)).sentences
    same = [sentence for sentence in said if "A/A test" in sentence]
    assert len(same) == 1
    assert same[0].startswith(
        "gpt and gpt (2) are the same architecture with other initialisations"
    )


def test_the_order_of_the_arms_does_not_matter() -> None:
    arms = [arm("a", 2.00, 2.01), arm("b", 2.50, 2.52), arm("c", 1.0, 1.1)]
    assert differences(*arms) == differences(*reversed(arms))


LOSSES = st.lists(st.floats(1.0, 3.0), min_size=1, max_size=5)


@given(LOSSES, LOSSES, LOSSES, st.data())
def test_nobody_is_said_to_beat_who_beats_it(
    a: list[float], b: list[float], c: list[float], data: st.DataObject
) -> None:
    """Arms lack some seeds, so that the order of their means and that of the pairs may differ."""
    arms = [
        arm(
            label,
            *losses,
            seeds=tuple(
                sorted(
                    data.draw(st.permutations(range(6)), label=f"seeds of {label}")[: len(losses)]
                )
            ),
        )
        for label, losses in (("a", a), ("b", b), ("c", c))
    ]
    found = differences(*arms)
    said = say(arms, found, unit="nats per token", plan=plan())
    text = " ".join([said.headline, *said.sentences])
    claims = {(d.better, d.worse) for d in found if d.finding != "no claim"}
    for better, worse in permutations("abc", 2):
        if f"{better} beats {worse}" in text or (
            f"This run of {better} scores" in text and f"below {worse}" in text
        ):
            assert (better, worse) in claims
        for_all = said.headline.startswith(f"{better} beats all")
        assert not for_all or (better, worse) in claims
    for difference in found:
        assert not beside_the_best(difference, difference.better).startswith("worse")


def test_who_is_beaten_on_the_pairs_has_no_claim_by_its_mean() -> None:
    """`a` has the better mean by a lucky seed that `b` lacks."""
    a = arm("a", 0.5, 2.10, 2.11, 2.12, seeds=(0, 1, 2, 3))
    b = arm("b", 2.00, 2.01, 2.02, seeds=(1, 2, 3))
    said = verdict(a, b)
    assert said.headline == "No claim between a and b."
    assert any("b beats it by 0.100" in sentence for sentence in said.sentences)
