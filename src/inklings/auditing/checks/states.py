"""What may be done to a state in the middle of a text: `clone`, `select` and `assign`.

The engine does all three, and begins other texts, while rows of different lengths join and leave a
batch. After each of them a row must go on as if it had been read alone, from its beginning, in one
pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from inklings.auditing.check import Check, of_run_or_random
from inklings.auditing.findings import Finding
from inklings.auditing.probes import logits_of, moved, random_tokens
from inklings.auditing.rounding import beyond_rounding
from inklings.auditing.snapshot import untouched
from inklings.auditing.subjects import Subject
from inklings.models.contract import SequenceModel, State

SHORT, LONG = 5, 12
"""Positions that were read before a state is copied, selected or overwritten."""
PIECES = [1, 3, 1, 1]
"""How a row is read on."""

Text = Int[Tensor, "B T"]


def check_states(model: SequenceModel, *, seed: int = 0) -> Finding:
    """Check that rows go on as if read alone, whatever was done to their state."""
    model.eval()
    with untouched(model):
        for operation, carry_out in OPERATIONS.items():
            for expected, found in carry_out(model, seed):
                if effect := moved(found, expected):
                    return Finding(
                        check="state",
                        status="fail",
                        summary=(
                            f"{operation} in the middle of a text, a row does not go on as if read"
                            f" alone: its logits differ by up to {effect:.2g}"
                        ),
                        evidence={"operation": operation, "effect": effect},
                    )
    return Finding(
        check="state",
        status="pass",
        summary="rows that are cloned, selected and overwritten go on as if each was read alone",
    )


def _read(model: SequenceModel, text: Text, state: State) -> State:
    """The state after a piece."""
    with torch.no_grad():
        after: State | None = model(text, state).state
    assert after is not None, "forward was given a state and returned none"
    return after


def _in_pieces(model: SequenceModel, text: Text, state: State) -> Tensor:
    """The logits of a text that is read in pieces from a state."""
    found = []
    for piece in text.split(PIECES, dim=1):
        with torch.no_grad():
            output = model(piece, state)
        found.append(output.logits)
        state = output.state
    return torch.cat(found, dim=1)


def _read_on(model: SequenceModel, past: Text, state: State, seed: int) -> tuple[Tensor, Tensor]:
    """Read new text in pieces from a state whose rows have read `past`.

    Returns the logits that one fresh pass gives each row, and those that were found.
    """
    text = random_tokens(model, len(past), sum(PIECES), seed)
    whole = logits_of(model, torch.cat([past, text], dim=1))
    return whole[:, past.shape[1] :], _in_pieces(model, text, state)


Logits = list[tuple[Tensor, Tensor]]
"""What was expected, and what was found."""


def _clone(model: SequenceModel, seed: int) -> Logits:
    past = random_tokens(model, 3, LONG, seed)
    state = _read(model, past, model.initial_state(3))
    kept = state.clone()
    return [
        _read_on(model, past, state, seed + 1),
        _read_on(model, past, kept, seed + 2),  # whatever the first one wrote to its own
    ]


def _select(model: SequenceModel, seed: int) -> Logits:
    past = random_tokens(model, 4, LONG, seed)
    state = _read(model, past, model.initial_state(4))
    rows = torch.tensor([2, 0, 2, 3, 1], device=past.device)
    fewer = torch.tensor([3], device=past.device)
    more = state.select(rows)
    one = state.select(fewer)
    return [
        _read_on(model, past[rows], more, seed + 1),
        _read_on(model, past[fewer], one, seed + 2),
        _read_on(model, past, state, seed + 3),
    ]


def _assign(model: SequenceModel, seed: int) -> Logits:
    """Rows of another length are put in the place of some; each is then looked at by itself."""
    past = random_tokens(model, 4, LONG, seed)
    other = random_tokens(model, 2, SHORT, seed + 1)
    # a state that was kept for long has read a piece more
    state = _read(model, past[:, 3:], _read(model, past[:, :3], model.initial_state(4)))
    rows = torch.tensor([3, 1], device=past.device)
    state.assign(rows, _read(model, other, model.initial_state(2)))
    text = random_tokens(model, 4, sum(PIECES), seed + 2)
    logits = _in_pieces(model, text, state)
    pasts = [past[0], other[1], past[2], other[0]]
    return [
        (
            logits_of(model, torch.cat([one, text[row]])[None])[0, len(one) :],
            logits[row],
        )
        for row, one in enumerate(pasts)
    ]


def _beside(model: SequenceModel, seed: int) -> Logits:
    """A text is begun while another one is read; each is then read on."""
    pasts = [random_tokens(model, 2, length, seed + length) for length in (LONG, SHORT)]
    states = [_read(model, past, model.initial_state(2)) for past in pasts]
    return [
        _read_on(model, past, state, seed + 1) for past, state in zip(pasts, states, strict=True)
    ]


OPERATIONS: dict[str, Callable[[SequenceModel, int], Logits]] = {
    "cloned": _clone,
    "selected": _select,
    "assigned": _assign,
    "while another is begun": _beside,
}

STATES: Check[Subject] = Check(
    name="state",
    run=of_run_or_random(beyond_rounding(check_states)),
    before_training=True,
)
