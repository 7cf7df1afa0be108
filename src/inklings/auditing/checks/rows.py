"""Batch leaks: rows of a batch that influence each other, and documents of a row that do.

In evaluation that is never allowed. In training BatchNorm does it, by declaration
(`Traits.batch_statistics`): then the layer is named, and what it was worth is the loss with batch
statistics against the loss with running ones, on the same batches. Where batches are made of alike
rows, those of one length say, the statistics tell a row what its company is.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inklings.auditing.check import Check, trained_first
from inklings.auditing.findings import Finding
from inklings.auditing.leaks import at_most
from inklings.auditing.probes import (
    difference,
    in_mode,
    logits_of,
    moved,
    other_tokens,
    random_tokens,
    span,
    with_documents,
)
from inklings.auditing.rounding import beyond_rounding
from inklings.auditing.snapshot import untouched
from inklings.auditing.subjects import Subject
from inklings.auditing.traces import parted, traced
from inklings.auditing.twins import Setting, pass_of
from inklings.errors import InputError
from inklings.models.contract import SequenceModel
from inklings.models.objectives import objective_of
from inklings.text.batches import Batch
from inklings.training.objectives.likelihood import LikelihoodObjective, make_batches

ROWS = 5
OFTEN = 24
"""Short passes in training, each with a seed of its own."""
BATCHES = 8
"""Training batches on which batch statistics are valued."""


def check_rows(
    model: SequenceModel,
    batches: Sequence[Batch] = (),
    *,
    trained: bool = False,
    shape: tuple[int, int] = (32, 64),
    seed: int = 0,
) -> Finding:
    """Check that a row's logits do not depend on the other rows: their content, order or number.

    Args:
        model: what is checked; it is left in evaluation mode.
        batches: of those that a trained model learned from; they tell what declared batch
            statistics are worth.
        trained: whether the weights are a run's own.
        shape: rows and positions of a training batch.
        seed: of the tokens.
    """
    model.eval()
    tokens = random_tokens(model, ROWS, span(model), seed)
    broken = _in_evaluation(model, tokens) or _elsewhere(model, shape, training=False, seed=seed)
    if broken is not None:
        return Finding(
            check="rows",
            status="fail",
            summary=f"in evaluation {broken[0]}",
            evidence={"mode": "evaluation", "effect": broken[1]},
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
        other = _elsewhere(model, shape, training=True, seed=seed)
        if other is not None:
            return Finding(
                check="rows",
                status="fail",
                summary=f"in training {other[0]}",
                evidence={"mode": "training", "effect": other[1]},
            )
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


def _in_evaluation(model: SequenceModel, tokens: Tensor) -> tuple[str, float] | None:
    """Say what is wrong in evaluation mode, and by how much; or None."""
    logits = logits_of(model, tokens)

    order = torch.tensor([3, 0, 4, 1, 2], device=tokens.device)
    if effect := moved(logits_of(model, tokens[order]), logits[order]):
        return "the order of the rows changes their logits", effect
    others = other_tokens(model, tokens)
    others[2] = tokens[2]
    if effect := moved(logits_of(model, others)[2], logits[2]):
        with traced(model) as plain:
            logits_of(model, tokens)
        with traced(model) as traces:
            logits_of(model, others)
        shape = (tokens.shape[0], tokens.shape[1])
        (found,) = parted(plain, traces, ([2], [2]), [shape[1]], shape)
        where = "" if found is None else f": first in {found[0]}"
        return f"a row depends on what is in the others{where}", effect
    for row in range(len(tokens)):
        if effect := moved(logits_of(model, tokens[row : row + 1])[0], logits[row]):
            return f"row {row} is another when it is alone in the batch", effect
    return None


def _elsewhere(
    model: SequenceModel, shape: tuple[int, int], *, training: bool, seed: int
) -> tuple[str, float] | None:
    """The same in batches of other shapes, with documents, with gradients, and in many passes."""
    setting = Setting(training=training, gradients=training)
    other = Setting(training=training, gradients=not training)
    batches = [(*(shape if training else (25, 64)), setting, 0), (9, span(model), other, 0)]
    batches += [(4, 12, setting, often) for often in range(1, OFTEN) if training]
    for rows, length, how, number in batches:
        rows = at_most(model, rows, length)
        tokens, starts = with_documents(
            model, random_tokens(model, rows, length, seed + number), seed + number
        )
        changed, their_starts = with_documents(model, other_tokens(model, tokens), seed - 1)
        changed[0], their_starts[0] = tokens[0], starts[0]
        with untouched(model):
            one = pass_of(model, tokens, starts, setting=how, seed=number)[0]
        with untouched(model):
            two = pass_of(model, changed, their_starts, setting=how, seed=number)[0]
        if effect := moved(two, one):
            said = f"a row depends on what is in the others, in batches of {rows} rows of {length}"
            return f"{said} tokens", effect
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
    shape = (tokens.shape[0], tokens.shape[1])
    (found,) = parted(plain, traces, ([0], [0]), [shape[1]], shape)
    return ["the model" if found is None else found[0]]


def batch_statistics_losses(model: SequenceModel, batches: Sequence[Batch]) -> tuple[float, float]:
    """Score batches with the statistics of each batch, and as in evaluation.

    The first is as in training, but without dropout; both are nats per target.

    The model is left as it is, its running statistics included.
    """
    with untouched(model) as learned:
        for module in learned.eval().modules():
            if any("running" in name for name, _ in module.named_buffers(recurse=False)):
                module.train()
        of_batches = _loss(learned, batches)
    return of_batches, _loss(model.eval(), batches)


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
    """Check that a document predicts the same wherever it lies in a row.

    Nothing of the one before it may be seen.
    """
    model.eval()
    tokens, starts = with_documents(model, random_tokens(model, 3, span(model), seed), seed)
    logits = logits_of(model, tokens, starts)
    for row in range(tokens.shape[0]):
        cuts = sorted({0, *torch.nonzero(starts[row]).flatten().tolist(), tokens.shape[1]})
        for first, last in itertools.pairwise(cuts):
            alone = logits_of(model, tokens[row : row + 1, first:last])
            if effect := moved(logits[row, first:last], alone[0]):
                why = (
                    "nothing lies before it, but what is after or beside it is seen"
                    if first == 0
                    else "`starts` is not heeded"
                )
                where = (
                    f"positions {first} to {last - 1}" if last - first > 1 else f"position {first}"
                )
                return Finding(
                    check="documents",
                    status="fail",
                    summary=(f"the document at {where} of a row is not read as if alone: {why}"),
                    evidence={"first": first, "last": last, "effect": effect},
                )
    return Finding(
        check="documents",
        status="pass",
        summary="a document predicts the same alone and after others in its row",
    )


def _run(subject: Subject) -> Finding:
    def check(model: SequenceModel) -> Finding:
        trained = model is subject.trained
        batches = _batches(subject) if trained else []
        return check_rows(model, batches, trained=trained, shape=subject.training_shape)

    return trained_first(beyond_rounding(check))(subject)


def _batches(subject: Subject) -> list[Batch]:
    """Some of what a run learned from."""
    model = subject.trained
    if model is None or subject.store is None or not model.traits.batch_statistics:
        return []
    training = LikelihoodObjective.settle(model, subject.training)
    if not objective_of(model).learns_by_likelihood or training.order == "positions":
        return []  # single positions come with a context, which a fresh pass does not take
    with contextlib.suppress(InputError):  # a text too small for a batch values nothing
        loader = make_batches(model, subject.store.split("train"), training)
        return [loader.batch(step) for step in range(BATCHES)]
    return []


ROWS_APART: Check[Subject] = Check(
    name="rows",
    run=_run,
    bars_ranking=True,
    before_training=True,
    after_training=True,
)
DOCUMENTS_APART: Check[Subject] = Check(
    name="documents",
    run=trained_first(beyond_rounding(check_documents)),
    bars_ranking=True,
    before_training=True,
)
