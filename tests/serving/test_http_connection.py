"""What a connection may cost before a request is whole.

Bytes, time, requests sent ahead; and answers that nobody reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inklings.serving.api.guard import Guard, Receive, Send
from inklings.serving.process.http_connection import MOST_AHEAD, MOST_HEAD, HttpConnection
from inklings.serving.settings import ServeConfig

from .conftest import Loop, listening

KEY = "a-long-secret"
LONG = 60.0
"""Seconds after which the server is taken to hang."""
PATIENT, HASTY = ServeConfig(key=KEY), ServeConfig(key=KEY, receive_timeout=0.6)
LARGE = 30_000_000
HALF_OPEN = 300
POST = b"POST / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer a-long-secret\r\n"
OPEN = frozenset({"/", "/health"})
"""Paths that need no key."""
GET = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
UPGRADE = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
)


class Echo:
    """Says what it was asked.

    `/health?large` says much, and `/health?held` waits until it is let go.
    """

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        body = b""
        if scope["method"] == "POST":
            event = await receive()
            assert not event["more_body"]
            body = event["body"]
        if scope["query_string"] == b"held":
            await self.go.wait()
        said = (
            b"x" * LARGE
            if scope["query_string"] == b"large"
            else json.dumps([scope["path"], body.decode("latin-1")]).encode()
        )
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(said))],
            }
        )
        await send({"type": "http.response.body", "body": said})


@dataclass(frozen=True)
class Place:
    """Where a server listens."""

    address: tuple[str, int]
    loop: Loop
    app: Echo

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=LONG)


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def any_loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    made = Loop(
        pytest.importorskip("uvloop").new_event_loop() if request.param == "uvloop" else None
    )
    yield made
    made.close()


@contextlib.contextmanager
def placed(loop: Loop, config: ServeConfig) -> Iterator[Place]:
    async def make() -> Echo:
        return Echo()

    app = loop.run(make())
    with listening(Guard(app, config, open_paths=OPEN), loop, config) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        yield Place((host, int(port)), loop, app)


@pytest.fixture(scope="module")
def patient(any_loop: Loop) -> Iterator[Place]:
    with placed(any_loop, PATIENT) as place:
        yield place


@pytest.fixture(scope="module")
def hasty(any_loop: Loop) -> Iterator[Place]:
    with placed(any_loop, HASTY) as place:
        yield place


def read_all(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    found = b""
    while part := connection.recv(2**20):
        found += part
    return found


def statuses(raw: bytes) -> list[int]:
    return [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]]


def error_in(raw: bytes) -> dict[str, Any]:
    """The error of the last answer, which has the form of all errors and closes the connection."""
    head, _, body = raw.rpartition(b"\r\n\r\n")
    assert b"connection: close" in head.lower() and b"content-security-policy" in head.lower()
    error: dict[str, Any] = json.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


# --- a body belongs to its request, whatever else the client would like to speak ------------------

BODIES = st.text(st.characters(codec="ascii"), max_size=40).map(str.encode)


@st.composite
def posts(draw: st.DrawFn) -> tuple[bytes, str]:
    """A request as it is sent, and what is to be understood."""
    body, upgrade = draw(BODIES), draw(st.booleans())
    wish = (
        UPGRADE.replace(b"h2c", draw(st.sampled_from([b"h2c", b"websocket", b"TLS/1.0, h2c"])))
        if upgrade
        else b""
    )
    if draw(st.booleans()):
        framed = b"content-length: %d\r\n\r\n%s" % (len(body), body)
    else:
        cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=3)))
        parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        framed = (
            b"transfer-encoding: chunked\r\n\r\n"
            + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part)
            + b"0\r\n\r\n"
        )
    return POST + wish + framed, json.dumps(["/", body.decode()])


@settings(max_examples=60)
@given(sent=st.lists(posts(), min_size=1, max_size=4), data=st.data())
def test_requests_are_understood_however_they_are_cut_and_whatever_they_wish(
    patient: Place, sent: list[tuple[bytes, str]], data: st.DataObject
) -> None:
    raw = b"".join(request for request, _ in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=4)))
    with patient.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
            connection.sendall(raw[begin:end])
        with connection.makefile("rb") as answers:
            for _, meant in sent:
                assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
                length = 0
                while (line := answers.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                assert answers.read(length).decode() == meant


# --- bytes ----------------------------------------------------------------------------------------

ENDLESS = {
    "the first line": (b"GET /", b"a" * 4096),
    "a query": (b"GET /?", b"a" * 4096),
    "the name of a header": (b"GET / HTTP/1.1\r\n", b"a" * 4096),
    "the value of a header": (b"GET / HTTP/1.1\r\nhost: x\r\na: ", b"a" * 4096),
    "blanks of a header": (b"GET / HTTP/1.1\r\nhost: x\r\na:", b" " * 4096),
    "headers": (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 700),
    "lines before a request": (b"", b"\r\n" * 2048),
    "headers of a request with the key": (POST, b"a: b\r\n" * 700),
    "the extension of a chunk": (POST + b"transfer-encoding: chunked\r\n\r\n5;", b"a" * 4096),
    "headers behind a body": (POST + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 700),
    "a header behind a body": (POST + b"transfer-encoding: chunked\r\n\r\n0\r\na: ", b"a" * 4096),
    "headers behind a body, after the answer": (
        b"GET /health HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
        b"a: b\r\n" * 700,
    ),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_never_ends_is_refused_before_it_fills_the_memory(patient: Place, what: str) -> None:
    begin, more = ENDLESS[what]
    with patient.connect() as connection:
        connection.sendall(begin)
        for _ in range(16 * MOST_HEAD // len(more)):
            connection.sendall(more)
        found = read_all(connection)
    assert statuses(found)[-1] in (400, 431), found[:200]
    assert error_in(found)["code"] in ("headers_too_large", "invalid_http")


@pytest.mark.parametrize(
    ("size", "status"), [(1000, 200), (MOST_HEAD - 200, 200), (MOST_HEAD + 200, 431)]
)
def test_a_head_may_be_large_but_not_larger(patient: Place, size: int, status: int) -> None:
    with patient.connect() as connection:
        connection.sendall(
            b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\na: %s\r\n\r\n" % (b"a" * size)
        )
        assert statuses(read_all(connection)) == [status]


def test_requests_that_are_sent_ahead_are_bounded_and_what_is_taken_is_answered(
    patient: Place,
) -> None:
    with patient.connect() as connection:
        connection.sendall(
            GET * (MOST_AHEAD // 2) + GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        )
        assert statuses(read_all(connection)) == [200] * (MOST_AHEAD // 2 + 1)
    with patient.connect() as connection:
        connection.sendall(GET.replace(b"health", b"health?held") + GET * (3 * MOST_AHEAD))
        patient.loop.loop.call_soon_threadsafe(patient.app.go.set)
        found = read_all(connection)
    assert MOST_AHEAD < len(statuses(found)) < 3 * MOST_AHEAD + 1 and set(statuses(found)) == {200}


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"\0" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
    ],
)
def test_what_is_no_request_is_told_so_and_harms_no_other(patient: Place, nonsense: bytes) -> None:
    with patient.connect() as connection:
        connection.sendall(nonsense)
        found = read_all(connection)
    assert statuses(found) == [400] and error_in(found)["code"] == "invalid_http"
    # behind others, it ends the connection once they are answered
    with patient.connect() as connection:
        connection.sendall(GET + GET + nonsense)
        assert statuses(read_all(connection))[:2] == [200, 200]


# --- time -----------------------------------------------------------------------------------------

HEADS = (
    b"",
    b"G",
    b"GET / HTTP/1.1",
    b"POST / HTTP/1.1\r\nhost: x\r\ncontent-le",
    GET + b"GET /",
    GET,
)
UNFINISHED = (
    POST + b"content-length: 100\r\n\r\n",
    POST + b"content-length: 100\r\n\r\nhalf",
    POST + b"transfer-encoding: chunked\r\n\r\n",
    POST + b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    POST + b"transfer-encoding: chunked\r\n\r\n4;exten",
    POST + b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\ntrailer: ",
    POST + UPGRADE + b"content-length: 100\r\n\r\nhalf",
    b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nwithout the key",
    b"GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf",
    b"HEAD /health HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
)


@pytest.mark.parametrize("kinds", [HEADS, UNFINISHED], ids=["heads", "bodies"])
@pytest.mark.parametrize("trickles", [False, True])
def test_half_sent_requests_are_closed_in_time_and_others_are_served(
    hasty: Place, kinds: tuple[bytes, ...], trickles: bool
) -> None:
    async def open_half(begin: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*hasty.address)
        writer.write(begin)
        return reader, writer

    async def outlast(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Read to the end of the connection, sending a byte from time to time."""
        found = b""
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                try:
                    found += await asyncio.wait_for(reader.read(2**16), 0.1 if trickles else LONG)
                except TimeoutError:
                    writer.write(b"4")
        writer.close()
        return found

    async def served() -> bytes:
        reader, writer = await asyncio.open_connection(*hasty.address)
        writer.write(GET)
        line = await reader.readline()
        writer.close()
        return line

    async def test() -> list[bytes]:
        half = [await open_half(kinds[number % len(kinds)]) for number in range(HALF_OPEN)]
        ends = asyncio.gather(*(outlast(*each) for each in half))
        assert await served() == b"HTTP/1.1 200 OK\r\n"
        return await ends

    async def in_time() -> list[bytes]:
        return await asyncio.wait_for(test(), LONG)

    found = asyncio.run(in_time())
    last = {statuses(answer)[-1] for answer in found if answer}
    assert last <= {200, 401, 408, 400}
    assert 408 in last


@pytest.mark.parametrize("ending", [b"", b"connection: close\r\n"])
def test_an_answer_that_nobody_reads_is_given_up(
    hasty: Place, monkeypatch: pytest.MonkeyPatch, ending: bytes
) -> None:
    lost = threading.Event()
    real: Callable[[HttpConnection, Exception | None], None] = HttpConnection.connection_lost

    def connection_lost(self: HttpConnection, error: Exception | None) -> None:
        real(self, error)
        lost.set()

    with hasty.connect() as connection:
        # so little room that the answer stays with the server
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        monkeypatch.setattr(HttpConnection, "connection_lost", connection_lost)
        connection.sendall(b"GET /health?large HTTP/1.1\r\nhost: x\r\n" + ending + b"\r\n")
        assert lost.wait(LONG)


def test_an_answer_that_is_read_is_whole_however_large(hasty: Place) -> None:
    with hasty.connect() as connection:
        connection.sendall(b"GET /health?large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert len(read_all(connection).partition(b"\r\n\r\n")[2]) == LARGE


@pytest.mark.skipif(sys.platform == "win32", reason="a test of what uvicorn calls")
def test_a_request_that_takes_its_time_is_not_one_that_does_not_arrive(hasty: Place) -> None:
    hasty.loop.loop.call_soon_threadsafe(hasty.app.go.clear)
    with hasty.connect() as connection, hasty.connect() as silent:
        connection.sendall(GET.replace(b"health", b"health?held"))
        assert read_all(silent) == b""  # its time is up
        hasty.loop.loop.call_soon_threadsafe(hasty.app.go.set)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
