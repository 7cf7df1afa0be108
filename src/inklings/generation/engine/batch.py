"""Rows that share their forward passes: those that read their prompts, and those that write.

A prompt is read in pieces, several rows at a time, all but its last token. That token is read
together with the rows that write: so the next tokens of all come from one pass, and a row that
begins gets its first one there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from inklings.errors import DivergedError, InklingsError
from inklings.generation.engine.branch_factors import Factors, branches_scaled
from inklings.generation.engine.entry_texts import EntryTexts
from inklings.generation.engine.request import Delta, GenerationRequest
from inklings.generation.engine.row import RequestRow
from inklings.generation.engine.row_sampling import RowSampling
from inklings.generation.engine.row_texts import RowTexts
from inklings.generation.engine.state_slots import RowStates
from inklings.generation.sampling import NOT_FINITE
from inklings.models.contract import SequenceModel, State
from inklings.models.remembering import Recollection, Remembering
from inklings.text.tokenizers import Tokenizer

LEAST = 32
"""A pass over fewer tokens takes about as long as one over this many."""
LOGITS = 2**24
"""Most logits of a piece of a long prompt (64 MiB in float32)."""


@dataclass(frozen=True, eq=False)
class Kept:
    """The state of a text that has ended, for a later one that begins with it."""

    tokens: tuple[int, ...]
    state: State


class Group:
    """Rows that are read and written side by side, with one forward pass for all.

    They have the same branch factors; each list is in the order of the states beside it.
    """

    kept: Kept | None = None
    """The last text that was to be kept."""

    def __init__(
        self,
        model: SequenceModel,
        tokenizer: Tokenizer,
        factors: Factors,
        *,
        make_states: Callable[[], RowStates | RowTexts],
        failure: Callable[[Exception], str],
    ) -> None:
        """Make a group without rows; see `Engine` for `failure`."""
        self._model = model
        self._tokenizer = tokenizer
        self._factors = factors
        self._boundary = model.config.boundary_token
        self.reading: list[RequestRow] = []
        self.writing: list[RequestRow] = []
        self._failure = failure
        self._reading_states = make_states()
        self._writing_states = make_states()
        self._sampling: RowSampling | None = None
        """Sampling of the rows; None after rows came or went."""

    def __len__(self) -> int:
        return len(self.reading) + len(self.writing)

    def known(self, job: GenerationRequest) -> int:
        """Return how many tokens of a prompt need not be read again."""
        if self.kept is None or job.embed or job.prompt_alternatives is not None:
            return 0
        known = len(self.kept.tokens)
        begins = known < len(job.prompt) and job.prompt[:known] == self.kept.tokens
        return known if begins else 0

    def join(self, work: RequestRow, coming: int = 0) -> None:
        """Add a row; it has tokens to read, or to write, and `known` ones are read.

        `coming` is how many may follow at once: room is made for them.
        """
        state = self.kept.state if self.kept is not None and work.read else None
        if work.to_read:
            self._reading_states.begin(state)
            self.reading.append(work)
        else:
            self._begin_writing(work, state, coming)

    def leave(self, work: RequestRow) -> None:
        """Drop a row, between two passes."""
        if work in self.reading:
            self._leave_reading(self.reading.index(work))
        else:
            self._leave_writing(self.writing.index(work))

    def read(self, budget: int, texts: EntryTexts) -> list[Delta]:
        """Read on in prompts, until about `budget` tokens were read.

        Every row that reads gets a `Delta`, which may be empty.
        """
        told: dict[int, Delta] = {work.job.number: Delta(work.job.number) for work in self.reading}
        while self.reading and budget > 0:
            rows = len(self.reading)
            most = max(1, min(budget // rows, LOGITS // (rows * self._model.config.vocab_size)))
            length = min(most, *(work.to_read for work in self.reading))
            budget -= max(rows * length, LEAST)
            told.update((progress.number, progress) for progress in self._read_piece(length, texts))
        return list(told.values())

    def write(self, texts: EntryTexts) -> list[Delta]:
        """Draw one token in every row that writes."""
        works = list(self.writing)
        if not works:
            return []
        try:
            logits, _, found = self._forward(
                self._writing_states, works, [work.history[-1:] for work in works]
            )
        except Exception as error:  # whatever a model raises, others are served on
            self._writing_states.clear()
            self.writing, self._sampling = [], None
            return [work.failed(self._failure(error)) for work in works]
        logits = logits[:, 0]
        if self._sampling is None:
            self._sampling = RowSampling(
                [work.drawer for work in works], boundary=self._boundary, device=self._model.device
            )
        drawn, finite = self._sampling.draw(logits)
        told = []
        for row, (work, token, good) in enumerate(zip(works, drawn, finite, strict=True)):
            try:
                progress = (
                    work.told_of_token(token, row, logits, found[row], texts, self._tokenizer)
                    if good
                    else work.failed(self._failure(DivergedError(NOT_FINITE)))
                )
            except InklingsError as error:
                progress = work.failed(self._failure(error))
            told.append(progress)
        # from the last on, so that whoever takes the place of one that leaves has been looked at
        for row in reversed(range(len(works))):
            if told[row].ending is not None or told[row].error is not None:
                self._leave_writing(row)
        return told

    def _read_piece(self, length: int, texts: EntryTexts) -> list[Delta]:
        works = list(self.reading)
        piece = [work.job.prompt[work.read : work.read + length] for work in works]
        try:
            logits, hidden, found = self._forward(self._reading_states, works, piece)
        except Exception as error:  # whatever a model raises, others are served on
            self._reading_states.clear()
            self.reading = []
            return [work.failed(self._failure(error)) for work in works]
        told = []
        for row in reversed(range(len(works))):
            work = works[row]
            try:
                work.take_piece(logits[row], hidden[row], found[row], texts)
            except InklingsError as error:
                told.append(work.failed(self._failure(error)))
                self._leave_reading(row)
                continue
            if work.to_read == 0:
                told.append(work.told_of_prompt())
                if goes_on := told[-1].ending is None:
                    self._begin_writing(work, self._reading_states.part(row))
                self._leave_reading(row, goes_on=goes_on)
        return told

    def _forward(
        self,
        states: RowStates | RowTexts,
        works: Sequence[RequestRow],
        lines: Sequence[Sequence[int]],
    ) -> tuple[Tensor, Tensor, Sequence[Recollection | None]]:
        """Return logits (N, T, V) and hidden vectors (N, T, C) of every row.

        What each found in a memory comes with them, where a row asks for it.
        """
        model = self._model
        read = torch.tensor(lines)
        # looked at before it is on the device, where looking would wait for all work that is queued
        starts = self._starts(works, read)
        tokens = read.to(model.device)
        with branches_scaled(model, self._factors):
            if any(work.job.entries for work in works):
                assert isinstance(model, Remembering)
                with model.recording() as records:
                    logits, hidden = states.forward(tokens, starts)
                return logits, hidden, records[0]
            logits, hidden = states.forward(tokens, starts)
            return logits, hidden, [None] * len(works)

    def _starts(
        self, works: Sequence[RequestRow], tokens: Int[Tensor, "N T"]
    ) -> Bool[Tensor, "N T"] | None:
        starts = tokens == self._boundary
        # nothing lies before the first of a text that it could cut off
        if opening := [row for row, work in enumerate(works) if not work.read]:
            starts[opening, 0] = False
        if whole := [row for row, work in enumerate(works) if work.job.one_document]:
            starts[whole] = False
        return starts.to(self._model.device) if bool(starts.any()) else None

    def _begin_writing(self, work: RequestRow, state: State | None, coming: int = 0) -> None:
        self._writing_states.begin(state, coming)
        self.writing.append(work)
        self._sampling = None

    def _leave_reading(self, row: int, *, goes_on: bool = False) -> None:
        if self.reading[row].job.keep and not goes_on:
            self._keep(self.reading[row], self._reading_states.part(row))
        self._reading_states.leave(row)
        _drop(self.reading, row)

    def _leave_writing(self, row: int) -> None:
        if self.writing[row].job.keep:
            self._keep(self.writing[row], self._writing_states.part(row))
        self._writing_states.leave(row)
        _drop(self.writing, row)
        self._sampling = None

    def _keep(self, work: RequestRow, state: State) -> None:
        self.kept = Kept(tuple(work.history[: work.read]), state.clone())


def format_failure(error: Exception) -> str:
    """Return the message that a client gets when the model fails."""
    if isinstance(error, InklingsError):
        return str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error):
        return (
            "there was not enough memory for this pass; ask for less at once, or start the server"
            " with fewer --rows."
        )
    return f"the model failed: {type(error).__name__}."


def _drop(works: list[RequestRow], row: int) -> None:
    """Take a row out of a list as `RowStates.leave` does: the last takes its place."""
    last = works.pop()
    if row < len(works):
        works[row] = last
