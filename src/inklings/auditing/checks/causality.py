"""Causality: no prediction depends on a token after it.

By perturbation and by gradient; a leak is located.

Perturbing sees every leak, rounding and sorting included; the gradient sees leaks that are too
faint to move a logit. Both are exact where a comparison of losses has noise. Test suites of
transformers compare prefixes in the same way; see also arXiv:2608.22876.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inklings.auditing.check import Check, on_both
from inklings.auditing.findings import Finding
from inklings.auditing.probes import (
    TOLERANCE,
    along,
    difference,
    in_mode,
    logits_of,
    other_tokens,
    random_tokens,
    span,
    traced,
)
from inklings.auditing.subjects import Subject
from inklings.models.contract import SequenceModel
from inklings.models.objectives import objective_of

FAINT = 1e-6
"""A gradient below this share of the largest is rounding."""


@dataclass(frozen=True)
class Leak:
    """The first place where the future is seen."""

    mode: str
    """`evaluation` or `training`."""
    module: str
    """The first module, in the order of computation, whose output at some position depends on a
    later token.
    """
    offset: int
    """How many positions ahead of a prediction a token lies that it depends on, as far as was
    tried.
    """
    effect: float
    """Largest change of a logit at an earlier position; 0 where only a gradient shows the leak."""


def check_causality(model: SequenceModel, *, seed: int = 0) -> Finding:
    """Check that tokens after a position change no logit at or before it.

    That must hold in evaluation and in training mode.

    A model that declares batch statistics is tried in evaluation only: what it does in training is
    `check_rows`' subject.
    """
    modes = (
        [False] if model.traits.batch_statistics or objective_of(model).one_pass else [False, True]
    )
    rows, length = 2, span(model)
    tokens = random_tokens(model, rows, length, seed)
    tried = sorted({0, 1, min(model.config.context_length, length) - 1, length // 2, length - 2})
    for training in modes:
        with in_mode(model, training=training) as copy:
            leak = _by_perturbation(copy, tokens, tried) or _by_gradient(copy, tokens, tried)
        if leak is not None:
            evidence = {
                "mode": leak.mode,
                "module": leak.module,
                "offset": leak.offset,
                "effect": leak.effect,
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
                    f"in {leak.mode} a later token {how}: the future enters in {leak.module}, from"
                    f" {places}"
                ),
                evidence=evidence,
            )
    names = "evaluation and training" if len(modes) == 2 else "evaluation"
    return Finding(
        check="causality",
        status="pass",
        summary=(
            f"tokens after a position change no logit at or before it, in {names} ({len(tried)}"
            f" positions of {length})"
        ),
        evidence={"positions": tried, "length": length, "modes": names},
    )


def _by_perturbation(model: SequenceModel, tokens: Tensor, tried: list[int]) -> Leak | None:
    """All tokens after each position become others."""
    logits, changed = logits_of(model, tokens), other_tokens(model, tokens)
    for at in tried:
        after = logits_of(model, torch.cat([tokens[:, : at + 1], changed[:, at + 1 :]], dim=1))
        if difference(after[:, : at + 1], logits[:, : at + 1]) > 1:
            effect = float((after[:, : at + 1] - logits[:, : at + 1]).abs().max())
            module, offset = _locate(model, tokens, changed, at)
            return Leak(_mode(model), module, offset, effect)
    return None


def _locate(model: SequenceModel, tokens: Tensor, changed: Tensor, at: int) -> tuple[str, int]:
    """Find the first module whose output at or before `at` moves.

    The second number is how far ahead the nearest token lies that moves it.
    """
    rows, length = tokens.shape
    with traced(model) as plain:
        logits_of(model, tokens)

    def moved(first: int, last: int) -> tuple[str, int] | None:
        """Find the first module that an exchange of these tokens reaches before their place.

        The second number is the last position before it that is reached.
        """
        with traced(model) as traces:
            logits_of(
                model,
                torch.cat([tokens[:, :first], changed[:, first:last], tokens[:, last:]], dim=1),
            )
        for one, two in zip(plain, traces, strict=False):
            was, now = along(one.tensor, rows, length), along(two.tensor, rows, length)
            if was is None or now is None or was.shape != now.shape:
                continue
            apart = (was - now).abs().amax(dim=(0, 2))[:first]
            reached = torch.nonzero(~(apart <= TOLERANCE * (1 + float(was.abs().max()))))
            if len(reached):
                return one.module, int(reached.max())
        return None

    for ahead in range(1, length - at):
        found = moved(at + ahead, at + ahead + 1)
        if found is not None:
            return found[0], at + ahead - found[1]
    found = moved(at + 1, length)
    return (found[0], at + 1 - found[1]) if found is not None else ("the model", 1)


def _by_gradient(model: SequenceModel, tokens: Tensor, tried: list[int]) -> Leak | None:
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
    try:
        with torch.enable_grad(), torch.random.fork_rng(devices=[]), traced(model) as traces:
            torch.manual_seed(0)
            logits = model(tokens).logits
    finally:
        for handle in handles:
            handle.remove()
    inputs = [leaf for leaf in leaves if along(leaf, rows, length) is not None and leaf.ndim == 3]
    if not inputs or not logits.requires_grad:
        return None
    for at in tried:
        ahead = _gradient_ahead(logits, at, inputs, rows, length)
        if ahead is not None:
            for trace in traces:
                boundary = along(trace.tensor, rows, length)
                if (
                    boundary is not None
                    and trace.tensor.requires_grad
                    and _gradient_ahead(boundary, at, inputs, rows, length) is not None
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


CAUSALITY: Check[Subject] = Check(
    name="causality",
    run=on_both(check_causality),
    bars_ranking=True,
    before_training=True,
)
