"""Feeding a model what has been written so far, each token once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from inklings.generation.inference import inference
from inklings.models.contract import SequenceModel, State

LOGITS = 2**24
"""A long prompt is read in pieces of so many logits (64 MiB in float32)."""

PIECE = 512
"""And of so many tokens at most, since attention within a piece grows with its square."""


class Reader:
    """Keeps the state of a batch of rows of equal length, and reads what is new in their histories.

    With `use_cache=False` nothing is kept: every call is one parallel pass over the whole
    histories, slow, to check the other way against.
    """

    def __init__(self, model: SequenceModel, *, use_cache: bool = True) -> None:
        self.model = model
        self.use_cache = use_cache
        self._modules = tuple(model.modules())
        self._state: State | None = None
        self._count = 0

    def read(self, histories: Sequence[Sequence[int]]) -> Float[Tensor, "B V"]:
        """Logits of the token after each history.

        Histories begin with the boundary, and with what was read before.

        A call that is interrupted, by Ctrl-C say, leaves no state behind: the next one reads
        everything again.
        """
        if not self.use_cache:
            with inference(self._modules):
                return self._forward(histories, 0, len(histories[0]), None)[0]
        state, self._state = self._state, None
        end = len(histories[0])
        if state is None or self._count >= end:
            state, self._count = self.model.initial_state(len(histories)), 0
        piece = max(1, min(PIECE, LOGITS // (len(histories) * self.model.config.vocab_size)))
        with inference(self._modules):
            for begin in range(self._count, end, piece):
                logits, state = self._forward(histories, begin, min(begin + piece, end), state)
        self._state, self._count = state, end
        return logits

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows only, in this order; a row may be taken several times."""
        if self._state is not None:
            self._state = self._state.select(torch.tensor(rows, device=self.model.device))

    def _forward(
        self, histories: Sequence[Sequence[int]], begin: int, end: int, state: State | None
    ) -> tuple[Float[Tensor, "B V"], State | None]:
        tokens = torch.tensor(
            [history[begin:end] for history in histories], device=self.model.device
        )
        starts = tokens == self.model.config.boundary_token
        if begin == 0:
            starts[:, 0] = False  # nothing lies before it that it could cut off
        output = self.model(tokens, state, starts=starts if bool(starts.any()) else None)
        return output.logits[:, -1], output.state
