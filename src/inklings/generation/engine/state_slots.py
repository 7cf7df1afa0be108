"""The states of rows that share forward passes, though each has read another length.

They lie in the first slots of one `State` with room for more rows. A forward pass takes a view of
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
    """The states of rows that share forward passes, one slot a row.

    The rows are numbered from 0 on without gaps: when one leaves, the last takes its number.
    """

    def __init__(self, model: SequenceModel, *, pads: bool = True) -> None:
        """Make room for rows; `pads` is whether one row is read as two (see `forward`)."""
        self._model = model
        self._modules = tuple(model.modules())
        self._pads = pads
        self._count = 0
        self._room: State | None = None
        self._views: State | None = None
        """The slots of the rows of the last pass, which the next pass takes again."""
        self._blank: State | None = None
        self._filler: State | None = None
        """What the slots from `_clean` on hold since the room was made, where more rows that begin
        with the same state were known to come: these copy nothing.
        """
        self._clean = 0
        self._twins = False
        """Whether the second slot is a copy of the first, so that one row can be read as two."""

    def __len__(self) -> int:
        return self._count

    def begin(self, state: State | None = None, coming: int = 0) -> None:
        """Add a row, the last, that continues from a copy of a state of one row.

        By default it has read nothing. `coming` is how many rows may follow at once.
        """
        if state is None:
            state = self._blank or self._model.initial_state(1)
            if not state.stores:  # what nobody writes to can begin another row as well
                self._blank = state
        if self._room is None or self._count == self._room.batch_size:
            self._room = self._grown(state, self._count + 1 + coming)
            self._views, self._clean = None, self._count
            self._filler = state if coming else None
        if state is not self._filler or self._count < self._clean:
            for name, tensor in self._room.tensors.items():
                tensor[self._count].copy_(state.tensors[name][0])
        self._room.stores.update(state.stores)
        self._count += 1
        self._clean = max(self._clean, self._count)
        self._twins = False

    def part(self, row: int) -> State:
        """Return a view of a row's state, until the next pass; clone it to keep it."""
        assert self._room is not None
        return self._room.part(slice(row, row + 1))

    def leave(self, row: int) -> None:
        """Drop a row; the last row takes its number."""
        assert self._room is not None and 0 <= row < self._count
        self._count -= 1
        self._twins = False
        if not self._count:
            self.clear()
        elif row < self._count:
            self._copy(self._count, row)

    def clear(self) -> None:
        """Drop all rows, and give back their room."""
        self._count, self._room, self._views, self._filler = 0, None, None, None
        self._twins = False

    def forward(
        self, tokens: Int[Tensor, "N T"], starts: Bool[Tensor, "N T"] | None = None
    ) -> tuple[Float[Tensor, "N T V"], Tensor]:
        """Read on in all rows; returns logits, and hidden vectors (N, T, C).

        One token of one row is read as two rows that are alike where rows come and go: for one row
        alone a product with a matrix is another kernel, whose last digits differ.

        If it raises, the states are lost: `clear`.
        """
        assert self._room is not None and len(tokens) == self._count
        pads = self._pads and tokens.numel() == 1
        if pads:
            tokens = tokens.expand(2, 1).contiguous()
            starts = None if starts is None else starts.expand(2, 1).contiguous()
            if not self._twins:
                self._copy(0, 1)
                self._clean = max(self._clean, 2)
                for store in self._room.stores.values():
                    store.shared = True
        self._twins = pads
        if self._views is None or self._views.batch_size != len(tokens):
            self._views = self._room.part(slice(0, len(tokens)))
        given = State(dict(self._views.tensors), self._room.stores)
        with inference(self._modules):
            output: Output = self._model(tokens, given, starts=starts)
        assert output.state is not None
        for name, kept in self._views.tensors.items():
            new = output.state.tensors[name]
            if new is not kept and (
                new.data_ptr() != kept.data_ptr() or new.stride() != kept.stride()
            ):
                kept.copy_(new)
        # only what these rows refer to: what rows refer to that have left is let go
        self._room = State(self._room.tensors, dict(output.state.stores))
        return output.logits[: self._count], output.hidden[: self._count]

    def _grown(self, like: State, least: int) -> State:
        """Make room for two rows, or twice as many as before, or as many as are known to come.

        Every new slot holds `like`, a state of one row.
        """
        rows = max(2, least, 2 * self._count)
        tensors = {
            name: tensor.expand(rows, *tensor.shape[1:]).clone(
                memory_format=torch.contiguous_format
            )
            for name, tensor in like.tensors.items()
        }
        if self._room is None:
            return State(tensors)
        for name, tensor in self._room.tensors.items():
            tensors[name][: self._count] = tensor
        return State(tensors, self._room.stores)

    def _copy(self, source: int, target: int) -> None:
        # not by `assign`, which would have every memory that is referred to copied before it is
        # written to again
        assert self._room is not None
        for tensor in self._room.tensors.values():
            tensor[target].copy_(tensor[source])
