"""The stream of one request's answer, as it comes, however slowly a client takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from inklings.errors import InklingsError
from inklings.generation.engine.request import Delta, GenerationRequest


class Ticket:
    """The deltas of one request, one after the other.

    An asynchronous iterator that ends after the one with `ending` or `error`. Whatever came since
    the last look is one `Delta`, so that a slow client falls behind by nothing but time. As a
    context manager it cancels its request if the block is left before the end. It is used on the
    event loop that it was made on.
    """

    def __init__(self, job: GenerationRequest, on_cancel: Callable[[Ticket], None]) -> None:
        self.job = job
        self._on_cancel = on_cancel
        self._parts: list[Delta] = []
        self._failure: InklingsError | None = None
        self._over = False
        """Whether anything more can come."""
        self._news = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self._over

    def receive(self, progress: Delta) -> None:
        """Take what a pass brought; nothing after the end."""
        if self._over:
            return
        self._parts.append(progress)
        self._over = progress.ending is not None or progress.error is not None
        self._news.set()

    def fail(self, error: InklingsError) -> None:
        """Have the iterator raise, after what has come; nothing after the end."""
        if not self._over:
            self._failure, self._over = error, True
            self._news.set()

    def cancel(self) -> None:
        """Give it up: the engine leaves the job, and the iterator ends after what has come.

        After the end it does nothing.
        """
        if not self._over:
            self._over = True
            self._news.set()
            self._on_cancel(self)

    def __aiter__(self) -> Ticket:
        return self

    async def __anext__(self) -> Delta:
        """Wait for the next delta.

        Raises:
            InputError: the engine cannot take such a job.
            WorkerLostError: the process that was at it has died.
            EngineError: something unexpected happened there.
            StoppingError: the server's grace time is over.
        """
        while not self._parts and not self._over:
            self._news.clear()
            await self._news.wait()
        if self._parts:
            parts, self._parts = self._parts, []
            return joined(parts)
        if self._failure is not None:
            # once, as an iterator that has ended stays at its end
            error, self._failure = self._failure, None
            raise error
        raise StopAsyncIteration

    async def __aenter__(self) -> Ticket:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cancel()


def joined(parts: Sequence[Delta]) -> Delta:
    """Join several `Delta`s of one request, in their order, to one."""
    if len(parts) == 1:
        return parts[0]
    return Delta(
        number=parts[0].number,
        text="".join(part.text for part in parts),
        drawn=tuple(token for part in parts for token in part.drawn),
        tokens=tuple(token for part in parts for token in part.tokens),
        prompt=_only(part.prompt for part in parts),
        embedding=_only(part.embedding for part in parts),
        ending=parts[-1].ending,
        error=parts[-1].error,
    )


def _only(values: Any) -> Any:
    """Return the one that is not None, if any is."""
    return next((value for value in values if value is not None), None)
