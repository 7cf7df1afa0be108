"""Answers that end when their client leaves or their time is up: whole, or server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inklings.errors import InklingsError
from inklings.serving.api.errors import CLIENT_LEFT, ApiError, as_api_error, encode, too_late

T = TypeVar("T")

MARGIN = 5.0
"""Seconds that an answer may take beyond the model's requests, which end by themselves when their
time is up.
"""
DONE = b"data: [DONE]\n\n"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


async def in_time(request: Request, work: Coroutine[Any, Any, T], *, seconds: float) -> T:
    """Return what `work` gives, or cancel it if the client leaves or the time is up.

    Args:
        request: the HTTP request.
        work: a coroutine.
        seconds: that it may take.

    Raises:
        ApiError: the client has left, or the time is up.
    """
    return await _while_there(request.receive, work, seconds)


def event(value: Any) -> bytes:
    """Write one server-sent event."""
    return b"data: " + encode(value) + b"\n\n"


def named_event(name: str, value: Any) -> bytes:
    """Encode one server-sent event with a name."""
    return f"event: {name}\n".encode() + event(value)


async def stream(request: Request, events: AsyncGenerator[bytes], *, seconds: float) -> Response:
    """Make an answer that sends events as they come.

    It waits for the first, so that an error until then is an answer with its own status; later it
    is an event.

    Args:
        request: the HTTP request.
        events: encoded events.
        seconds: that all of it may take.
    """
    first = await in_time(request, anext(events), seconds=seconds)
    return _EventStream(first, events, seconds)


class _EventStream(Response):
    def __init__(self, first: bytes, events: AsyncGenerator[bytes], seconds: float) -> None:
        super().__init__()
        self._first, self._events, self._seconds = first, events, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # whoever left is sent nothing, and one who takes too long to read is cut off
        with contextlib.suppress(ApiError):
            await _while_there(receive, self._write(send), self._seconds)

    async def _write(self, send: Send) -> None:
        async with contextlib.aclosing(self._events) as events:
            await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            unforeseen = None
            try:
                async for found in events:
                    await send({"type": "http.response.body", "body": found, "more_body": True})
            except Exception as error:
                await send(
                    {
                        "type": "http.response.body",
                        "body": event(as_api_error(error).body),
                        "more_body": True,
                    }
                )
                unforeseen = None if isinstance(error, ApiError | InklingsError) else error
            await send({"type": "http.response.body", "body": DONE})
            if unforeseen is not None:
                raise unforeseen  # into the log


async def _while_there(receive: Receive, work: Coroutine[Any, Any, T], seconds: float) -> T:
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        done, _ = await asyncio.wait(
            {working, leaving}, timeout=seconds + MARGIN, return_when=asyncio.FIRST_COMPLETED
        )
        if working in done:
            return working.result()
        if leaving in done:
            raise ApiError(CLIENT_LEFT, "the client has left.", code="client_left")
        raise too_late(seconds)
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
