"""Streaming is the parallel pass.

A text read in pieces, or token by token as it is written, costs what it costs in one pass.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch.nn import functional as F

from inklings.auditing.check import Check, on_both
from inklings.auditing.checks.prefixes import parallel_losses
from inklings.auditing.findings import Finding
from inklings.auditing.probes import difference, logits_of, random_tokens, span, with_documents
from inklings.auditing.subjects import Subject
from inklings.generation.engine.state_slots import RowStates
from inklings.models.contract import SequenceModel
from inklings.models.objectives import has_likelihood

CASES = 8
PROMPT = 48


def check_streaming(model: SequenceModel, *, cases: int = CASES, seed: int = 0) -> Finding:
    """Check that a sequence read in pieces gives the logits of one pass, wherever it is cut."""
    rng = np.random.default_rng(seed)
    model.eval()
    for case in range(cases):
        rows, length = int(rng.integers(1, 4)), span(model)
        tokens = random_tokens(model, rows, length, seed=seed * 1009 + case)
        starts = None
        if case % 2:
            tokens, starts = with_documents(model, tokens, seed=case)
        expected = logits_of(model, tokens, starts)
        cuts, how = _pieces(rng, length, case)
        state, pieces = model.initial_state(rows), [0, *cuts, length]
        for first, last in itertools.pairwise(pieces):
            with torch.no_grad():
                output = model(
                    tokens[:, first:last],
                    state,
                    starts=None if starts is None else starts[:, first:last],
                )
            if output.state is None:
                return _fail("forward was given a state and returned none", first)
            apart = difference(output.logits, expected[:, first:last])
            if apart > 1:
                documents = " with documents in the rows" if starts is not None else ""
                effect = float((output.logits - expected[:, first:last]).abs().max())
                return _fail(
                    f"read {how}{documents}, the logits from position {first} on differ by"
                    f" {effect:.2g} from one pass",
                    first,
                )
            state = output.state
    return Finding(
        check="streaming",
        status="pass",
        summary=(
            f"read token by token and in pieces, the logits are those of one pass ({cases} cases of"
            f" {span(model)} positions)"
        ),
    )


def _pieces(rng: np.random.Generator, length: int, case: int) -> tuple[list[int], str]:
    """Ways to cut a sequence, each with its name.

    Token by token; a prompt, then token by token, as text is written; anyhow.
    """
    if case < 2:
        return list(range(1, length)), "one token at a time"
    if case < 4:
        prompt = int(rng.integers(1, length))
        return list(range(prompt, length)), f"one token at a time after the first {prompt}"
    cuts = sorted(rng.permutation(np.arange(1, length))[: int(rng.integers(1, 6))].tolist())
    return (
        cuts,
        f"in pieces of {[last - first for first, last in itertools.pairwise([0, *cuts, length])]}",
    )


def _fail(summary: str, position: int) -> Finding:
    return Finding(
        check="streaming", status="fail", summary=summary, evidence={"position": position}
    )


def check_generation(model: SequenceModel, *, seed: int = 0) -> Finding:
    """Check that a prompt read as generation reads it has the loss that evaluation gives it."""
    if not has_likelihood(model):
        return Finding(
            check="generation",
            status="not applicable",
            summary="it has no likelihood, so a prompt cannot be scored",
        )
    model.eval()
    prompt = random_tokens(model, 1, min(PROMPT, span(model)), seed)
    prompt[:, 0] = model.config.boundary_token
    scored = float(parallel_losses(model, prompt).mean())
    states, starts = RowStates(model, pads=False), prompt == model.config.boundary_token
    starts[:, 0] = False
    states.begin()
    logits = [
        states.forward(prompt[:, at : at + 1], starts[:, at : at + 1])[0][0]
        for at in range(prompt.shape[1] - 1)
    ]  # as generation does: of all that was written so far the last token is new
    nats = F.cross_entropy(torch.cat(logits).float(), prompt[0, 1:], reduction="none").tolist()
    generated = sum(nats) / len(nats)
    evidence = {"generation": generated, "evaluation": scored, "tokens": len(nats)}
    if not abs(generated - scored) < 1e-3:
        return Finding(
            check="generation",
            status="fail",
            summary=(
                f"a prompt costs {generated:.4f} nats per token as it is generated and {scored:.4f}"
                " as it is evaluated"
            ),
            evidence=evidence,
        )
    return Finding(
        check="generation",
        status="pass",
        summary=f"a prompt costs {generated:.4f} nats per token, generated or evaluated",
        evidence=evidence,
    )


STREAMING = Check(name="streaming", run=on_both(check_streaming), before_training=True)
GENERATION: Check[Subject] = Check(name="generation", run=on_both(check_generation))
