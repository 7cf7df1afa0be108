"""Who is better, and how sure that is: seeds carry claims, documents never do, and without evidence there is no claim."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inklings.evaluation.statistics import holm, paired_t
from inklings.evaluation.units import Sums
from inklings.lab.comparison import ArmResult, Difference, RunResult
from inklings.lab.verdict import Units, find_differences, say, say_p

TARGETS = np.full(200, 20)


def arm(label: str, *losses: float, kind: str = "trained", seeds: tuple[int, ...] | None = None) -> ArmResult:
    runs = [
        RunResult(seed=seed, status="done", run=f"{label}/{seed}", loss=loss, bits_per_byte=loss / np.log(2).item())
        for seed, loss in zip(seeds or range(len(losses)), losses, strict=True)
    ]
    return ArmResult(label=label, architecture=label, kind=kind, runs=runs)  # type: ignore[arg-type]  # any kind


def units(run: RunResult) -> Units:
    """Documents that add up to the run's loss, with the same easy and hard ones for all."""
    assert run.loss is not None
    noise = np.random.default_rng(0).normal(0, 3, len(TARGETS)) + np.random.default_rng(ord(run.run[0])).normal(0, 0.5, len(TARGETS))
    nats = run.loss * TARGETS + noise - noise.mean()
    return Units("documents", Sums(nats, TARGETS, TARGETS, TARGETS))


def differences(*arms: ArmResult) -> list[Difference]:
    return find_differences(arms, unit="nats per token", units_of=units)


def headline(*arms: ArmResult) -> str:
    return say(arms, differences(*arms), unit="nats per token", budget="1M-tokens").headline


def test_a_clear_difference_over_seeds_is_claimed_with_its_t_interval() -> None:
    found = differences(arm("worse", 2.10, 2.12, 2.11), arm("better", 2.00, 2.01, 2.02))[0]
    expected = paired_t([0.10, 0.11, 0.09])
    assert (found.better, found.worse, found.finding, found.evidence, found.count) == ("better", "worse", "better", "seeds", 3)
    assert (found.mean, found.low, found.high, found.p) == pytest.approx(
        (0.10, expected.interval.low, expected.interval.high, expected.p_value)
    )


def test_noise_is_no_claim() -> None:
    a, b = arm("a", 2.00, 2.05, 1.98), arm("b", 2.01, 2.00, 2.03)
    assert differences(a, b)[0].finding == "no claim"
    assert headline(a, b) == "No claim between a and b."
    sentences = say([a, b], differences(a, b), unit="nats per token", budget=None).sentences
    assert "could not have shown a difference below" in sentences[0]


def test_equal_losses_are_no_claim() -> None:
    found = differences(arm("a", 2.0, 2.1), arm("b", 2.0, 2.1))[0]
    assert (found.mean, found.p, found.finding) == (0, 1, "no claim")


def test_one_seed_is_weaker_evidence_and_makes_no_claim_about_architectures() -> None:
    a, b = arm("a", 2.0), arm("b", 2.5)
    found = differences(a, b)[0]
    assert (found.evidence, found.finding, found.p, found.count) == ("documents", "better on this text", None, 200)
    assert found.low is not None and found.high is not None and found.low < 0.5 < found.high
    verdict = say([a, b], [found], unit="nats per token", budget="1M-tokens")
    assert verdict.headline == "a scores best here. Single runs carry no claim about architectures."
    assert any("another seed may change the order" in sentence for sentence in verdict.sentences)


def test_p_values_are_corrected_over_all_pairs() -> None:
    arms = [arm("a", 2.00, 2.01, 2.02), arm("b", 2.05, 2.07, 2.06), arm("c", 2.10, 2.12, 2.11)]
    losses = {a.label: np.array([run.loss for run in a.runs]) for a in arms}
    plain = [paired_t(losses[w] - losses[b]).p_value for b, w in (("a", "b"), ("a", "c"), ("b", "c"))]
    assert [found.p for found in differences(*arms)] == pytest.approx(holm(plain))


def test_a_difference_that_only_holds_uncorrected_is_no_claim() -> None:
    a, b = arm("a", 2.000, 2.000, 2.000), arm("b", 2.010, 2.012, 2.005)
    assert differences(a, b)[0].finding == "better"
    others = [arm(f"x{i}", 2.03 + 0.001 * i, 2.02, 2.04) for i in range(4)]
    assert next(d for d in differences(a, b, *others) if {d.better, d.worse} == {"a", "b"}).finding == "no claim"


def test_a_counted_run_stands_for_every_seed() -> None:
    found = differences(arm("gpt", 2.00, 2.01, 2.02), arm("ngram", 2.3, kind="counted"))[0]
    assert (found.evidence, found.count) == ("seeds", 3)
    assert found.mean == pytest.approx(2.3 - 2.01)


def test_only_equal_seeds_are_paired() -> None:
    found = differences(arm("a", 2.0, 2.1, 2.2, seeds=(0, 1, 2)), arm("b", 9.0, 2.6, 2.7, seeds=(7, 1, 2)))[0]
    assert (found.count, found.mean) == (2, pytest.approx(0.5))


def test_a_run_that_failed_is_left_out_of_the_pairs() -> None:
    broken = arm("b", 2.5, 2.6, 2.7)
    broken = replace(broken, runs=[replace(broken.runs[0], status="failed", loss=None), *broken.runs[1:]])
    assert differences(arm("a", 2.0, 2.1, 2.2), broken)[0].count == 2


def test_runs_as_they_are_are_compared_over_documents_only() -> None:
    found = differences(arm("a", 2.0, 2.01, 2.02), arm("old", 2.5, kind="as it is", seeds=(0,)))[0]
    assert (found.evidence, found.finding) == ("documents", "better on this text")


def test_with_different_tokenizers_bits_per_byte_are_compared() -> None:
    found = find_differences([arm("a", 2.0), arm("b", 2.5)], unit="bits per byte", units_of=units)[0]
    assert found.mean == pytest.approx(0.5 / np.log(2))
    assert found.low is not None and found.low < found.mean < (found.high or 0)


def test_too_little_text_for_an_interval_is_no_claim() -> None:
    one = Sums(np.array([10.0]), np.array([5]), np.array([5]), np.array([1]))
    arms = [arm("a", 2.0), arm("b", 2.5)]
    found = find_differences(arms, unit="nats per token", units_of=lambda run: Units("blocks", one))
    assert (found[0].low, found[0].high, found[0].finding) == (None, None, "no claim")
    words = say(arms, found, unit="nats per token", budget=None).sentences[0]
    assert "(1 blocks of text resampled): too little text to tell" in words


def test_words() -> None:
    strong = [arm("a", 2.00, 2.01, 2.02), arm("b", 2.50, 2.52, 2.51), arm("c", 3.00, 3.02, 3.01)]
    verdict = say(strong, differences(*strong), unit="nats per token", budget="1M-tokens")
    assert verdict.headline == "a beats all 2 others."
    assert verdict.sentences[0].startswith("a beats b, the next best, by 0.500 ± ")
    assert "at equal tokens (3 seeds, p " in verdict.sentences[0]
    assert headline(strong[0]) == "Only a could be ranked: there is nothing to compare it with."
    assert headline(ArmResult(label="x", architecture="x", kind="trained")) == "No arm could be ranked."
    assert (say_p(0.0004), say_p(0.01234)) == ("< 0.001", "= 0.012")


def test_equal_tokens_are_said_of_trained_arms_only() -> None:
    arms = [arm("ngram", 2.0, kind="counted"), arm("gpt", 2.50, 2.52, 2.51)]
    assert "at equal tokens" not in say(arms, differences(*arms), unit="nats per token", budget="1M-tokens").sentences[0]


def test_the_order_of_the_arms_does_not_matter() -> None:
    arms = [arm("a", 2.00, 2.01), arm("b", 2.50, 2.52), arm("c", 1.0, 1.1)]
    assert differences(*arms) == differences(*reversed(arms))
