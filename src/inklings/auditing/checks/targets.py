"""The check of targets: they are shifted by one, exactly once.

Two texts have a known answer. In a cycle every token is followed by its successor: a model that
predicts the successor scores 0, and one that repeats the token just read may not. Of uniform random
tokens no model, however trained, can know more than ln V on average: less means that the answers
are seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inklings.auditing.check import Check
from inklings.auditing.draws import seeded
from inklings.auditing.findings import Finding, not_applicable
from inklings.auditing.leaks import plain_twin_leak
from inklings.auditing.probes import random_tokens
from inklings.auditing.snapshot import untouched
from inklings.auditing.subjects import Subject
from inklings.models.contract import SequenceModel
from inklings.models.objectives import objective_of
from inklings.text.batches import Batch
from inklings.text.store import TokenSplit
from inklings.training.objectives.likelihood import Batches, LikelihoodObjective, make_batches

SYMBOLS = 16
"""Number of different random tokens: fewer are learned sooner."""
ROWS, LENGTH = 12, 32
STEPS = 50
LAST = 15
"""Steps at the end whose mean loss counts; every batch is new, so nothing can be learned by heart.
"""
WORK = 6e11
"""Floating-point operations that learning random tokens may take; larger models make fewer steps.
"""
FEWEST_STEPS = 20
WRONG = 1.0
"""Loss that tells a wrong predictor, which scores 20 nats, from a right one, which scores less than
this (for the boundary between cycles).
"""
MARGIN = 0.02
"""Nats below ln V that count as noise, beside three standard errors."""


def check_targets(
    make_batches: Callable[[TokenSplit], Batches], *, targets: int = 4096, steps: int = 4
) -> Finding:
    """Check that a loader's targets are the tokens one further on.

    The text is one document that repeats a cycle of 23 tokens; three known predictors are scored on
    it.

    Args:
        make_batches: makes the loader over a split.
        targets: least targets of the text; they must fill a batch.
        steps: batches that are looked at.
    """
    vocab_size, boundary = 23, 0
    split = cycle(vocab_size, boundary, rounds=-(-targets // (vocab_size - 1)))
    batches = make_batches(split)
    taken = [batches.batch(step) for step in range(steps)]
    losses = {shift: _loss_of_shift(taken, shift, vocab_size, boundary) for shift in (0, 1, 2)}
    right = losses[1] < 1e-3 and losses[0] > WRONG and losses[2] > WRONG
    evidence = {
        "repeats_the_token": losses[0],
        "predicts_the_next": losses[1],
        "predicts_the_one_after": losses[2],
    }
    if right:
        summary = (
            "on a cycle of tokens predicting the next one scores 0, repeating the last one"
            f" {losses[0]:.1f} nats"
        )
        return Finding(check="targets", status="pass", summary=summary, evidence=evidence)
    if losses[0] < WRONG:
        summary = (
            "the targets are not shifted: a model that repeats the token it has just read scores 0"
        )
    elif losses[2] < WRONG:
        summary = "the targets are shifted twice: the token after the next one is asked for"
    else:
        summary = (
            f"the targets are not the next tokens: predicting these scores {losses[1]:.2f} nats"
            " where it should score 0"
        )
    return Finding(check="targets", status="fail", summary=summary, evidence=evidence)


def cycle(vocab_size: int, boundary: int, *, rounds: int) -> TokenSplit:
    """Make a split of one document in which each token is followed by its successor.

    Args:
        vocab_size: how many tokens there are, the boundary included.
        boundary: occurs only around the document.
        rounds: how often the cycle is repeated.
    """
    symbols = np.array([token for token in range(vocab_size) if token != boundary])
    return TokenSplit.of([np.tile(symbols, rounds)], boundary)


def _loss_of_shift(batches: list[Batch], shift: int, vocab_size: int, boundary: int) -> float:
    """Score a perfect guess of the token `shift` places after the one just read.

    The loss is that of predicting it with near certainty.
    """
    symbols = [token for token in range(vocab_size) if token != boundary]
    place = {token: i for i, token in enumerate(symbols)}
    successor = torch.tensor(
        [symbols[(place[t] + shift) % len(symbols)] if t in place else t for t in range(vocab_size)]
    )
    nats, count = 0.0, 0.0
    for batch in batches:
        # What follows the boundary, and what it follows, is no part of the cycle.
        counts = batch.weights * (batch.tokens != boundary) * (batch.targets != boundary)
        logits = 20.0 * F.one_hot(successor[batch.tokens], vocab_size)
        losses = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none")
        nats += float(losses @ counts.flatten())
        count += float(counts.sum())
    return nats / max(count, 1.0)


def check_random_tokens(
    model: SequenceModel, *, loss: Callable[[Tensor, Tensor], Tensor] | None = None, seed: int = 0
) -> Finding:
    """Check that a copy of the model, trained on random tokens, stays at ln V.

    It is trained for a few steps, on new tokens in every step.

    Args:
        model: stays as it is.
        loss: maps logits (B, T, V) and all tokens (B, T + 1) to a scalar; None is the likelihood of
            the tokens one further on.
        seed: of weights and tokens.
    """
    if not objective_of(model).learns_by_likelihood:
        return _not_applicable("it does not learn by gradient on the likelihood")
    flops = model.flops(ROWS * LENGTH)
    steps = int(min(STEPS, WORK / max(flops, 1)))
    if steps < FEWEST_STEPS:
        return _not_applicable(
            f"a step of this model costs {flops:.1e} operations, too many to train it here; audit a"
            " smaller one"
        )
    if model.traits.batch_statistics:
        return _not_applicable("in training its rows share statistics; see `rows`")
    symbols = min(SYMBOLS, model.config.vocab_size - 1)
    if symbols < 2:
        return _not_applicable("it knows one token beside the boundary; at least two are needed")
    with untouched(model) as learner:
        losses = _learn(learner, steps, symbols, loss or _next_token_loss, seed)
        leak = None if loss else plain_twin_leak(learner, seed=seed)
    if leak is not None and plain_twin_leak(model, seed=seed):
        leak = None  # it was open before: `causality` says so
    last = np.array(losses[-LAST:])
    mean, error = float(last.mean()), float(last.std(ddof=1) / math.sqrt(len(last)))
    least = math.log(symbols)
    evidence = {
        "loss": mean,
        "ln_v": least,
        "steps": steps,
        "first_loss": losses[0],
        "standard_error": error,
    }
    if leak is not None:
        return Finding(
            check="random tokens",
            status="fail",
            summary=(
                f"after {steps} steps of training a later token moves a logit by {leak.effect:.2g},"
                f" in {leak.module}"
            ),
            evidence={**evidence, "effect": leak.effect},
        )
    if not math.isfinite(mean):
        return Finding(
            check="random tokens",
            status="fail",
            summary=f"learning random tokens, the loss is {mean}",
            evidence=evidence,
        )
    said = f"after {steps} steps on {symbols} random symbols the loss is {mean:.2f} nats"
    if mean >= least - MARGIN - 3 * error:
        summary = f"{said}, not below ln {symbols} = {least:.2f}"
        return Finding(check="random tokens", status="pass", summary=summary, evidence=evidence)
    summary = f"{said}; without seeing the answers it cannot be below ln {symbols} = {least:.2f}"
    return Finding(check="random tokens", status="fail", summary=summary, evidence=evidence)


def _learn(
    learner: SequenceModel,
    steps: int,
    symbols: int,
    loss: Callable[[Tensor, Tensor], Tensor],
    seed: int,
) -> list[float]:
    """Train on new random tokens in every step; returns the losses."""
    learner.train()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=3e-3)
    losses = []
    with seeded(seed), torch.enable_grad():
        for step in range(steps):
            tokens = random_tokens(
                learner, ROWS, LENGTH + 1, seed=seed * 100_003 + step, symbols=symbols
            )
            output = learner(tokens[:, :-1])
            found = loss(output.logits, tokens)
            optimizer.zero_grad()
            torch.stack([found, *output.losses.values()]).sum().backward()
            nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
            optimizer.step()
            losses.append(float(found.detach()))
    return losses


def _next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())


def _not_applicable(why: str) -> Finding:
    return Finding(check="random tokens", status="not applicable", summary=why)


def _run(subject: Subject) -> Finding:
    model = subject.scrambled
    if objective_of(model).one_pass:
        return not_applicable("targets", "it counts the whole text; there are no batches")
    training = LikelihoodObjective.settle(model, subject.training)
    targets = (training.sequence_length or 1) * training.batch_size + model.lead
    return check_targets(lambda split: make_batches(model, split, training), targets=targets)


TARGETS: Check[Subject] = Check(name="targets", run=_run, bars_ranking=True, before_training=True)
RANDOM_TOKENS: Check[Subject] = Check(
    name="random tokens",
    run=lambda subject: check_random_tokens(subject.fresh(0)),
    bars_ranking=True,
)
