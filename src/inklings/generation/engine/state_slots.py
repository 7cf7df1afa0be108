"""The states of rows that share forward passes, though each has read another length.

They lie in one `State` with room for more rows, in its first slots. A forward pass takes a view of
these, and only what the model did not write in place is copied back, so that joining and leaving
cost one row and a step costs none.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inklings.generation.inference import inference
from inklings.models.contract import Output, SequenceModel, State


class RowStates:
    """See the module.

    The rows are numbered from 0 on without gaps: when one leaves, the last takes its number.
    """

    def __init__(self, model: SequenceModel) -> None:
        self._model = model
        self._modules = tuple(model.modules())
        self._count = 0
        self._room: State | None = None
        self._blank: State | None = None
        self._twins = False
        """Whether the second slot is a copy of the first, so that one row can be read as two."""

    def __len__(self) -> int:
        return self._count

    def begin(self) -> None:
        """One more row, the last, that has read nothing."""
        fresh = self._blank or self._model.initial_state(1)
        if not fresh.stores:  # what nobody writes to can begin another row as well
            self._blank = fresh
        self._append(fresh, 0)

    def move(self, row: int, other: RowStates) -> None:
        """A row leaves and becomes the last of `other`."""
        assert self._room is not None
        other._append(self._room, row)
        self.leave(row)

    def leave(self, row: int) -> None:
        """A row is dropped; the last row takes its number."""
        assert self._room is not None and 0 <= row < self._count
        self._count -= 1
        self._twins = False
        if not self._count:
            self.clear()
        elif row < self._count:
            self._copy(self._count, row)

    def clear(self) -> None:
        """Drop all rows, and give back their room."""
        self._count, self._room, self._twins = 0, None, False

    def forward(
        self, tokens: Int[Tensor, "N T"], starts: Bool[Tensor, "N T"] | None = None
    ) -> tuple[Float[Tensor, "N T V"], Tensor]:
        """Read on in all rows; returns logits, and hidden vectors (N, T, C).

        One token of one row is read as two rows that are alike: for one row alone a product with a
        matrix is another kernel, whose last digits differ.

        If it raises, the states are lost: `clear`.
        """
        assert self._room is not None and len(tokens) == self._count
        pads = tokens.numel() == 1
        if pads:
            tokens = tokens.expand(2, 1).contiguous()
            starts = None if starts is None else starts.expand(2, 1).contiguous()
            if not self._twins:
                self._copy(0, 1)
                for store in self._room.stores.values():
                    store.shared = True
        self._twins = pads
        given = self._room.part(slice(0, len(tokens)))
        with inference(self._modules):
            output: Output = self._model(tokens, given, starts=starts)
        assert output.state is not None
        for name, kept in given.tensors.items():
            new = output.state.tensors[name]
            if new.data_ptr() != kept.data_ptr() or new.stride() != kept.stride():
                kept.copy_(new)
        # only what these rows refer to: what rows refer to that have left is let go
        self._room = State(self._room.tensors, dict(output.state.stores))
        return output.logits[: self._count], output.hidden[: self._count]

    def _append(self, source: State, row: int) -> None:
        """A row of another state.

        Which is not read on there any more, becomes the last one here.
        """
        if self._room is None or self._count == self._room.batch_size:
            self._room = self._grown(source)
        for name, tensor in self._room.tensors.items():
            tensor[self._count].copy_(source.tensors[name][row])
        self._room.stores.update(source.stores)
        self._count += 1
        self._twins = False

    def _grown(self, like: State) -> State:
        """Room for two rows, or twice as many as before."""
        if self._room is None:
            return State(
                {
                    name: tensor.new_zeros(2, *tensor.shape[1:])
                    for name, tensor in like.tensors.items()
                }
            )
        doubled = {
            name: torch.cat((tensor, torch.zeros_like(tensor)))
            for name, tensor in self._room.tensors.items()
        }
        return State(doubled, self._room.stores)

    def _copy(self, source: int, target: int) -> None:
        # not by `assign`, which would have every memory that is referred to copied before it is
        # written to again
        assert self._room is not None
        for tensor in self._room.tensors.values():
            tensor[target].copy_(tensor[source])
