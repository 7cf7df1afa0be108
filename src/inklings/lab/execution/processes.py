"""Several tasks at a time, each in a process of its own; events and results come back.

Processes are spawned, never forked: torch's threads do not survive a fork. Each has its own pipe,
so one that dies can neither block nor garble the others.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable

from inklings.events import Event, OnEvent
from inklings.runs.interruption import (
    SIGNALS,
    Interruption,
    exit_reason,
    held_signals,
    is_ignored_hangup,
    release_signals,
)
from inklings.runs.spawning import without_main

STEP_EVENTS = 0.1
"""Seconds between two step events of a run that a worker sends: a display needs no more, and a fast
run makes thousands.
"""


@runtime_checkable
class Task(Protocol):
    """A task that can be sent to a worker: plain data with its arm and seed."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    @property
    def arm(self) -> str:
        """The label of the arm that the task is of."""

    @property
    def seed(self) -> int | None:
        """The seed, if the task is of one."""


T = TypeVar("T", bound=Task)
R = TypeVar("R")


@dataclass(frozen=True)
class TaskHandler(Generic[T, R]):
    """The functions that do a kind of task.

    They are module-level functions, since another process finds them by name.
    """

    do: Callable[[T, OnEvent], R | None]
    """None: it was interrupted, and the same call goes on."""
    failed: Callable[[T, str], R]
    """The result where its process died; with the reason."""

    def died(self, job: T, how: str) -> R:
        """Return the result of a job whose process ended before it."""
        return self.failed(job, f"its process died ({how}); the same command tries it again")


def do_jobs(
    jobs: Sequence[T], work: TaskHandler[T, R], *, workers: int, on_event: OnEvent
) -> Iterator[tuple[T, R]]:
    """Do all tasks and yield each with its result as it ends.

    After an interruption, those that ended are yielded. Ctrl-C and SIGTERM let every run finish its
    step and save, and give up what else it does (scoring, an audit), which is done anew the next
    time; a second Ctrl-C stops training at once too. With one worker all is done in this process.

    Args:
        jobs: the tasks.
        work: the functions that do them.
        workers: how many processes.
        on_event: called with every event as it happens.
    """
    if workers == 1:
        yield from _in_turn(jobs, work, on_event)
    elif jobs:
        yield from _side_by_side(jobs, work, min(workers, len(jobs)), on_event)


def named(job: Task, event: Event) -> Event:
    """Add to an event of training the run that it is of."""
    event = event.copy()
    event["run"], event["arm"], event["seed"] = job.name, job.arm, job.seed
    return event


def _in_turn(
    jobs: Sequence[T], work: TaskHandler[T, R], on_event: OnEvent
) -> Iterator[tuple[T, R]]:
    with Interruption() as interruption:
        for job in jobs:
            if interruption.asked:  # it came before this one, perhaps while another ended
                return
            try:
                with Interruption(at_once=True):  # training, within, saves first; scoring is lost
                    result = work.do(job, lambda event, job=job: on_event(named(job, event)))  # type: ignore[misc]  # mypy cannot infer the lambda
            except KeyboardInterrupt:
                return
            if result is None:
                return
            yield job, result


class _Worker(Generic[T]):
    """A process that does one task after another."""

    def __init__(self, do: Callable[[T, OnEvent], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, do), daemon=True)
        with held_signals(), without_main():
            self.process.start()
        theirs.close()
        self.job: T | None = None

    def give(self, job: T) -> None:
        """Give the process a job."""
        self.job = job
        self.connection.send(job)

    def end(self) -> None:
        """Let the process end, at once if it is at work."""
        self.connection.close()
        if self.job is not None:
            self.process.kill()
        self.process.join()


def _side_by_side(
    jobs: Sequence[T], work: TaskHandler[T, R], count: int, on_event: OnEvent
) -> Iterator[tuple[T, R]]:
    waiting = deque(jobs)
    workers: list[_Worker[T]] = []
    try:
        with Interruption() as interruption:
            stopping = interruption.asked
            workers += [_Worker(work.do) for _ in range(0 if stopping else count)]
            while True:
                for worker in workers:
                    if worker.job is None and waiting and not stopping:
                        worker.give(waiting.popleft())
                busy = {worker.connection: worker for worker in workers if worker.job is not None}
                if not busy:
                    return
                for connection in wait(list(busy), timeout=0.2):
                    assert isinstance(connection, Connection)
                    worker = busy[connection]
                    job = worker.job
                    assert job is not None
                    try:
                        message = connection.recv()
                    except (EOFError, OSError):
                        worker.job = None
                        workers.remove(worker)
                        worker.end()
                        if not stopping:
                            yield job, work.died(job, exit_reason(worker.process.exitcode))
                            workers += [_Worker(work.do)] if waiting else []
                        continue
                    if isinstance(message, dict):
                        on_event(cast(Event, message))
                        continue
                    worker.job = None
                    if message is not None:
                        yield job, message
                if interruption.asked and not stopping:
                    stopping = True
                    _ask_to_stop([worker.process for worker in workers if worker.job is not None])
    finally:
        for worker in workers:
            worker.end()


def _ask_to_stop(processes: Sequence[BaseProcess]) -> None:
    """Send SIGTERM, which training answers by saving.

    On Windows it would kill, but there the console's Ctrl-C reaches all.
    """
    if sys.platform != "win32":
        for process in processes:
            process.terminate()


def _serve(connection: Connection, do: Callable[[Any, OnEvent], Any]) -> None:
    """Run a worker: tasks in, events and results out, until the other end is closed."""
    # A terminal's Ctrl-C or end reaches all of its processes. Between runs the parent decides;
    # within one, training saves.
    for number in SIGNALS:
        if not is_ignored_hangup(number):
            signal.signal(number, _end if number == signal.SIGTERM else _pass_over)
    release_signals()
    with suppress(EOFError, ConnectionError, KeyboardInterrupt):
        while True:
            job: Task = connection.recv()
            connection.send(do(job, _Sender(connection, job)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Ignore a signal.

    It is a handler, not `SIG_IGN`: processes that a worker starts shall not inherit it.
    """


def _end(number: int, frame: FrameType | None) -> None:
    """End as the parent asks outside of training: half-made files are removed on the way out."""
    raise KeyboardInterrupt


class _Sender:
    """A sender of a run's events to the parent; steps not more often than a display can show."""

    def __init__(self, connection: Connection, job: Task) -> None:
        self.connection = connection
        self.job = job
        self.next_step = 0.0

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if event["event"] == "step":
            if now < self.next_step:
                return
            self.next_step = now + STEP_EVENTS
        try:
            self.connection.send(named(self.job, event))
        except ConnectionError:
            raise SystemExit(
                1
                # the parent is gone; the run goes on from its last checkpoint when asked again
            ) from None
