"""A pool of engine processes for each served model, as the front sees it.

Requests go to its processes, their results come back, and a process that dies is replaced.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inklings.errors import InklingsError, RunError
from inklings.generation.engine.request import Card, GenerationRequest
from inklings.generation.generate import Generation
from inklings.runs.directory import RunDirectory
from inklings.runs.memory import Addition, Hit, MemoryInfo
from inklings.serving.process.failures import OverloadedError, StoppingError, WorkerLostError
from inklings.serving.process.messages import (
    Answer,
    Call,
    CallName,
    Cancel,
    EngineReport,
    Message,
    Ready,
    Refused,
)
from inklings.serving.process.model_loader import Spec
from inklings.serving.process.response_stream import Ticket
from inklings.serving.process.worker_client import PATIENCE, Launch, Link, in_process
from inklings.serving.settings import ServeConfig

DEATHS = 3
"""How often the processes of a model may die within `WITHIN` seconds and be replaced."""
WITHIN = 300.0


@dataclass(frozen=True)
class Load:
    """The current load of a model, and what it has done since the server began."""

    running: int
    """Texts that are read and written now."""
    waiting: int
    workers_alive: int
    tokens_drawn: int
    tokens_read: int
    """Tokens of prompts that were read."""
    passes: int
    """Passes of its engines, those alone that brought something to a client."""
    workers_lost: int
    """Processes that have died so far."""


class Served:
    """One served model. `start` makes it.

    All of it happens on the event loop that it was made on.
    """

    def __init__(self, spec: Spec, run: RunDirectory, launch: Launch, *, queue: int) -> None:
        self.run = run
        self.tokenizer = run.tokenizer()
        self._spec, self._launch, self._queue = spec, launch, queue
        self._numbers = itertools.count(1)
        self._card: Card | None = None
        self._closing = False
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._lost = 0
        self._drawn = self._read = self._passes = 0
        self._unread: set[int] = set()
        """Jobs whose prompt has not been counted."""
        self._tasks: set[asyncio.Task[None]] = set()
        # all at once: whoever measures what is fastest does so beside the others, as it will be
        self._links = [self._link() for _ in range(spec.workers)]

    @property
    def card(self) -> Card:
        """The model's card as it is now."""
        assert self._card is not None, "it is used before it was ready"
        return self._card

    @property
    def load(self) -> Load:
        """The running and waiting requests."""
        taken = [link.taken for link in self._links]
        running = [min(count, self._spec.rows) for count in taken]
        alive = sum(link.alive and link.ready.done() for link in self._links)
        return Load(
            sum(running),
            sum(taken) - sum(running),
            alive,
            self._drawn,
            self._read,
            self._passes,
            self._lost,
        )

    async def ready(self) -> None:
        """Wait until every process has loaded the model.

        Raises:
            InklingsError: one could not; whatever the run's loading raises.
            WorkerLostError: one died.
            RunError: the run is being trained, and they have not loaded the same checkpoint.
        """
        cards = await asyncio.gather(*(link.ready for link in self._links))
        if len({card.step for card in cards}) > 1:
            raise RunError(
                f"{self._spec.name} is being trained, and its {self._spec.workers} processes have"
                " loaded different checkpoints. Start the server again, or with --workers 1."
            )
        self._card = cards[0]

    @property
    def rows(self) -> int:
        """How many texts are read and written at a time."""
        return self._spec.rows * self._spec.workers

    @property
    def places(self) -> int:
        """How many texts there is room for, those that wait among them."""
        return self.rows + self._queue

    def ask(self, job: GenerationRequest, *, admitted: bool = False) -> Ticket:
        """Have a job done; its number becomes another.

        Args:
            job: what to do.
            admitted: whether it is taken even where all places are: another of its request has left
                one for it.

        Raises:
            OverloadedError: all places are taken.
            WorkerLostError: its processes died so often that they are not replaced any more.
            StoppingError: the server is being stopped.
        """
        link = self._free(admitted=admitted)
        job = replace(job, number=next(self._numbers))
        ticket = Ticket(job, self._cancel)
        link.tickets[job.number] = ticket
        self._unread.add(job.number)
        link.send(job)
        return ticket

    async def make(
        self, samples: int, *, seed: int, style_seed: int | None, length: int | None
    ) -> list[Generation]:
        """Write texts out of noise, where `card.predicts` is False.

        Errors as `ask` and `generation.from_noise.write`.

        Args:
            samples: how many.
            seed: of all noise.
            style_seed: of the noise that is global to a text; None draws it with the rest.
            length: most tokens of a text; None is as many as the model was made for.
        """
        made: list[Generation] = await self._call(
            "make", samples=samples, seed=seed, style_seed=style_seed, length=length
        )
        return made

    async def memory_info(self) -> MemoryInfo:
        """Return what the long-term memory is.

        Errors as `ask` and `RunMemory.info`; a `RunError` if there is none.
        """
        info: MemoryInfo = await self._call("memory_info")
        return info

    async def memory_search(self, text: str, k: int) -> list[Hit]:
        """Return the k entries nearest to what the model would search with at the end of a text.

        Nearest first; it changes nothing.
        """
        hits: list[Hit] = await self._call("memory_search", text=text, k=k)
        return hits

    async def memory_add(self, name: str, text: str) -> Addition:
        """Add a document to the memory and save it.

        With several processes it is refused by a `ConfigError`. Errors as `RunMemory.add`.
        """
        addition: Addition = await self._call("memory_add", name=name, text=text)
        return addition

    async def memory_remove(self, ids: Sequence[int]) -> None:
        """Remove entries from the memory and save it.

        With several processes it is refused by a `ConfigError`. Errors as `RunMemory.remove`.
        """
        await self._call("memory_remove", ids=list(ids))

    def stop(self) -> None:
        """End all that still runs or waits with a `StoppingError`, and take no more."""
        self._closing = True
        self._unread.clear()
        for link in self._links:
            for number in link.tickets:
                link.send(Cancel(number))
            link.fail(
                StoppingError(
                    "the server is being stopped; what was not done by then is left. Ask again when"
                    " it is back."
                )
            )

    async def close(self, *, patience: float = PATIENCE) -> None:
        """Stop, and end the processes.

        Those that take longer than `patience` seconds are killed.
        """
        self.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(link.close(patience=patience) for link in self._links))

    def _link(self) -> Link:
        return Link(self._spec, self._launch, on_message=self._hear, on_lost=self._lose)

    def _free(self, *, admitted: bool = False) -> Link:
        """Return the process with the fewest jobs."""
        name = self._spec.name
        if self._closing:
            raise StoppingError(
                "the server is being stopped and takes nothing new. Ask again when it is back."
            )
        alive = [link for link in self._links if link.alive]
        if not alive:
            raise WorkerLostError(
                f"the processes of {name} died too often to be replaced once more; start the server"
                " anew."
            )
        if not admitted and sum(link.taken for link in self._links) >= self.places:
            raise OverloadedError(
                f"all {self.places:,} places of {name} are taken. Ask again a little later."
            )
        return min(alive, key=lambda link: link.taken)

    async def _call(self, call: CallName, /, **arguments: Any) -> Any:
        link = self._free()
        number = next(self._numbers)
        future = link.calls[number] = link.loop.create_future()
        link.send(Call(number, call, arguments))
        try:
            return await future
        finally:
            link.calls.pop(number, None)

    def _cancel(self, ticket: Ticket) -> None:
        number = ticket.job.number
        self._unread.discard(number)
        for link in self._links:
            if link.tickets.pop(number, None) is not None:
                link.send(Cancel(number))

    def _hear(self, link: Link, message: Message) -> None:
        """Take a message of an engine process."""
        if isinstance(message, EngineReport):
            self._receive(link, message)
        elif isinstance(message, Answer):
            self._settle(link, message)
        elif isinstance(message, Ready):
            if self._card is not None:  # of a process that took the place of another
                self._card = message.card
            _settle(link.ready, message.card)
        elif isinstance(message, Refused):
            _settle(link.ready, message.failure.error())

    def _receive(self, link: Link, report: EngineReport) -> None:
        self._passes += report.passes
        for progress in report.progress:
            self._drawn += progress.count
            ticket = link.tickets.get(progress.number)
            if ticket is None:  # cancelled meanwhile
                continue
            if progress.number in self._unread:
                self._unread.discard(progress.number)
                self._read += len(ticket.job.prompt)
            ticket.receive(progress)
            if ticket.over:
                del link.tickets[progress.number]

    def _settle(self, link: Link, answer: Answer) -> None:
        if answer.card is not None:
            self._card = answer.card
        error = None if answer.failure is None else answer.failure.error()
        ticket, call = link.tickets.pop(answer.number, None), link.calls.pop(answer.number, None)
        if ticket is not None and error is not None:
            self._unread.discard(answer.number)
            ticket.fail(error)
        if call is not None:
            _settle(call, answer.value if error is None else error)

    def _lose(self, link: Link) -> None:
        """Note that the pipe of a process was closed."""
        if self._closing or not link.alive:
            return
        link.alive = False
        task = link.loop.create_task(self._replace(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self, link: Link) -> None:
        """Fail the requests of a process that died.

        Another one is started, unless that has happened too often.
        """
        error = await link.death()
        self._unread -= link.tickets.keys()
        link.fail(error)
        if self._card is None:  # it was never there: `ready` tells why
            _settle(link.ready, error)
            return
        if not link.ready.done():
            link.ready.cancel()
        self._lost += 1
        now = link.loop.time()
        if len(self._deaths) == DEATHS and now - self._deaths[0] < WITHIN:
            return
        self._deaths.append(now)
        self._links[self._links.index(link)] = self._link()


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    """Give a future its value or error, if anybody still waits for it."""
    if future.done():
        return
    if isinstance(outcome, InklingsError):
        future.set_exception(outcome)
        future.exception()  # it may be that nobody asks: no complaint then
    else:
        future.set_result(outcome)


async def start(
    runs: Mapping[str, RunDirectory],
    config: ServeConfig,
    *,
    trust_code: bool = False,
    launch: Launch = in_process,
) -> list[Served]:
    """Start the engine processes of all runs, and return when their models are loaded.

    Args:
        runs: by the name that clients call each.
        config: settings of the server.
        trust_code: run an architecture's Python code even if another user or machine made it.
        launch: starts one engine, in a process or in what a test puts in its place.

    Raises:
        InklingsError: a run cannot be served; then none is.
    """
    models: list[Served] = []
    try:
        for name, run in runs.items():
            spec = Spec(
                name=name,
                run=str(run.path),
                rows=config.rows,
                precision=config.precision,
                device=config.device,
                workers=config.workers,
                memory=config.memory,
                trust_code=trust_code,
            )
            models.append(Served(spec, run, launch, queue=config.queue))
        await asyncio.gather(*(model.ready() for model in models))
    except BaseException:
        await asyncio.gather(*(model.close(patience=0.0) for model in models))
        raise
    return models
