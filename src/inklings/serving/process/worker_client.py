"""The front's end of an engine process: it starts it, sends to it, listens and ends it.

Sending never waits for the process.
"""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeAlias, runtime_checkable

from inklings.errors import InklingsError
from inklings.generation.engine.request import Card
from inklings.runs.interruption import exit_reason, held_signals
from inklings.runs.spawning import without_main
from inklings.serving.process import worker
from inklings.serving.process.failures import WorkerLostError
from inklings.serving.process.messages import Command, Message, Stop
from inklings.serving.process.model_loader import Spec
from inklings.serving.process.response_stream import Ticket

PATIENCE = 5.0
"""Seconds that an engine process has to end after a `Stop`; then it is killed."""


@runtime_checkable
class Life(Protocol):
    """The home of an engine: a process of its own, or a thread of this one."""

    def end(self, patience: float) -> str:
        """Wait until it has ended, kill it after `patience` seconds, and return how it ended.

        Blocks.
        """
        ...


Launch: TypeAlias = Callable[[Spec], tuple[Connection, Life]]


class _Process:
    def __init__(self, process: Any) -> None:
        self.process = process
        # Python waits for its children when it ends, and this one would wait for the end of Python
        atexit.register(process.kill)

    def end(self, patience: float) -> str:
        self.process.join(patience)
        atexit.unregister(self.process.kill)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        return exit_reason(self.process.exitcode)


def in_process(spec: Spec) -> tuple[Connection, Life]:
    """Start an engine in a process of its own.

    Spawned, for torch's threads do not survive a fork.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=worker.main, args=(theirs, spec), name=f"inklings {spec.name}", daemon=True
    )
    with held_signals(), without_main():
        process.start()
    theirs.close()  # so that we see it end when it does
    return ours, _Process(process)


class Link:
    """One engine process and its pending requests.

    Two threads talk to it, so that the event loop never waits for a pipe.
    """

    def __init__(
        self,
        spec: Spec,
        launch: Launch,
        *,
        on_message: Callable[[Link, Message], None],
        on_lost: Callable[[Link], None],
    ) -> None:
        self.name = spec.name
        self.alive = True
        """Whether it can be given anything."""
        self.loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Card] = self.loop.create_future()
        """Done when the model is loaded; an error if it could not be."""
        self.tickets: dict[int, Ticket] = {}
        self.calls: dict[int, asyncio.Future[Any]] = {}
        self._on_message, self._on_lost = on_message, on_lost
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._connection, self._life = launch(spec)
        writer = threading.Thread(target=self._write, name=f"to {spec.name}", daemon=True)
        writer.start()
        threading.Thread(
            target=self._read, args=(writer,), name=f"from {spec.name}", daemon=True
        ).start()

    @property
    def taken(self) -> int:
        """Jobs and calls that it has not answered."""
        return len(self.tickets) + len(self.calls)

    def send(self, command: Command) -> None:
        """Tell it something, sooner or later."""
        self._commands.put(command)

    def fail(self, error: InklingsError) -> None:
        """End all that waits for it with an error."""
        tickets, self.tickets = self.tickets, {}
        calls, self.calls = self.calls, {}
        for ticket in tickets.values():
            ticket.fail(error)
        for call in calls.values():
            if not call.done():
                call.set_exception(error)

    async def death(self) -> WorkerLostError:
        """Return how the process ended, once its pipe is closed."""
        how = await asyncio.to_thread(self._life.end, PATIENCE)
        return WorkerLostError(
            f"the process that runs {self.name} has died ({how}); what it was at is lost. Please"
            " ask again."
        )

    async def close(self, *, patience: float = PATIENCE) -> None:
        """Send a `Stop` and wait for the end; after `patience` seconds the process is killed."""
        self.alive = False
        self.ready.cancel()
        self.send(Stop())
        await asyncio.to_thread(self._life.end, patience)

    def _read(self, writer: threading.Thread) -> None:
        """Read messages in a thread, until the other end is closed.

        Each becomes one call on the event loop.
        """
        with suppress(RuntimeError):  # the loop is closed: nobody is there to hear
            with suppress(EOFError, OSError):
                while True:
                    message: Message = self._connection.recv()
                    self.loop.call_soon_threadsafe(self._on_message, self, message)
            self.loop.call_soon_threadsafe(self._on_lost, self)
        # not while the other thread may be about to use the number of the pipe, which would be
        # another file's
        self._commands.put(None)
        writer.join()
        self._connection.close()

    def _write(self) -> None:
        """Send commands in a thread, until a None comes."""
        with suppress(OSError):  # it is gone: `_read` sees that too
            for command in iter(self._commands.get, None):
                self._connection.send(command)
