"""No false alarms about families that do not ship here, nor about what moves, draws or rounds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from inklings.auditing.audit import audit, dishonest
from inklings.auditing.checks.declarations import check_declarations
from inklings.auditing.checks.rows import check_documents
from inklings.auditing.checks.streaming import check_streaming
from inklings.auditing.probes import scrambled
from inklings.auditing.rounding import beyond_rounding
from inklings.models.contract import SequenceModel, parameter_count
from tests.built import build_sequence_model

from .fixtures import honest_recurrences, honest_trained
from .fixtures.known_bad import Honest
from .fixtures.opens_by_shape import ahead
from .fixtures.subject import models_of, subject_of

WARNED = {"DrawsByItself": {"repeatable"}, "OwnBatchNorm": {"rows"}}
"""What must be known of some of them."""

CONCERNED = {
    "KeepsWhatItComputed": ["gradients", "repeatable"],
    "MixtureOfExperts": ["causality"],
    "VectorQuantised": ["rows"],
    "DrawsByItself": ["repeatable"],
    "MarksBoundaries": ["gradients"],
    "RandomFeatures": ["gradients"],
    "OwnBatchNorm": ["rows"],
    "HashedGrams": ["contract", "documents", "state"],
}
"""The checks that once raised an alarm, or would; all of them are asked in the slow tests."""

KINDS = {
    kind.__name__: kind
    for family in (honest_trained, honest_recurrences)
    for kind in models_of(family)
}


@pytest.mark.parametrize(("name", "checks"), CONCERNED.items(), ids=list(CONCERNED))
def test_what_looks_like_a_fault_is_none(name: str, checks: list[str]) -> None:
    findings = audit(subject_of(KINDS[name]), only=checks).findings
    assert not [(found.check, found.summary) for found in findings if not found.holds]
    warned = {found.check for found in findings if found.status == "warning"}
    assert warned == WARNED.get(name, set())


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_the_whole_audit_raises_no_alarm(name: str) -> None:
    result = audit(subject_of(KINDS[name]))
    assert not [(found.check, found.summary) for found in result.failed]
    warned = {found.check for found in result.findings if found.status == "warning"}
    assert warned == WARNED.get(name, set())


def test_not_resumable_is_said_and_is_no_leak() -> None:
    (finding,) = audit(subject_of(KINDS["DrawsByItself"]), only=["repeatable"]).findings
    assert "not resumable" in finding.summary
    assert not dishonest([finding])


def test_attention_over_a_long_context_may_be_most_of_what_is_declared() -> None:
    fields = {"n_layer": 1, "n_head": 1, "n_embd": 16, "context_length": 2048}
    model = build_sequence_model("gpt", fields, vocab_size=65)
    found = check_declarations(model)
    assert found.status == "pass", found.summary
    usual = 6 * parameter_count(model) * found.evidence["tokens"]
    assert found.evidence["declared"] > 5 * usual  # or this shows nothing


class SeedsEverything(Honest):
    def finished(self, hidden: Tensor, *, streamed: bool) -> Tensor:
        torch.manual_seed(5)
        return hidden


def test_a_seed_that_every_pass_sets_is_said() -> None:
    (finding,) = audit(subject_of(SeedsEverything), only=["repeatable"]).findings
    assert finding.status == "warning"
    assert "sets the seed of a global random generator" in finding.summary


def test_steps_of_rounding_are_told_from_a_fault() -> None:
    fresh = subject_of(honest_recurrences.QuantisedConvolution).fresh
    # of every second seed; of which, is up to the processor
    models = (scrambled(fresh, seed) for seed in range(16))
    made = next(model for model in models if check_streaming(model).status == "fail")
    judged = beyond_rounding(check_streaming)(made)
    assert judged.status == "pass"
    assert judged.evidence["rounding"] > 0.001


class QuantisedAndLeaky(honest_trained.Quantised):
    def finished(self, hidden: Tensor, *, streamed: bool) -> Tensor:
        hidden = super().finished(hidden, streamed=streamed)
        return hidden if streamed else hidden + ahead(hidden)


class LeaksInSinglePrecision(Honest):
    def finished(self, hidden: Tensor, *, streamed: bool) -> Tensor:
        return hidden + 0.05 * ahead(hidden) if hidden.element_size() == 4 else hidden


@pytest.mark.parametrize("kind", [QuantisedAndLeaky, LeaksInSinglePrecision])
def test_a_leak_is_no_rounding(kind: type[SequenceModel]) -> None:
    assert beyond_rounding(check_documents)(subject_of(kind).scrambled).status == "fail"
