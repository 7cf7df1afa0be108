"""The check for dead branches.

Knocking out a named branch must change what is predicted, and every parameter must get a gradient.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inklings.auditing.check import Check
from inklings.auditing.checks.prefixes import (
    CLIFF_ROWS,
    parallel_losses,
    text_windows,
    window_length,
)
from inklings.auditing.draws import seeded
from inklings.auditing.findings import Finding
from inklings.auditing.probes import FreshModel, logits_of, random_tokens, span, with_documents
from inklings.auditing.snapshot import untouched
from inklings.auditing.subjects import Subject
from inklings.models.branches import modules_of
from inklings.models.contract import SequenceModel
from inklings.models.objectives import objective_of

STEPS = 3
"""Steps that are made first: a projection that begins at zero lets no gradient through at the
first.
"""
MOST_STEPS = 12
"""So many where some parameter is still without."""


@contextlib.contextmanager
def knocked_out(model: nn.Module, branch: str) -> Iterator[None]:
    """Make the branch return zeros within the block; of a tuple, in its first place."""

    def silence(module: nn.Module, inputs: object, output: Any) -> Any:
        return (
            torch.zeros_like(output)
            if isinstance(output, Tensor)
            else (torch.zeros_like(output[0]), *output[1:])
        )

    handles = [module.register_forward_hook(silence) for module in modules_of(model, branch)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def check_branches(
    model: SequenceModel, windows: Tensor | None = None, *, seed: int = 0
) -> Finding:
    """Check that each branch of `traits.branches` has an effect.

    Where the model weighs its branches itself (`branch_shares`), those shares are evidence too.

    Args:
        model: the model; put into evaluation mode.
        windows: held-out text (B, T + 1), on which each branch is valued in nats; None values none.
        seed: of the tokens that are used without text.
    """
    branches = model.traits.branches
    if not branches:
        return Finding(
            check="branches", status="not applicable", summary="its traits name no branches"
        )
    model.eval()
    missing = [branch for branch in branches if not modules_of(model, branch)]
    if missing:
        summary = f"its traits name branches that it does not have: {', '.join(missing)}"
        return Finding(
            check="branches", status="fail", summary=summary, evidence={"missing": missing}
        )
    tokens = random_tokens(model, 2, span(model), seed) if windows is None else windows[:, :-1]
    whole = logits_of(model, tokens[:2])
    if not bool(torch.isfinite(whole).all()):
        return Finding(
            check="branches",
            status="fail",
            summary="some logits are not finite, so no branch can be valued",
        )
    shares = model.branch_shares(tokens)
    found: dict[str, dict[str, float]] = {}
    for branch in branches:
        with knocked_out(model, branch):
            effect = float((logits_of(model, tokens[:2]) - whole).abs().max())
            found[branch] = {"effect": effect}
            if windows is not None:
                found[branch]["worth"] = float(parallel_losses(model, windows).mean())
        if branch in shares:
            found[branch]["share"] = shares[branch]
    if windows is not None:
        loss = float(parallel_losses(model, windows).mean())
        for branch in branches:
            found[branch]["worth"] -= loss
    dead = [branch for branch in branches if not found[branch]["effect"] > 0]
    if dead:
        summary = f"knocking out {', '.join(dead)} changes nothing: the branch is dead"
        return Finding(
            check="branches", status="fail", summary=summary, evidence={"branches": found}
        )
    said = "; ".join(f"{branch}: {_in_words(figures)}" for branch, figures in found.items())
    return Finding(
        check="branches",
        status="pass",
        summary=f"every branch has an effect ({said})",
        evidence={"branches": found},
    )


def _in_words(figures: dict[str, float]) -> str:
    words = (
        f"worth {figures['worth']:+.3f} nats"
        if "worth" in figures
        else f"moves a logit by {figures['effect']:.2g}"
    )
    return words + (f", share {figures['share']:.2f}" if "share" in figures else "")


def check_gradients(fresh: FreshModel, *, seed: int = 0) -> Finding:
    """Check that every parameter gets a gradient other than zero in the first optimiser steps."""
    model = fresh(seed)
    if not objective_of(model).learns_by_likelihood:
        return Finding(
            check="gradients",
            status="not applicable",
            summary="it does not learn by gradient on the likelihood",
        )
    with untouched(model):
        silent = _silent(model, seed)
    if isinstance(silent, str):
        return Finding(
            check="gradients",
            status="fail",
            summary=f"the gradient of {silent} is not finite",
            evidence={"name": silent},
        )
    if silent:
        names = ", ".join(silent[:5]) + (f" and {len(silent) - 5} more" if len(silent) > 5 else "")
        summary = f"parameters that no gradient reaches, so that they never learn: {names}"
        return Finding(
            check="gradients", status="fail", summary=summary, evidence={"parameters": silent}
        )
    return Finding(
        check="gradients",
        status="pass",
        summary="every parameter gets a gradient within the first steps",
    )


def _silent(model: SequenceModel, seed: int) -> list[str] | str:
    """Parameters that no gradient reaches; or the name of one whose gradient is not finite.

    A parameter may be asked for at boundaries only, or by an expert that few tokens are sent to.
    """
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-3)
    silent = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    with seeded(seed), torch.enable_grad():
        for step in range(MOST_STEPS):
            if step >= STEPS and not silent:
                break
            tokens = random_tokens(model, 4, span(model) + 1, seed=seed + step)
            starts = None
            if step % 2:
                tokens, starts = with_documents(model, tokens, seed=seed + step)
                starts = starts[:, :-1]
            output = model(tokens[:, :-1], starts=starts)
            loss = F.cross_entropy(output.logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
            optimizer.zero_grad()
            torch.stack([loss, *output.losses.values()]).sum().backward()
            for name, weight in list(silent.items()):
                if weight.grad is not None and bool((weight.grad != 0).any()):
                    if not bool(torch.isfinite(weight.grad).all()):
                        return name
                    del silent[name]
            optimizer.step()
    return list(silent)


def _run(subject: Subject) -> Finding:
    finding = check_branches(subject.scrambled)
    if finding.status != "pass" or subject.trained is None or subject.store is None:
        return finding
    split = subject.store.split(subject.split)
    length = window_length(subject.trained)
    if split.n_targets <= length:
        return finding
    return check_branches(
        subject.trained, text_windows(split, CLIFF_ROWS, length).to(subject.trained.device)
    )


BRANCHES = Check(name="branches", run=_run, before_training=True, after_training=True)
GRADIENTS: Check[Subject] = Check(
    name="gradients",
    run=lambda subject: check_gradients(subject.fresh),
    before_training=True,
)
