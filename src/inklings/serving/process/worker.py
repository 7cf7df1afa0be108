"""The engine process: commands come through a pipe, and the results of each pass go back.

Nothing of a request is ever logged: an error is logged by its type and its place in the code.
"""

from __future__ import annotations

import logging
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from inklings.device import threads_of
from inklings.errors import ConfigError, InklingsError
from inklings.generation.engine.request import GenerationRequest
from inklings.runs.interruption import SIGNALS, release_signals
from inklings.serving.process.failures import EngineError, Failure
from inklings.serving.process.messages import (
    Answer,
    Call,
    Cancel,
    Command,
    EngineReport,
    Message,
    Ready,
    Refused,
    Stop,
)
from inklings.serving.process.model_loader import ServedModel, Spec

log = logging.getLogger("inklings.serving")


def main(connection: Connection, spec: Spec) -> None:
    """Run an engine process from start to end."""
    # the front decides when it ends; a terminal's Ctrl-C or end and a service manager's SIGTERM
    # reach every process
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    release_signals()
    work(connection, spec)


def work(connection: Connection, spec: Spec) -> None:
    """Load the model, report that, and do what comes through the pipe.

    It ends on a `Stop`, or when the other end is gone.
    """
    with suppress(EOFError, OSError), connection:  # the front is gone: nobody to tell
        try:
            model = ServedModel(spec)
            ready = Ready(model.card())
        except Exception as error:
            connection.send(Refused(_failure(error, f"loading {spec.name}")))
            return
        connection.send(ready)
        with threads_of(model.runtime):
            _Loop(connection, model).run()


class _Loop:
    """The loop of an engine process once its model is loaded."""

    def __init__(self, connection: Connection, model: ServedModel) -> None:
        self.connection = connection
        self.model = model
        self.engine = model.engine()
        self.jobs: set[int] = set()
        """Those that the engine has, should a pass fail."""
        self.passes = 0
        """Since the last report."""

    def run(self) -> None:
        """Run until a `Stop`; raise `EOFError` if the front is gone."""
        while True:
            # with nothing to do, wait; else take only what is there
            while not self._busy or self.connection.poll():
                command: Command = self.connection.recv()
                if isinstance(command, Stop):
                    return
                self._obey(command)
            self._pass()

    @property
    def _busy(self) -> bool:
        return self.engine is not None and self.engine.running + self.engine.waiting > 0

    def _obey(self, command: Command) -> None:
        if isinstance(command, GenerationRequest):
            self._begin(command)
        elif isinstance(command, Cancel):
            self.jobs.discard(command.number)
            if self.engine is not None:
                self.engine.cancel(command.number)
        elif isinstance(command, Call):
            self._answer(command)

    def _begin(self, job: GenerationRequest) -> None:
        try:
            if self.engine is None:
                raise ConfigError(
                    f"{self.model.spec.name} makes whole texts out of noise and cannot go on from a"
                    " prompt."
                )
            self.engine.submit(job)
        except Exception as error:
            self._send(Answer(job.number, failure=_failure(error, "taking a job")))
        else:
            self.jobs.add(job.number)

    def _pass(self) -> None:
        assert self.engine is not None
        try:
            progress = self.engine.step()
        except Exception as error:
            # the engine may be in any state: it is made anew, and what it was at is lost
            failure = _failure(error, "a pass")
            lost, self.jobs, self.engine = self.jobs, set(), self.model.engine()
            for number in sorted(lost):
                self._send(Answer(number, failure=failure))
            return
        self.passes += 1
        for each in progress:
            if each.ending is not None or each.error is not None:
                self.jobs.discard(each.number)
        if progress:
            self._send(EngineReport(progress, self.passes))
            self.passes = 0

    def _answer(self, call: Call) -> None:
        before = self.model.memory
        does: dict[str, Callable[..., Any]] = {
            "make": self.model.make,
            "memory_info": self.model.memory_info,
            "memory_search": self.model.memory_search,
            "memory_add": self.model.memory_add,
            "memory_remove": self.model.memory_remove,
        }
        try:
            value = does[call.name](**call.arguments)
        except Exception as error:
            answer = Answer(call.number, failure=_failure(error, call.name))
        else:
            answer = Answer(
                call.number,
                value,
                card=self.model.card() if call.name.startswith("memory_") else None,
            )
        if self.engine is not None and self.model.memory is not before:
            self.engine.memory = self.model.memory
        self._send(answer)

    def _send(self, message: Message) -> None:
        self.connection.send(message)


def _failure(error: Exception, doing: str) -> Failure:
    """Return an error as the front gets it.

    An unexpected one is logged, its place but none of its values.
    """
    if isinstance(error, InklingsError):
        return Failure.of(error)
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s failed: %s at\n%s", doing, type(error).__name__, where)
    return Failure(
        EngineError,
        f"{doing} failed unexpectedly ({type(error).__name__}); the server's log tells where.",
    )
