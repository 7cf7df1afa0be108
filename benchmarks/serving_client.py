"""A server to measure, and a client light enough to be measured beside.

Plain sockets, no parsing but of what is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PROMPT = (
    "The library reference says what every module of the language offers, and how it is meant to be"
    " used. "
)


@dataclass(frozen=True)
class Server:
    """A running `inklings serve`."""

    name: str
    """Of its model."""
    port: int
    process: int


@dataclass(frozen=True)
class Streamed:
    """One answer that came as a stream."""

    seconds: float
    first: float
    """Seconds until the first text."""
    whole: bool
    """Whether it ended as it should, with all tokens asked for."""


def make_run(folder: Path, name: str, architecture: str) -> Path:
    """A run of one step, on bytes of the documentation that ships with Python."""
    run = folder / name
    if not run.exists():
        command = [
            sys.executable,
            "-m",
            "inklings",
            "train",
            architecture,
            "--data",
            "builtin:python-docs",
            "--tokenizer",
            "byte",
        ]
        subprocess.run(
            [
                *command,
                "--budget",
                "1-steps",
                "--training.threads",
                "1",
                "--run",
                str(run),
                "--json",
            ],
            check=True,
            capture_output=True,
        )
    return run


@contextlib.contextmanager
def served(folder: Path, name: str, architecture: str, *flags: str) -> Iterator[Server]:
    """Serve a fresh model, and end the server."""
    run = make_run(folder, name, architecture)
    command = [sys.executable, "-m", "inklings", "serve", str(run), "--port", "0", "--json", *flags]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        lines = ""
        for line in process.stdout:
            lines += line
            with contextlib.suppress(ValueError):
                url = json.loads(lines)["url"]
                break
        else:
            raise SystemExit(f"the server of {name} did not start; try: {' '.join(command)}")
        yield Server(name, urlsplit(url).port or 80, process.pid)
    finally:
        process.terminate()
        process.wait()


async def stream(
    server: Server, tokens: int, seed: int, *, leave_after: int | None = None
) -> Streamed:
    """Ask for a stream and read it to its end, or leave after some bytes of it."""
    length = 16 + 7 * seed % len(PROMPT)
    body = {
        "model": server.name,
        "prompt": PROMPT[:length],
        "max_tokens": tokens,
        "temperature": 0.8,
        "seed": seed,
        "stream": True,
        "ignore_eos": True,
        "stream_options": {"include_usage": True},
    }
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**24)
    first, data = 0.0, b""
    try:
        writer.write(request("/v1/completions", json.dumps(body).encode()))
        while part := await reader.read(2**16):
            data += part
            if not first and b"data: " in data:
                first = time.perf_counter() - begin
            if leave_after is not None and len(data) >= leave_after:
                break
    finally:
        writer.close()
    whole = (
        b"data: [DONE]" in data
        and f'"completion_tokens":{tokens}'.encode() in data
        and data.startswith(b"HTTP/1.1 200")
    )
    return Streamed(time.perf_counter() - begin, first, whole)


def request(path: str, body: bytes, *, method: str = "POST") -> bytes:
    """A whole HTTP request that closes its connection."""
    fields = [
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""])
    return head.encode() + body


async def status_of(server: Server, raw: bytes) -> int:
    """Send anything, and return the status of the answer.

    0 if the connection was closed without one.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**24)
    try:
        writer.write(raw)
        answer = await reader.read(2**16)
    except ConnectionError:
        return 0
    finally:
        writer.close()
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
