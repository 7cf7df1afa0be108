"""Batch leaks: rows of a batch that influence each other, and documents of a row that do.

In evaluation that is never allowed. In training BatchNorm does it, by declaration
(`Traits.batch_statistics`): then the layer is named, and what it was worth is the loss with batch
statistics against the loss with running ones, on the same batches. Where batches are made of alike
rows, those of one length say, the statistics tell a row what its company is.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inklings.auditing.check import Check, on_both
from inklings.auditing.findings import Finding
from inklings.auditing.probes import (
    along,
    difference,
    in_mode,
    logits_of,
    other_tokens,
    random_tokens,
    span,
    traced,
    with_documents,
)
from inklings.auditing.subjects import Subject
from inklings.errors import InputError
from inklings.models.contract import SequenceModel
from inklings.models.objectives import objective_of
from inklings.text.batches import Batch
from inklings.training.objectives.likelihood import LikelihoodObjective, make_batches

ROWS = 5
BATCHES = 8
"""Training batches on which batch statistics are valued."""


def check_rows(
    model: SequenceModel, batches: Sequence[Batch] = (), *, trained: bool = False, seed: int = 0
) -> Finding:
    """Whether a row's logits depend on the other rows: what is in them, their order, their number.

    `batches`, of those that a trained model learned from, tell what declared batch statistics are
    worth.
    """
    model.eval()
    tokens = random_tokens(model, ROWS, span(model), seed)
    broken = _in_evaluation(model, tokens)
    if broken is not None:
        return Finding(
            check="rows",
            status="fail",
            summary=f"in evaluation {broken}",
            evidence={"mode": "evaluation"},
        )
    if objective_of(model).one_pass:
        return Finding(
            check="rows",
            status="pass",
            summary="rows do not depend on each other in evaluation; it learns by counting",
        )
    with in_mode(model, training=True) as training:
        mixers = find_mixers(training, tokens)
    if not mixers:
        return Finding(
            check="rows",
            status="pass",
            summary="no row depends on the others, in evaluation or in training",
        )
    where = ", ".join(mixers[:3]) + (f" and {len(mixers) - 3} more" if len(mixers) > 3 else "")
    evidence: dict[str, object] = {"mode": "training", "modules": mixers}
    if not model.traits.batch_statistics:
        return Finding(
            check="rows",
            status="fail",
            summary=(
                "in training rows influence each other, which the traits do not declare: first in"
                f" {where}"
            ),
            evidence=evidence,
        )
    summary = (
        f"in training rows influence each other, as declared, through {where}; in evaluation they"
        " do not"
    )
    if trained and batches:
        learned, held = batch_statistics_losses(model, batches)
        evidence |= {
            "loss_with_batch_statistics": learned,
            "loss_with_running_statistics": held,
            "worth": held - learned,
        }
        summary += (
            f"; on training batches the company of a row is worth {held - learned:.3f} nats"
            f" ({learned:.3f} with it, {held:.3f} without)"
        )
    return Finding(check="rows", status="warning", summary=summary, evidence=evidence)


def _in_evaluation(model: SequenceModel, tokens: Tensor) -> str | None:
    """Say what is wrong in evaluation mode, or None."""
    logits = logits_of(model, tokens)
    order = torch.tensor([3, 0, 4, 1, 2], device=tokens.device)
    if difference(logits_of(model, tokens[order]), logits[order]) > 1:
        return "the order of the rows changes their logits"
    others = other_tokens(model, tokens)
    others[2] = tokens[2]
    if difference(logits_of(model, others)[2], logits[2]) > 1:
        with traced(model) as plain:
            logits_of(model, tokens)
        with traced(model) as traces:
            logits_of(model, others)
        for one, two in zip(plain, traces, strict=False):
            was, now = (along(trace.tensor, *tokens.shape) for trace in (one, two))
            if was is not None and now is not None and difference(now[2], was[2]) > 1:
                return f"a row depends on what is in the others: first in {one.module}"
        return "a row depends on what is in the others"
    for row in range(len(tokens)):
        if difference(logits_of(model, tokens[row : row + 1])[0], logits[row]) > 1:
            return f"row {row} is another when it is alone in the batch"
    return None


def find_mixers(model: SequenceModel, tokens: Tensor) -> list[str]:
    """Find the modules without submodules that let rows influence each other.

    The model is in training mode.

    A mixer's output for row 0 changes although nothing that was handed on before it did, or it
    keeps batch statistics.
    """
    others = other_tokens(model, tokens)
    others[0] = tokens[0]
    with traced(model) as plain:
        before = logits_of(model, tokens)
    with traced(model) as traces:
        after = logits_of(model, others)
    if difference(after[0], before[0]) <= 1:
        return []
    leaves = {
        f"{name} ({type(module).__name__})": module
        for name, module in model.named_modules()
        if not list(module.children())
    }
    keeping = [
        label
        for label, module in leaves.items()
        if any("running" in name for name, _ in module.named_buffers())
    ]
    if keeping:
        return keeping
    for one, two in zip(plain, traces, strict=False):
        was, now = (along(trace.tensor, *tokens.shape) for trace in (one, two))
        if was is not None and now is not None and difference(now[0], was[0]) > 1:
            return [one.module]
    return ["the model"]


def batch_statistics_losses(model: SequenceModel, batches: Sequence[Batch]) -> tuple[float, float]:
    """Score batches with the statistics of each batch, and as in evaluation.

    The first is as in training, but without dropout; both are nats per target.

    The model is left as it is, its running statistics included.
    """
    learned = copy.deepcopy(model).eval()
    for module in learned.modules():
        if any("running" in name for name, _ in module.named_buffers(recurse=False)):
            module.train()
    return _loss(learned, batches), _loss(model.eval(), batches)


def _loss(model: nn.Module, batches: Sequence[Batch]) -> float:
    nats, targets = 0.0, 0.0
    for batch in batches:
        with torch.no_grad():
            logits = model(batch.tokens, starts=batch.starts).logits.flatten(0, 1).float()
        losses = F.cross_entropy(logits, batch.targets.flatten(), reduction="none")
        nats += float(losses.double() @ batch.weights.flatten().double())
        targets += float(batch.weights.sum())
    return nats / targets


def check_documents(model: SequenceModel, *, seed: int = 0) -> Finding:
    """Whether a document predicts the same wherever it lies in a row.

    Nothing of the one before it may be seen.
    """
    model.eval()
    tokens, starts = with_documents(model, random_tokens(model, 3, span(model), seed), seed)
    logits = logits_of(model, tokens, starts)
    for row in range(tokens.shape[0]):
        cuts = sorted({0, *torch.nonzero(starts[row]).flatten().tolist(), tokens.shape[1]})
        for first, last in itertools.pairwise(cuts):
            alone = logits_of(model, tokens[row : row + 1, first:last])
            if difference(logits[row, first:last], alone[0]) > 1:
                why = (
                    "nothing lies before it, but what is after or beside it is seen"
                    if first == 0
                    else "`starts` is not heeded"
                )
                return Finding(
                    check="documents",
                    status="fail",
                    summary=(
                        f"the document at positions {first} to {last - 1} of a row is not read as"
                        f" if alone: {why}"
                    ),
                    evidence={"first": first, "last": last},
                )
    return Finding(
        check="documents",
        status="pass",
        summary="a document predicts the same alone and after others in its row",
    )


def _run(subject: Subject) -> Finding:
    finding = check_rows(subject.scrambled)
    if finding.status == "fail" or subject.trained is None or subject.store is None:
        return finding
    learns = objective_of(subject.trained).learns_by_likelihood
    training = LikelihoodObjective.settle(subject.trained, subject.training)
    batches: list[Batch] = []
    if (
        learns and training.order != "positions"
    ):  # single positions come with a context, which a fresh pass does not take
        with contextlib.suppress(InputError):  # a text too small for a batch values nothing
            loader = make_batches(subject.trained, subject.store.split("train"), training)
            batches = [loader.batch(step) for step in range(BATCHES)]
    return check_rows(subject.trained, batches, trained=True)


ROWS_APART: Check[Subject] = Check(
    name="rows",
    run=_run,
    bars_ranking=True,
    before_training=True,
    after_training=True,
)
DOCUMENTS_APART: Check[Subject] = Check(
    name="documents",
    run=on_both(check_documents),
    bars_ranking=True,
    before_training=True,
)
