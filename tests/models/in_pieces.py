"""Reading a text piece by piece, which must give the logits of one pass over all of it."""

from __future__ import annotations

import torch
from torch import Tensor

from inklings.models.contract import SequenceModel, State


def in_pieces(
    model: SequenceModel,
    tokens: Tensor,
    starts: Tensor | None,
    pieces: list[int],
    state: State | None = None,
) -> Tensor:
    """The logits (B, T, V) of a text that goes on from a state.

    Args:
        model: reads it.
        tokens: the text, (B, T).
        starts: where documents begin, (B, T).
        pieces: the lengths that it is read in; their sum is T.
        state: what was read before; nothing without one.
    """
    state = model.initial_state(tokens.shape[0]) if state is None else state
    parts = None if starts is None else starts.split(pieces, dim=1)
    outputs = []
    for index, part in enumerate(tokens.split(pieces, dim=1)):
        output = model(part, state, starts=None if parts is None else parts[index])
        assert output.state is not None
        state = output.state
        outputs.append(output.logits)
    return torch.cat(outputs, dim=1)
