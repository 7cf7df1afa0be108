"""Rows without states: each text is read anew for every token. Slow; it checks the states."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inklings.generation.inference import inference
from inklings.models.contract import SequenceModel, State


class RowTexts:
    """The interface of `RowStates`, with the text of each row in place of its state."""

    def __init__(self, model: SequenceModel) -> None:
        self._model = model
        self._texts: list[Int[Tensor, " n"]] = []
        self._opened: list[Bool[Tensor, " n"]] = []

    def __len__(self) -> int:
        return len(self._texts)

    def begin(self, state: State | None = None, coming: int = 0) -> None:
        """Add a row, the last; no room is made for those to come."""
        if state is None:
            nothing = torch.zeros(0, dtype=torch.int64, device=self._model.device)
            state = State({"text": nothing[None], "opened": nothing[None].bool()})
        self._texts.append(state.tensors["text"][0])
        self._opened.append(state.tensors["opened"][0])

    def part(self, row: int) -> State:
        """Return a row's text as a state of one row."""
        return State({"text": self._texts[row][None], "opened": self._opened[row][None]})

    def leave(self, row: int) -> None:
        """Drop a row; the last row takes its number."""
        last, opened = self._texts.pop(), self._opened.pop()
        if row < len(self._texts):
            self._texts[row], self._opened[row] = last, opened

    def clear(self) -> None:
        """Drop all rows of the batch."""
        self._texts, self._opened = [], []

    def forward(
        self, tokens: Int[Tensor, "N T"], starts: Bool[Tensor, "N T"] | None = None
    ) -> tuple[Float[Tensor, "N T V"], Tensor]:
        """Return logits and hidden vectors of the new tokens, from a pass over each text."""
        marks = torch.zeros_like(tokens, dtype=torch.bool) if starts is None else starts
        self._texts, self._opened = (
            [torch.cat((old, new)) for old, new in zip(olds, news, strict=True)]
            for olds, news in ((self._texts, tokens), (self._opened, marks))
        )
        logits, hidden = [], []
        with inference(self._model.modules()):
            for text, opened in zip(self._texts, self._opened, strict=True):
                marked = opened[None] if bool(opened.any()) else None
                output = self._model(text[None], starts=marked)
                logits.append(output.logits[0, -tokens.shape[1] :])
                hidden.append(output.hidden[0, -tokens.shape[1] :])
        return torch.stack(logits), torch.stack(hidden)
