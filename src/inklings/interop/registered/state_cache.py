"""The cache of `generate` that carries a state of ours."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import Cache

from inklings.models.contract import Output, SequenceModel, State


class StateCache(Cache):
    """What a model has read: its state, and the columns that it was made of.

    States cannot be cut, so to go back some columns is to read what is left again: from the
    beginning, or from where the last pass began if `activate_past_recording` was called before.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.state: State | None = None
        """After the columns that are read; None before the first."""
        self.tokens: Int[Tensor, "B S"] | None = None
        """Columns so far, padding included."""
        self.starts: Bool[Tensor, "B S"] | None = None
        """Which are first of a text."""
        self.read = 0
        """How many columns `state` has read; the rest is read before what comes next."""
        self.records = False
        self.earlier: tuple[int, State | None] = (0, None)
        """A number of columns, and the state after them, to go back to."""

    def go_on(
        self,
        model: SequenceModel,
        tokens: Int[Tensor, "B T"],
        starts: Bool[Tensor, "B T"] | None,
    ) -> Output:
        """Read new columns, and return what the model says after each.

        Args:
            model: the model.
            tokens: of the new columns.
            starts: which are first of a text; None if none is.
        """
        state = model.initial_state(len(tokens)) if self.state is None else self.state
        known = self.get_seq_length()
        if self.read < known:
            assert self.tokens is not None and self.starts is not None
            again = slice(self.read, known)
            state = _after(model, self.tokens[:, again], state, self.starts[:, again])
        if self.records:
            self.earlier = (known, state.clone())
        output: Output = model(tokens, state, starts=starts)
        new_starts = torch.zeros_like(tokens, dtype=torch.bool) if starts is None else starts
        if self.tokens is None or self.starts is None:
            self.tokens, self.starts = tokens, new_starts
        else:
            self.tokens = torch.cat([self.tokens, tokens], dim=1)
            self.starts = torch.cat([self.starts, new_starts], dim=1)
        self.state, self.read = output.state, self.tokens.shape[1]
        return output

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return how many columns there are."""
        return 0 if self.tokens is None else self.tokens.shape[1]

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """Return -1: there is no limit."""
        return -1

    @property
    def batch_size(self) -> int:
        """The number of rows; -1 before there are any."""
        return -1 if self.tokens is None else self.tokens.shape[0]

    @property
    def is_croppable(self) -> bool:
        """True: going back leaves no trace."""
        return True

    def activate_past_recording(self) -> None:
        """Keep the state before each pass, so that going back costs little."""
        self.records = True

    def crop(self, tokens_to_remove: int) -> None:
        """Go back: by so many columns where the number is negative, else to that many."""
        known = self.get_seq_length()
        left = known + tokens_to_remove if tokens_to_remove <= 0 else min(tokens_to_remove, known)
        if self.tokens is None or self.starts is None or left == known:
            return
        if left <= 0:
            self.reset()
            return
        self.tokens, self.starts = self.tokens[:, :left], self.starts[:, :left]
        if left < self.read:
            place, state = self.earlier if self.earlier[0] <= left else (0, None)
            self.read, self.state = place, None if state is None else state.clone()

    def reset(self) -> None:
        """Forget all that was read."""
        self.state = self.tokens = self.starts = None
        self.read, self.earlier = 0, (0, None)

    def reorder_cache(self, beam_idx: Int[Tensor, " N"]) -> None:
        """Take these rows, in that order; rows may repeat."""
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Int[Tensor, " N"]) -> None:
        """Take these rows, in that order; rows may repeat."""
        if self.tokens is None or self.starts is None:
            return
        self.tokens, self.starts = self.tokens[indices], self.starts[indices]
        if self.state is not None:
            self.state = self.state.select(indices.to(_device(self.state)))
        place, earlier = self.earlier
        if earlier is not None:
            self.earlier = (place, earlier.select(indices.to(_device(earlier))))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Take each row so many times."""
        if self.tokens is not None:
            rows = torch.arange(len(self.tokens), device=self.tokens.device)
            self.batch_select_indices(rows.repeat_interleave(repeats))

    def __deepcopy__(self, memo: dict[int, Any]) -> StateCache:
        """Return an independent copy, as whoever keeps the cache of a prompt makes one."""
        made = StateCache()
        made.tokens, made.starts, made.read = self.tokens, self.starts, self.read
        made.records = self.records
        made.state = None if self.state is None else self.state.clone()
        place, earlier = self.earlier
        made.earlier = (place, None if earlier is None else earlier.clone())
        return made


def _after(
    model: SequenceModel,
    tokens: Int[Tensor, "B T"],
    state: State,
    starts: Bool[Tensor, "B T"],
) -> State:
    """Return the state after these tokens."""
    output: Output = model(tokens, state, starts=starts)
    assert output.state is not None
    return output.state


def _device(state: State) -> torch.device:
    return next(iter(state.tensors.values())).device
