"""The clauses of the contract that other checks rely on.

Shapes, finite values, a state that keeps its form, no chance in evaluation.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from inklings.auditing.check import Check, trained_first
from inklings.auditing.draws import seeded
from inklings.auditing.findings import Finding
from inklings.auditing.probes import random_tokens, span, with_documents
from inklings.auditing.snapshot import untouched
from inklings.auditing.subjects import Subject
from inklings.models.contract import Output, SequenceModel
from inklings.models.objectives import objective_of


def check_contract(model: SequenceModel, *, seed: int = 0) -> Finding:
    """Check that `forward` and `initial_state` give what `SequenceModel` promises.

    All clauses that fail are named.
    """
    model.eval()
    broken: list[str] = []
    for rows, length in ((1, 1), (3, 5), (2, span(model))):
        tokens = random_tokens(model, rows, length, seed)
        try:
            broken += _clauses_of(model, tokens)
        except (
            Exception
        ) as error:  # a user's code may raise anything, and that is what is to be said
            broken.append(
                f"forward raises {type(error).__name__} for tokens of shape ({rows}, {length}):"
                f" {error}"
            )
        if broken:
            break
    broken = broken or _written_in_training(model, seed)
    if broken:
        return Finding(
            check="contract", status="fail", summary="; ".join(broken), evidence={"broken": broken}
        )
    return Finding(
        check="contract",
        status="pass",
        summary="shapes, types and state are as promised, and evaluation leaves nothing to chance",
    )


def _clauses_of(model: SequenceModel, tokens: torch.Tensor) -> list[str]:
    rows, length = tokens.shape
    expected = (rows, length, model.config.vocab_size)
    given = tokens.clone()
    with torch.no_grad():
        fresh, again = model(tokens), model(tokens)
        initial = model.initial_state(rows)
        form = _form(initial)
        streamed = model(tokens, initial)
    broken = []
    if not torch.equal(given, tokens):
        broken.append("forward changes the tokens that it is given")
    for output, what in ((fresh, "forward(tokens)"), (streamed, "forward(tokens, state)")):
        if not isinstance(output, Output):
            return [*broken, f"{what} returns {type(output).__name__}, not Output"]
        if tuple(output.logits.shape) != expected:
            return [
                *broken,
                (
                    f"{what} returns logits of shape {tuple(output.logits.shape)}, not (B, T, V) ="
                    f" {expected}"
                ),
            ]
        if not bool(torch.isfinite(output.logits).all()):
            share = 1 - float(torch.isfinite(output.logits).float().mean())
            broken.append(f"{what} returns logits that are NaN or infinite ({share:.0%} of them)")
        if output.hidden.ndim != 3 or tuple(output.hidden.shape[:2]) != (rows, length):
            broken.append(
                f"{what} returns hidden of shape {tuple(output.hidden.shape)}, not (B, T, C) ="
                f" ({rows}, {length}, C)"
            )
    if fresh.state is not None:
        broken.append("forward(tokens) returns a state though it was given none")
    if streamed.state is None:
        broken.append("forward(tokens, state) returns no state")
    elif _form(streamed.state) != form:
        broken.append(f"the state changes its form from {form} to {_form(streamed.state)}")
    if any(shape[:1] != (rows,) for shape, _ in form.values()):
        broken.append(f"the state of {rows} rows has the shapes {form}: the batch must come first")
    if not torch.equal(fresh.logits, again.logits) and not math.isnan(float(fresh.logits.sum())):
        apart = float((fresh.logits - again.logits).abs().max())
        broken.append(
            "in evaluation mode the same tokens give other logits every time (by up to"
            f" {apart:.2g})"
        )
    return broken


def _written_in_training(model: SequenceModel, seed: int) -> list[str]:
    """Name what a pass with gradients writes into though it was only given it."""
    if objective_of(model).one_pass:
        return []
    tokens, starts = with_documents(model, random_tokens(model, 3, 9, seed), seed)
    state = model.initial_state(3)
    given = {"tokens": tokens, "starts": starts}
    given |= {f"state[{name!r}]": tensor for name, tensor in state.tensors.items()}
    before = {name: tensor.clone() for name, tensor in given.items()}
    with untouched(model), torch.enable_grad(), seeded(seed):
        model.train()(tokens, state, starts=starts)
    written = [name for name, tensor in given.items() if not torch.equal(tensor, before[name])]
    if not written:
        return []
    return [f"with gradients forward writes into the {', '.join(written)} given to it"]


def _form(state: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    return {
        name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in state.tensors.items()
    }


CONTRACT: Check[Subject] = Check(
    name="contract",
    run=trained_first(check_contract),
    bars_ranking=True,
    before_training=True,
)
