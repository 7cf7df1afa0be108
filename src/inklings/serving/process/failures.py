"""Failures of a server for which a request is not to blame.

Errors travel between processes as plain values.
"""

from __future__ import annotations

from dataclasses import dataclass

from inklings.errors import InklingsError


class OverloadedError(InklingsError):
    """All places of a model are taken; asking again later helps."""


class WorkerLostError(InklingsError):
    """The process that worked on a request has died; asking again helps where it was replaced."""


class StoppingError(InklingsError):
    """The server is being stopped and its grace time is over."""


class EngineError(InklingsError):
    """An unexpected error happened in an engine process.

    Its log says where, and the process went on.
    """


@dataclass(frozen=True)
class Failure:
    """An error as plain data: its kind and its message.

    The kind is one that every process of ours can import.
    """

    kind: type[InklingsError]
    message: str

    @staticmethod
    def of(error: InklingsError) -> Failure:
        """Return an error as a failure, by the nearest kind that is not of a user's own file."""
        kind = next(kind for kind in type(error).__mro__ if kind.__module__.startswith("inklings."))
        return Failure(kind, str(error))

    def error(self) -> InklingsError:
        """Return an error of that kind and message."""
        # not through its constructor, whose arguments may be others than a message
        return self.kind.__new__(self.kind, self.message)
