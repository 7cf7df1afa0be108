"""Models of other makes on our contract: their state is the tokens, which are read again.

Whoever gives logits for whole windows of tokens can be scored, audited and generated from, without
a word about caches or documents. A row is cut at `starts`, and where a document outgrows the
context, into windows as those of `models/gpt2/`: the first is full, every later one begins with
the last half of the one before it. Streaming reads the tokens of the current window again.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inklings.models.contract import (
    Architecture,
    ModelConfig,
    Output,
    SequenceModel,
    State,
    Traits,
)


class RereadingModel(SequenceModel):
    """A model that is given by what it says of one window of tokens."""

    Config = ModelConfig
    traits = Traits(rereads=True)
    untraceable = "which windows to read again, which the host works out"

    @abstractmethod
    def read(
        self, tokens: Int[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B T C"]]:
        """Return the logits after each token of fresh windows, and what the head reads."""

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return the logits for the token after each position."""
        size = self.config.context_length
        marked = starts is not None and bool(starts[:, 1:].any())
        if state is None and tokens.shape[1] <= size and not marked:
            logits, hidden = self.read(tokens)
            return Output(logits=logits, state=None, hidden=hidden)
        windows = [
            _cut(row, [] if state is None else _read_before(state, index), size)
            for index, row in enumerate(_marked(tokens, starts))
        ]
        flat = [window for of_row in windows for window in of_row]
        longest = max(len(window.tokens) for window in flat)
        padded = tokens.new_full((len(flat), longest), self.config.boundary_token)
        for line, window in enumerate(flat):
            padded[line, : len(window.tokens)] = tokens.new_tensor(window.tokens)
        logits, hidden = self.read(padded)
        shape = tokens.shape
        places = [
            line * longest + column for line, window in enumerate(flat) for column in window.new
        ]
        chosen = torch.tensor(places, device=tokens.device)
        after = None if state is None else self._state([of_row[-1].tokens for of_row in windows])
        return Output(
            logits=logits.flatten(0, 1)[chosen].unflatten(0, shape),
            state=after,
            hidden=hidden.flatten(0, 1)[chosen].unflatten(0, shape),
        )

    def initial_state(self, batch_size: int) -> State:
        """Return the state before the first token: no window has begun."""
        return self._state([[] for _ in range(batch_size)])

    def _state(self, windows: list[list[int]]) -> State:
        """Keep the tokens of each row's window, of which `position` are read."""
        tokens = torch.zeros((len(windows), self.config.context_length), dtype=torch.int64)
        for row, window in enumerate(windows):
            tokens[row, : len(window)] = torch.tensor(window, dtype=torch.int64)
        position = torch.tensor([len(window) for window in windows], dtype=torch.int64)
        return State({"position": position.to(self.device), "tokens": tokens.to(self.device)})

    @property
    def receptive_field(self) -> int:
        """The number of tokens in the window that is reread."""
        return self.config.context_length


def format_windows(model: Architecture) -> str | None:
    """Say in which windows a model that reads tokens again reads a text; None of another."""
    if not model.traits.rereads:
        return None
    size = model.config.context_length
    return (
        f"whole documents, in windows of {size:,} tokens: the first is full, each later one begins"
        f" with the last {size // 2:,} tokens of the one before"
    )


@dataclass
class _Window:
    tokens: list[int]
    new: list[int] = field(default_factory=list)
    """Columns of the tokens that were not read before."""


def _marked(
    tokens: Int[Tensor, "B T"], starts: Bool[Tensor, "B T"] | None
) -> list[list[tuple[int, bool]]]:
    """The tokens of each row, each with whether a document begins there."""
    rows = tokens.tolist()
    marks = [[False] * len(row) for row in rows] if starts is None else starts.tolist()
    return [list(zip(row, marked, strict=True)) for row, marked in zip(rows, marks, strict=True)]


def _read_before(state: State, row: int) -> list[int]:
    length = int(state.tensors["position"][row])
    before: list[int] = state.tensors["tokens"][row, :length].tolist()
    return before


def _cut(row: list[tuple[int, bool]], before: list[int], size: int) -> list[_Window]:
    """Cut a row into windows of at most `size` tokens; the first goes on from `before`."""
    windows = [_Window(before)]
    for token, begins in row:
        current = windows[-1]
        if begins and current.tokens:
            windows.append(_Window([]))
        elif len(current.tokens) == size:
            windows.append(_Window(current.tokens[size - size // 2 :]))
        current = windows[-1]
        current.new.append(len(current.tokens))
        current.tokens.append(token)
    return [window for window in windows if window.new]
