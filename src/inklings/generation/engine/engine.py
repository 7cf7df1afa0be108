"""The engine: many texts written side by side with one model.

Requests share its forward passes, and join and leave between two tokens. A text comes out as if it
were alone: its logits are those of a pass over it alone within 1e-4, and its draws are those of
`generate` for its seed and row. Free rows go to clients in turn. Long prompts are read in pieces,
between which the other rows write.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

from inklings.errors import ArchitectureError, ConfigError, InputError
from inklings.generation.engine.batch import Group, format_failure
from inklings.generation.engine.branch_factors import Factors, checked_factors
from inklings.generation.engine.entry_texts import EntryTexts
from inklings.generation.engine.fair_queue import Waiting
from inklings.generation.engine.request import Delta, GenerationRequest
from inklings.generation.engine.row import RequestRow
from inklings.generation.engine.row_texts import RowTexts
from inklings.generation.engine.state_slots import RowStates
from inklings.generation.pair import check_pair
from inklings.generation.text_stream import TextStream
from inklings.models.contract import SequenceModel
from inklings.models.remembering import Remembering
from inklings.runs.memory import RunMemory
from inklings.text.tokenizers import Tokenizer

READERS = 16
"""Most prompts that are read at a time; with more, each would be read more slowly, and none sooner.
"""
BETWEEN = 256
"""Tokens of prompts that are read between two tokens of the rows that write."""
PIECE = 512
"""Tokens of prompts that are read at a time where no row writes; attention within a piece grows
with its square.
"""


class Engine:
    """Writes many texts side by side with one model.

    It is used by one thread; `step` does one pass, and the caller decides when.
    """

    def __init__(
        self,
        model: SequenceModel,
        tokenizer: Tokenizer,
        *,
        rows: int = 64,
        memory: RunMemory | None = None,
        clock: Callable[[], float] = time.monotonic,
        failure: Callable[[Exception], str] = format_failure,
        use_cache: bool = True,
    ) -> None:
        """Make an engine without work.

        Args:
            model: any that streams; it is left in the mode it is in.
            tokenizer: the model's own.
            rows: how many texts are read and written at a time; further ones wait.
            memory: the long-term memory that the model reads, for the names and texts of its
                entries. (The model is given it elsewhere.)
            clock: returns seconds; deadlines are measured by it.
            failure: makes the message of an error that ends a request; if it raises, `step` does.
            use_cache: False keeps no states and reads every text anew for every token.

        Raises:
            TokenizerError: the tokenizer does not belong to the model.
            ConfigError: `rows` is not at least 1.
        """
        check_pair(model, tokenizer)
        if rows < 1:
            raise ConfigError(f"rows is {rows}; it must be at least 1.")
        self._model = model
        self._tokenizer = tokenizer
        self._rows = rows
        self._clock = clock
        self._failure = failure
        self._use_cache = use_cache
        self._waiting = Waiting()
        self._deadlines: dict[int, float] = {}
        """When each waiting request is too late, by its number."""
        self._groups: dict[Factors, Group] = {}
        self._works: dict[int, RequestRow] = {}
        self.memory = memory

    @property
    def memory(self) -> RunMemory | None:
        """The long-term memory that entries are shown from."""
        return self._memory

    @memory.setter
    def memory(self, memory: RunMemory | None) -> None:
        self._memory = memory
        self._texts = EntryTexts(self._tokenizer, memory)

    @property
    def running(self) -> int:
        """Jobs that have a row."""
        return len(self._works)

    @property
    def waiting(self) -> int:
        """Jobs that have none yet."""
        return len(self._waiting)

    def submit(self, job: GenerationRequest) -> None:
        """Take a job; it gets a row at the next `step`, or when one is free.

        Raises:
            InputError: its prompt does not begin with the boundary, or holds what is no token; or
                its number is in use.
            ConfigError: a number is out of range, a stop string is empty, or the model has no such
                branch.
            ArchitectureError: it asks for entries of a model without a memory.
        """
        self._check(job)
        self._waiting.add(job)
        self._deadlines[job.number] = (
            math.inf if job.seconds is None else self._clock() + job.seconds
        )

    def cancel(self, number: int) -> None:
        """Drop a request; nothing more is reported of it.

        Numbers of requests that are done, or never were, are ignored.
        """
        if self._waiting.remove(number) is not None:
            del self._deadlines[number]
        elif (work := self._works.pop(number, None)) is not None:
            self._group(work.job).leave(work)

    def step(self) -> list[Delta]:
        """Make one pass.

        Requests whose time is up end, free rows are given away, prompts are read on, and every row
        that writes draws a token.

        Returns:
            A `Delta` of every request that has a row, and of those that end; an empty list only if
                there is no request.
        """
        told = self._end_late()
        told += self._give_rows()
        groups = list(self._groups.values())
        budget = BETWEEN if any(group.writing for group in groups) else PIECE
        readers = sum(bool(group.reading) for group in groups)
        for group in groups:
            if group.reading:
                told += group.read(max(1, budget // readers), self._texts)
        for group in groups:
            told += group.write(self._texts)
        for progress in told:
            if progress.ending is not None or progress.error is not None:
                self._works.pop(progress.number, None)
        self._groups = {
            factors: group
            for factors, group in self._groups.items()
            if len(group) or group.kept is not None
        }
        return told

    def deltas(self) -> Iterator[Delta]:
        """Yield the result of every pass, until no request is left."""
        while told := self.step():
            yield from told

    def _check(self, job: GenerationRequest) -> None:
        boundary, size = self._tokenizer.boundary, self._tokenizer.vocab_size
        if job.number in self._works or job.number in self._waiting:
            raise InputError(f"a job has the number {job.number} already; give each its own.")
        if not job.prompt or job.prompt[0] != boundary:
            raise InputError(
                f"a prompt must begin with the boundary token, {boundary}, and be followed by the"
                " text's own tokens."
            )
        if not all(0 <= token < size for token in job.prompt):
            wrong = next(token for token in job.prompt if not 0 <= token < size)
            raise InputError(
                f"the prompt holds token {wrong}; this vocabulary has 0 to {size - 1}."
            )
        for name in (
            "max_new_tokens",
            "entries",
            "row",
            "draws",
            "alternatives",
            "prompt_alternatives",
        ):
            if (getattr(job, name) or 0) < 0:
                raise ConfigError(f"{name} is {getattr(job, name)}; it must be 0 or more.")
        if job.embed and job.max_new_tokens:
            raise ConfigError(
                "an embedding is of a text as it is, so a job that asks for one draws no tokens;"
                " make two jobs of it."
            )
        if job.seconds is not None and not job.seconds > 0:
            raise ConfigError(f"seconds is {job.seconds}; it must be more than 0, or None.")
        if job.entries and not isinstance(self._model, Remembering):
            raise ArchitectureError(
                f"{type(self._model).__name__} has no memory, so there are no entries to show;"
                " leave `entries` out, or serve a model that has one: `inklings train varda --from"
                " RUN --budget 0-steps --run NEW`."
            )
        TextStream(job.stop)
        checked_factors(self._model, job.branches)

    def _group(self, job: GenerationRequest) -> Group:
        factors = checked_factors(self._model, job.branches)
        if factors not in self._groups:
            self._groups[factors] = Group(
                self._model,
                self._tokenizer,
                factors,
                make_states=self._make_states,
                failure=self._failure,
            )
        return self._groups[factors]

    def _make_states(self) -> RowStates | RowTexts:
        if not self._use_cache:
            return RowTexts(self._model)
        return RowStates(self._model, pads=self._rows > 1)

    def _end_late(self) -> list[Delta]:
        """End requests whose time is up as they are, with a row or without."""
        now = self._clock()
        told = []
        for number in [number for number, deadline in self._deadlines.items() if deadline <= now]:
            self._waiting.remove(number)
            del self._deadlines[number]
            told.append(Delta(number, ending="deadline"))
        for number, work in [
            (number, work) for number, work in self._works.items() if work.deadline <= now
        ]:
            self._group(work.job).leave(work)
            del self._works[number]
            told.append(work.ended("deadline"))
        return told

    def _give_rows(self) -> list[Delta]:
        """Give free rows to those whose turn it is.

        A request that neither reads nor writes is done at once.
        """
        told = []
        readers = sum(len(group.reading) for group in self._groups.values())
        while self._waiting and len(self._works) < self._rows and readers < READERS:
            job = self._waiting.take()
            group, deadline = self._group(job), self._deadlines.pop(job.number)
            work = RequestRow.begin(job, self._tokenizer, deadline, group.known(job))
            readers += bool(work.to_read)
            if work.to_read or job.max_new_tokens:
                self._works[job.number] = work
                group.join(work, min(len(self._waiting), self._rows - len(self._works)))
            if not work.to_read:
                told.append(work.told_of_prompt())
        return told
