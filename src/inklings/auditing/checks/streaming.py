"""Streaming is the parallel pass.

A text read in pieces, or token by token as it is written, costs what it costs in one pass.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from inklings.auditing.check import Check, of_run_or_random
from inklings.auditing.checks.prefixes import parallel_losses, text_windows, window_length
from inklings.auditing.findings import Finding
from inklings.auditing.probes import logits_of, moved, random_tokens, span, with_documents
from inklings.auditing.rounding import beyond_rounding
from inklings.auditing.subjects import Subject
from inklings.generation.engine.state_slots import RowStates
from inklings.models.contract import SequenceModel
from inklings.models.objectives import has_likelihood
from inklings.text.store import TokenSplit

CASES = 6
PROMPT = 48
PROMPTS = 8
"""Of a run, so many are read side by side."""
LONG = 2000
"""Tokens of one stream, in which a state may drift."""
PIECE = 256
ALONE = 16
"""Tokens at the end of it that are read one at a time."""


def check_streaming(model: SequenceModel, *, cases: int = CASES, seed: int = 0) -> Finding:
    """Check that a sequence read in pieces gives the logits of one pass, wherever it is cut.

    The last one is long.

    Args:
        model: the model; left in evaluation mode.
        cases: how many sequences are read.
        seed: of the tokens.
    """
    rng = np.random.default_rng(seed)
    model.eval()
    for case in range(cases):
        rows, length = int(rng.integers(1, 4)), span(model)
        tokens, starts = random_tokens(model, rows, length, seed=seed * 1009 + case), None
        if case % 2 == 0:
            tokens, starts = with_documents(model, tokens, seed=case)
        cuts, how = _pieces(rng, length, case)
        apart = _apart(model, tokens, starts, cuts)
        if apart is not None:
            documents = " with documents in the rows" if starts is not None else ""
            return _fail(f"read {how}{documents}", *apart, [*cuts, length])
    long = LONG // 4 if model.traits.whole_documents else LONG
    tokens = random_tokens(model, 1, long, seed)
    cuts = [*range(PIECE, long - ALONE, PIECE), *range(long - ALONE, long)]
    apart = _apart(model, tokens, None, cuts)
    if apart is not None:
        return _fail(f"read in a stream of {long:,} tokens", *apart, [*cuts, long])
    return Finding(
        check="streaming",
        status="pass",
        summary=(
            f"read token by token and in pieces, the logits are those of one pass ({cases} cases of"
            f" {span(model)} positions, and one of {long:,})"
        ),
    )


def _apart(
    model: SequenceModel, tokens: Tensor, starts: Tensor | None, cuts: list[int]
) -> tuple[int, float] | None:
    """Where pieces first differ from one pass, and by how much; None where they do not."""
    rows, length = tokens.shape
    expected = logits_of(model, tokens, starts)
    state = model.initial_state(rows)
    for first, last in itertools.pairwise([0, *cuts, length]):
        with torch.no_grad():
            output = model(
                tokens[:, first:last],
                state,
                starts=None if starts is None else starts[:, first:last],
            )
        assert output.state is not None, "forward was given a state and returned none"
        if effect := moved(output.logits, expected[:, first:last]):
            return first, effect
        state = output.state
    return None


def _pieces(rng: np.random.Generator, length: int, case: int) -> tuple[list[int], str]:
    """Ways to cut a sequence, each with its name.

    Token by token; a prompt, then token by token, as text is written; anyhow.
    """
    if case < 2:
        prompt = 1 if case == 0 else int(rng.integers(1, length))
        after = f" after the first {prompt}" if case else ""
        return list(range(prompt, length)), f"one token at a time{after}"
    cuts = sorted(rng.permutation(np.arange(1, length))[: int(rng.integers(1, 6))].tolist())
    return (
        cuts,
        f"in pieces of {[last - first for first, last in itertools.pairwise([0, *cuts, length])]}",
    )


def _fail(how: str, position: int, effect: float, cuts: list[int]) -> Finding:
    return Finding(
        check="streaming",
        status="fail",
        summary=(
            f"{how}, the logits from position {position} on differ by {effect:.2g} from one pass"
        ),
        evidence={"position": position, "effect": effect, "cuts": cuts},
    )


def _losses_in_pieces(
    model: SequenceModel, windows: Int[Tensor, "B T"], cuts: list[int]
) -> Float[Tensor, "B T1"]:
    """The nats of every target of windows that are read up to each cut in turn."""
    tokens, targets = windows[:, :-1], windows[:, 1:]
    starts = tokens == model.config.boundary_token
    starts[:, 0] = False
    state, logits = model.initial_state(len(tokens)), []
    for first, last in itertools.pairwise([0, *cuts]):
        with torch.no_grad():
            output = model(tokens[:, first:last], state, starts=starts[:, first:last])
        logits.append(output.logits.float())
        state = output.state
    whole = torch.cat(logits, dim=1).transpose(1, 2)
    return F.cross_entropy(whole, targets, reduction="none").double()


def with_worth(found: Finding, model: SequenceModel, split: TokenSplit) -> Finding:
    """Say what reading in pieces costs on a text, where a failure has been found.

    Args:
        found: what `check_streaming` found.
        model: a trained model.
        split: held-out text.
    """
    cuts = found.evidence.get("cuts")
    if cuts is None or not has_likelihood(model) or split.n_targets <= cuts[-1]:
        return found
    rows = max(1, PROMPTS * PROMPT // cuts[-1])
    windows = text_windows(split, rows, cuts[-1]).to(model.device)
    pieces = float(_losses_in_pieces(model, windows, cuts).mean())
    once = float(parallel_losses(model, windows).mean())
    return replace(
        found,
        summary=(
            f"{found.summary}; held-out text costs {pieces:.4f} nats per token so, and"
            f" {once:.4f} in one pass"
        ),
        evidence={**found.evidence, "pieces": pieces, "parallel": once},
    )


def check_generation(
    model: SequenceModel, prompts: Int[Tensor, "B T"] | None = None, *, seed: int = 0
) -> Finding:
    """Check that prompts read as generation reads them have the loss that evaluation gives them.

    What the parallel pass gains on text is what a figure of a run owes to reading more than the
    past.

    Args:
        model: the model; left in evaluation mode.
        prompts: tokens (B, T); None takes one of random tokens.
        seed: of the tokens.
    """
    if not has_likelihood(model):
        return Finding(
            check="generation",
            status="not applicable",
            summary="it has no likelihood, so a prompt cannot be scored",
        )
    model.eval()
    of_text = prompts is not None
    if prompts is None:
        prompts = random_tokens(model, 1, min(PROMPT, span(model)), seed)
        prompts[:, 0] = model.config.boundary_token
    scored = float(parallel_losses(model, prompts).mean())
    states, starts = RowStates(model, pads=False), prompts == model.config.boundary_token
    starts[:, 0] = False
    for _ in prompts:
        states.begin()
    logits = [
        states.forward(prompts[:, at : at + 1], starts[:, at : at + 1])[0]
        for at in range(prompts.shape[1] - 1)
    ]  # as generation does: of all that was written so far the last token is new
    flat, targets = torch.cat(logits, dim=1).float().flatten(0, 1), prompts[:, 1:].flatten()
    generated = float(F.cross_entropy(flat, targets).double())
    gain = generated - scored
    evidence = {
        "generation": generated,
        "evaluation": scored,
        "tokens": len(targets),
        "effect": abs(gain),
    }
    if of_text:
        evidence["gain"] = gain
    if not abs(gain) < 1e-3:
        which = "the parallel pass is the better one" if gain > 0 else "generating is the better"
        return Finding(
            check="generation",
            status="fail",
            summary=(
                f"a prompt costs {generated:.4f} nats per token as it is generated and {scored:.4f}"
                " as it is evaluated" + (f": {which}" if of_text else "")
            ),
            evidence=evidence,
        )
    return Finding(
        check="generation",
        status="pass",
        summary=f"a prompt costs {generated:.4f} nats per token, generated or evaluated",
        evidence=evidence,
    )


def _generation(subject: Subject) -> Finding:
    prompts = None
    if subject.trained is not None and subject.store is not None:
        split = subject.store.split(subject.split)
        length = min(PROMPT, window_length(subject.trained) + 1)
        if split.n_targets > length:
            prompts = text_windows(split, PROMPTS, length - 1).to(subject.trained.device)

    def check(model: SequenceModel) -> Finding:
        return check_generation(model, prompts if model is subject.trained else None)

    return of_run_or_random(beyond_rounding(check))(subject)


def _streaming(subject: Subject) -> Finding:
    found = of_run_or_random(beyond_rounding(check_streaming))(subject)
    if subject.trained is None or subject.store is None:
        return found
    return with_worth(found, subject.trained, subject.store.split(subject.split))


STREAMING: Check[Subject] = Check(
    name="streaming",
    run=_streaming,
    before_training=True,
)
GENERATION: Check[Subject] = Check(
    name="generation", run=_generation, bars_ranking_by="gain", after_training=True
)
