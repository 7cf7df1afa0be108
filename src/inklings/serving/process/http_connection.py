"""One HTTP connection and its bounds: how much a client may send, and how long it may take.

uvicorn hands a request to the application when its head is complete, and the application counts and
times the body. What comes before and between is bounded here: heads, the extensions of chunks and
trailers by their bytes, requests that are sent ahead by their number, and all of it by time. A
request to change to another protocol (`Upgrade: h2c`) is not granted, and costs nothing.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from inklings.serving.api.errors import ApiError, encode
from inklings.serving.api.guard import HEADERS, App
from inklings.serving.settings import ServeConfig

MOST_HEAD = 65_536
"""Most bytes of a request's first line and headers, and of what comes within a body without being
part of it.
"""
MOST_AHEAD = 64
"""Most requests that a client may send on one connection before the first is answered; further ones
are not answered.
"""
LOOKS = 4
"""How often a connection is checked in the time that its client has."""
LEAST_READ = 16_384
"""Bytes that a client has to take in that time, once it is behind."""
REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}
LAST_WORD = 2.0
"""Seconds after the grace time in which clients are told that nothing more comes."""


class HttpConfig(uvicorn.Config):
    """uvicorn's settings, with bounded connections.

    Nothing of a request is kept or logged.
    """

    def __init__(self, app: App, config: ServeConfig) -> None:
        super().__init__(
            app,
            http=HttpConnection,
            # an access log has addresses and queries, the error log the values of exceptions
            access_log=False,
            log_config=None,
            log_level="critical",
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=math.ceil(config.grace + LAST_WORD),
        )
        self.receive_timeout = config.receive_timeout


class HttpConnection(HttpToolsProtocol):
    """One connection, from its first byte to its end."""

    def __init__(
        self,
        config: HttpConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._seconds = config.receive_timeout
        self._in_head = True
        """Whether what comes next belongs to a head."""
        self._unread = 0
        """Bytes that came since the last head, piece of a body or end of a request."""
        self._refused: ApiError | None = None
        """Why the parser was stopped."""
        self._deaf = False
        """Whether nothing that comes is read any more."""
        self._since = 0.0
        """When it became the client's turn to send a request."""
        self._behind: tuple[float, int] | None = None
        """Since when the client reads too slowly, and how much waited for it then."""
        self._next_look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a client; the transports of uvloop are not asyncio's."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._next_look = self.loop.call_later(self._seconds / LOOKS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is over."""
        if self._next_look is not None:
            self._next_look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes that have come."""
        self._unset_keepalive_if_required()
        if self._deaf:
            return
        self._unread += len(data)
        try:
            self._parse(memoryview(data))
        except httptools.HttpParserError:
            self._refuse(
                self._refused
                or ApiError(
                    400, "what was sent is no HTTP request that could be read.", code="invalid_http"
                )
            )
            return
        if self._unread > MOST_HEAD:
            self._refuse(_too_large())

    def _parse(self, rest: memoryview) -> None:
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as wish:
                # the parser takes what follows for another protocol: it is given the head again,
                # without the wish, and then the body
                rest = rest[wish.args[0] :]
                self.parser.feed_data(self._head_without_upgrade())
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        line = b"%s %s HTTP/%s" % (
            self.parser.get_method(),
            self.url,
            self.parser.get_http_version().encode(),
        )
        fields = [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        return b"\r\n".join([line, *fields, b"", b""])

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers behind a body are left out."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request whose head is complete, or let it wait for those before it."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            return
        if (
            len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            > MOST_HEAD
        ):
            self._refused = _too_large()
        elif len(self.pipeline) == MOST_AHEAD:
            self._refused = ApiError(400, "too many requests were sent ahead.", code="invalid_http")
        if self._refused is not None:
            raise self._refused
        self._in_head, self._unread = False, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request is whole."""
        if self.parser.should_upgrade():
            return
        self._in_head, self._unread = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note that a request is answered: it is the client's turn."""
        self._since = self.loop.time()
        super().on_response_complete()

    def shutdown(self) -> None:
        """Stop with the server, once running answers are finished."""
        if self._answering:
            super().shutdown()
        else:
            self.transport.close()

    def _refuse(self, error: ApiError) -> None:
        """Read nothing more.

        Answer with an error, unless an earlier request is being answered: the connection ends after
        that.
        """
        self._deaf = True
        if self._answering and (
            self.pipeline or not self.cycle.more_body or self.cycle.response_started
        ):
            self.cycle.keep_alive = False
            return
        if self._answering:
            # whoever waits for the rest of this body is told that it does not come
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body = encode(error.body)
        fields = {
            **HEADERS,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        head = [
            f"HTTP/1.1 {error.status_code} {REASONS[error.status_code]}",
            *(f"{name}: {value}" for name, value in fields.items()),
        ]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        # closed at once with bytes unread, the connection would be reset, and the answer lost on
        # its way
        self.transport.write_eof()
        self.flow.resume_reading()
        self._since = self.loop.time()

    @property
    def _answering(self) -> bool:
        return (
            self.cycle is not None
            and not self.cycle.response_complete
            and not self.cycle.disconnected
        )

    def _look(self) -> None:
        """End the connection if its client takes too long."""
        self._next_look = self.loop.call_later(self._seconds / LOOKS, self._look)
        now = self.loop.time()
        if self.flow.write_paused or self.transport.is_closing():
            waiting = self.transport.get_write_buffer_size()
            if self._behind is None or waiting <= self._behind[1] - LEAST_READ:
                self._behind = now, waiting
            elif now - self._behind[0] >= self._seconds:
                self.transport.abort()
            return
        self._behind = None
        if self._answering or now - self._since < self._seconds:
            return  # the application has its own clocks
        if self._in_head and self._unread and not self._deaf:
            self._refuse(
                ApiError(
                    408,
                    f"the request did not arrive within {self._seconds:g} seconds.",
                    code="timeout",
                )
            )
        else:
            self.transport.close()


def _too_large() -> ApiError:
    message = (
        f"the request's headers are larger than {MOST_HEAD:,} bytes, the most that this server"
        " takes."
    )
    return ApiError(431, message, code="headers_too_large")
