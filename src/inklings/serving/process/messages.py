"""Messages between the front and an engine process: commands, and reports.

Requests and their results are in `generation/engine/request.py`; a `GenerationRequest` is itself a
command.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from inklings.generation.engine.request import Card, Delta, GenerationRequest
from inklings.serving.process.failures import Failure

CallName = Literal["make", "memory_info", "memory_search", "memory_add", "memory_remove"]


@dataclass(frozen=True)
class Cancel:
    """A request that nobody waits for any more."""

    number: int


@dataclass(frozen=True)
class Call:
    """Do something that is not a request of the engine, and answer."""

    number: int
    """Its number, of its own among all jobs and calls of one front."""
    name: CallName
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """Abandon all work, and end."""


Command: TypeAlias = GenerationRequest | Cancel | Call | Stop


@dataclass(frozen=True)
class Ready:
    """The model is loaded."""

    card: Card


@dataclass(frozen=True)
class Refused:
    """The model could not be loaded; the process ends."""

    failure: Failure


@dataclass(frozen=True)
class EngineReport:
    """The results of the passes since the last report."""

    progress: list[Delta]
    passes: int


@dataclass(frozen=True)
class Answer:
    """The result of a call; of a request only where it failed."""

    number: int
    value: Any = None
    failure: Failure | None = None
    card: Card | None = None
    """What the model is after the call, if that changed."""


Message: TypeAlias = Ready | Refused | EngineReport | Answer
