"""A web server of our own, from which texts are fetched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Host:
    """A web server on this machine: what it holds, and what it was asked for."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    breaks_off: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    """The ETag of a file, or the date of its last change."""
    gives_parts: bool = True
    heeds_tags: bool = True
    """Whether a part is given only of the file that is asked for."""
    sent: list[tuple[int, int]] = field(default_factory=list)
    """The status of each answer, and how many bytes it had."""

    def answer(self, path: str, asked: str, of: str | None) -> tuple[int, bytes, dict[str, str]]:
        """The status, body and headers for a path, a `Range` and an `If-Range`."""
        body, tag = self.files[path], self.tags.get(path)
        headers = {} if tag is None else {"ETag" if '"' in tag else "Last-Modified": tag}
        if asked and self.gives_parts and (of == tag or not self.heeds_tags):
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            if begin >= len(body):
                return 416, b"", headers
            place = f"bytes {begin}-{len(body) - 1}/{len(body)}"
            return 206, body[begin:], {**headers, "Content-Range": place}
        return 200, body, headers


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            if self.path not in made.files:
                self.send_error(404)
                return
            status, body, headers = made.answer(
                self.path, self.headers.get("Range", ""), self.headers.get("If-Range")
            )
            sent = body[: len(body) // 2] if made.breaks_off else body
            made.sent.append((status, len(sent)))  # before anybody hears of it
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            """Be silent."""

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made = Host(f"http://127.0.0.1:{server.server_port}")
    yield made
    server.shutdown()
    server.server_close()
    thread.join()
