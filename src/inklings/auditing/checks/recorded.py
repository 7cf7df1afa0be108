"""Whether the loss that training recorded is the one that the weights have.

A model that keeps texts or counts outside its weights scores otherwise once it is loaded again, or
a second time, or in other batches.
"""

from __future__ import annotations

from typing import Any

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding, not_applicable
from inklings.auditing.subjects import Subject
from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.models.contract import SequenceModel, parameter_count
from inklings.models.objectives import has_likelihood
from inklings.runs.metrics import best_evaluation
from inklings.runs.own_text import is_own
from inklings.text.store import TokenSplit

ALLOWED = 2e-3
"""Nats per token between two ways to compute one loss that are rounding."""
HEAD = 2_048
"""Targets that are scored in batches, once more, and in one row."""
WORK = 4e11
"""Floating-point operations that scoring the whole split may take."""


def check_recorded(
    model: SequenceModel, split: TokenSplit, recorded: float | None = None
) -> Finding:
    """Compare losses of a validation split that must be one: the recorded one, and evaluations.

    Args:
        model: the model; left in evaluation mode.
        split: the validation split.
        recorded: the loss that was recorded; None compares only evaluations with each other.
    """
    evidence: dict[str, Any] = {"recorded": recorded}
    wrong, left_out = [], ""
    if recorded is not None and 2 * parameter_count(model) * split.n_targets > WORK:
        left_out = (
            f"; whether it is the recorded one ({recorded:.4f}) is not decidable here, because"
            f" {split.n_targets:,} targets take too long: `inklings evaluate` scores them"
        )
    elif recorded is not None:
        evidence["evaluated"] = evaluate(model, split, lossless=False).loss
        if not abs(evidence["evaluated"] - recorded) <= ALLOWED:
            wrong.append(
                f"training recorded {recorded:.4f} nats, and the same weights score"
                f" {evidence['evaluated']:.4f}"
            )
    head = split.head(HEAD)
    for name, rows in (("once", 64), ("again", 64), ("in_one_row", 1)):
        evidence[name] = evaluate(model, head, batch_size=rows, lossless=False).loss
    for name, said in (("again", "a second time"), ("in_one_row", "one row at a time")):
        if not abs(evidence[name] - evidence["once"]) <= ALLOWED:
            wrong.append(
                f"the first {head.n_targets:,} targets cost {evidence['once']:.4f} nats, and"
                f" {evidence[name]:.4f} {said}"
            )
    if wrong:
        return Finding(check="recorded", status="fail", summary="; ".join(wrong), evidence=evidence)
    return Finding(
        check="recorded",
        status="pass",
        summary=(
            "scored again, a second time and one row at a time, the loss is the same"
            if recorded is None or left_out
            else f"the recorded loss, {recorded:.4f} nats, is the one that its weights score, in"
            " batches and one row at a time"
        )
        + left_out,
        evidence=evidence,
    )


def _run(subject: Subject) -> Finding:
    model = subject.trained
    assert model is not None, "the check needs a run"
    if not has_likelihood(model):
        return not_applicable("recorded", "it has no likelihood")
    own = subject.run is not None and is_own(subject.run, subject.text)
    best = best_evaluation(subject.run.metrics()) if own and subject.run is not None else None
    recorded = None if best is None else best["loss"]
    return check_recorded(model, subject.text.split("validation"), recorded)


RECORDED: Check[Subject] = Check(
    name="recorded", run=_run, needs_text=True, needs_run=True, bars_ranking=True
)
