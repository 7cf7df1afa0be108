"""Causality: no prediction depends on a token after it.

By perturbation and by gradient; a leak is located.

Perturbing sees every leak, rounding and sorting included; the gradient sees leaks that are too
faint to move a logit. Both are exact where a comparison of losses has noise. Test suites of
transformers compare prefixes in the same way; see also arXiv:2608.22876.

A leak may open under some condition only: see `auditing/leaks.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inklings.auditing.check import Check, trained_first
from inklings.auditing.draws import seeded
from inklings.auditing.findings import Finding
from inklings.auditing.leaks import Leak, twin_leak
from inklings.auditing.probes import (
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
from inklings.auditing.traces import along, parted, traced
from inklings.models.contract import SequenceModel
from inklings.models.objectives import objective_of

FAINT = 1e-6
"""A gradient below this share of the largest is rounding."""


def check_causality(
    model: SequenceModel, *, shape: tuple[int, int] = (32, 64), seed: int = 0
) -> Finding:
    """Check that tokens after a position change no logit at or before it.

    That must hold in evaluation and in training mode; `shape` is that of a training batch, rows and
    positions.

    Args:
        model: the model; left in evaluation mode.
        shape: rows and positions of a training batch.
        seed: of the tokens.
    """
    modes = [False] if objective_of(model).one_pass else [False, True]
    leak = None
    for training in modes:
        leak = (
            leak
            or _plain_leak(model, training, seed)
            or twin_leak(model, shape, training=training, seed=seed)
        )
    names = "evaluation and training" if len(modes) == 2 else "evaluation"
    if leak is None:
        return Finding(
            check="causality",
            status="pass",
            summary=(
                f"tokens after a position change no logit at or before it, in {names}, whatever the"
                " shape of the batch"
            ),
            evidence={"length": span(model), "modes": names},
        )
    evidence = {
        "mode": leak.mode,
        "module": leak.module,
        "offset": leak.offset,
        "effect": leak.effect,
        "when": leak.when,
    }
    how = (
        f"moves a logit by {leak.effect:.2g}"
        if leak.effect
        else "has a gradient on a logit before it"
    )
    places = f"{leak.offset} position{'s' if leak.offset > 1 else ''} ahead"
    return Finding(
        check="causality",
        status="fail",
        summary=(
            f"in {leak.mode} a later token {how}: the future enters in {leak.module}, from {places}"
            + (f"; seen {leak.when}" if leak.when else "")
        ),
        evidence=evidence,
    )


# Plain passes


def _plain_leak(model: SequenceModel, training: bool, seed: int) -> Leak | None:
    """A leak that two rows of random tokens show, by exchange or by gradient."""
    length = span(model)
    tokens = random_tokens(model, 2, length, seed)
    tried = sorted({0, 1, min(model.config.context_length, length) - 1, length // 2, length - 2})
    statistics = training and model.traits.batch_statistics
    with in_mode(model, training=training):
        # statistics of a batch depend on all of its tokens; that they see nothing else is asked of
        # twins, which share them
        if not statistics:
            leak = _by_perturbation(model, tokens, tried) or _by_perturbation(
                model, tokens[:1], tried[-2:]
            )
            if leak is not None:
                return leak
            if (leak := _by_gradient(model, tokens, None, tried)) is not None:
                return leak
            if training:
                return _by_gradient(model, *with_documents(model, tokens, seed), tried)
    return None


def _by_perturbation(model: SequenceModel, tokens: Tensor, tried: list[int]) -> Leak | None:
    """All tokens after each position become others."""
    logits, changed = logits_of(model, tokens), other_tokens(model, tokens)
    for at in tried:
        after = logits_of(model, torch.cat([tokens[:, : at + 1], changed[:, at + 1 :]], dim=1))
        if effect := moved(after[:, : at + 1], logits[:, : at + 1]):
            module, offset = _locate_in_two_passes(model, tokens, changed, at)
            return Leak(_mode(model), module, offset, effect)
    return None


def _locate_in_two_passes(
    model: SequenceModel, tokens: Tensor, changed: Tensor, at: int
) -> tuple[str, int]:
    """Find the first module whose output at or before `at` moves.

    The second number is how far ahead the nearest token lies that moves it.
    """
    rows, length = tokens.shape
    every = list(range(rows))
    with traced(model) as plain:
        logits_of(model, tokens)

    def moved(first: int, last: int) -> tuple[str, int] | None:
        """Find the first module that an exchange of these tokens reaches before their place."""
        with traced(model) as traces:
            logits_of(
                model,
                torch.cat([tokens[:, :first], changed[:, first:last], tokens[:, last:]], dim=1),
            )
        found = parted(plain, traces, (every, every), [first] * rows, (rows, length))
        return next((place for place in found if place is not None), None)

    for ahead in range(1, length - at):
        found = moved(at + ahead, at + ahead + 1)
        if found is not None:
            return found[0], at + ahead - found[1]
    found = moved(at + 1, length)
    return (found[0], at + 1 - found[1]) if found is not None else ("the model", 1)


def _by_gradient(
    model: SequenceModel, tokens: Tensor, starts: Tensor | None, tried: list[int]
) -> Leak | None:
    """Gradients of the logits at each position with respect to the embeddings of later tokens."""
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    if not embeddings or not any(parameter.requires_grad for parameter in model.parameters()):
        return None
    rows, length = tokens.shape
    leaves: list[Tensor] = []

    def cut(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        leaf = output.detach().requires_grad_()
        leaves.append(leaf)
        return leaf

    handles = [embedding.register_forward_hook(cut) for embedding in embeddings]
    with untouched(model), torch.enable_grad():
        try:
            with seeded(0), traced(model) as traces:
                logits = model(tokens, starts=starts).logits
        finally:
            for handle in handles:
                handle.remove()
        inputs = [leaf for leaf in leaves if leaf.ndim == 3 and leaf.shape[:2] == tokens.shape]
        if not inputs or not logits.requires_grad:
            return None
        for at in tried:
            ahead = _gradient_ahead(logits, at, inputs, rows, length)
            if ahead is None:
                continue
            for trace in traces:
                laid_out = along(trace.tensor, rows, length)
                if (
                    laid_out is not None
                    and trace.tensor.requires_grad
                    and _gradient_ahead(laid_out, at, inputs, rows, length) is not None
                ):
                    return Leak(_mode(model), trace.module, ahead, 0.0)
            return Leak(_mode(model), "the model", ahead, 0.0)
    return None


def _gradient_ahead(
    output: Tensor, at: int, inputs: list[Tensor], rows: int, length: int
) -> int | None:
    """How far ahead of a position the nearest later token lies that has a gradient there.

    None if there is none.
    """
    weights = torch.linspace(0.5, 1.5, output.shape[-1], device=output.device, dtype=output.dtype)
    gradients = torch.autograd.grad(
        (output[:, at] * weights).sum(), inputs, retain_graph=True, allow_unused=True
    )
    nearest: list[int] = []
    for gradient in gradients:
        laid_out = None if gradient is None else along(gradient, rows, length)
        if laid_out is None:
            continue
        size = laid_out.abs().amax(dim=(0, 2))
        seen = torch.nonzero(size[at + 1 :] > FAINT * float(size.max()))
        nearest += [int(seen[0]) + 1] if len(seen) else []
    return min(nearest, default=None)


def _mode(model: nn.Module) -> str:
    return "training" if model.training else "evaluation"


def _run(subject: Subject) -> Finding:
    shape = subject.training_shape
    return trained_first(beyond_rounding(lambda model: check_causality(model, shape=shape)))(
        subject
    )


CAUSALITY: Check[Subject] = Check(
    name="causality", run=_run, bars_ranking=True, before_training=True
)
