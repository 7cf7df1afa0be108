"""What a server's own work on HTTP costs.

Uvicorn's two parsers as they are and our bounded connections, in turns.

    python benchmarks/http_connections.py [--rounds 7]

No model is asked. A round is 2,400 small requests on eight kept connections, then 64 streams of 128
events at once; what is compared is the processor time of the server's process, so that neither the
client nor other programs count. Ratios are of the same round, with the least and the greatest.
Last, how long one request with a header of 16,000 blanks occupies each.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable, Coroutine
from typing import Any

import psutil
import uvicorn
import uvloop

from inklings.serving.api.guard import Guard
from inklings.serving.process.http_connection import HttpConfig
from inklings.serving.settings import ServeConfig

KINDS = ("httptools", "bounded", "h11")
EVENT = (
    b'data: {"id":"cmpl-1","object":"text_completion","choices":[{"index":0,"text":"a",'
    b'"logprobs":null,"finish_reason":null}]}\n\n'
)
HEAD = (
    b"Host: localhost\r\nContent-Type: application/json\r\nUser-Agent: benchmark\r\nAccept: */*\r\n"
)
CONNECTIONS, REQUESTS, STREAMS, EVENTS = 8, 300, 64, 128


async def answer(scope: Any, receive: Any, send: Any) -> None:
    if scope["method"] == "POST":
        await receive()
    if scope["path"] == "/stream":
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        for _ in range(EVENTS):
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})
        return
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


def serve(sock: socket.socket, kind: str) -> None:
    app = Guard(answer, ServeConfig())
    bare: dict[str, Any] = {
        "access_log": False,
        "log_config": None,
        "log_level": "critical",
        "proxy_headers": False,
        "ws": "none",
    }
    config = (
        HttpConfig(app, ServeConfig())
        if kind == "bounded"
        else uvicorn.Config(app, http=kind, **bare)
    )
    uvloop.run(uvicorn.Server(config).serve(sockets=[sock]))


async def small(port: int) -> None:
    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(REQUESTS):
            writer.write(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 60\r\n\r\n" + b" " * 60)
            await reader.readuntil(b"\r\n\r\nok")
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))


async def streams(port: int) -> None:
    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /stream HTTP/1.1\r\n"
            + HEAD
            + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        )
        while await reader.read(2**16):
            pass
        writer.close()

    await asyncio.gather(*(client() for _ in range(STREAMS)))


def spent(
    process: psutil.Process, work: Callable[[int], Coroutine[Any, Any, None]], port: int
) -> float:
    """Seconds of the processor that a server needs for some work."""
    before = process.cpu_times()
    asyncio.run(work(port))
    after = process.cpu_times()
    return float(after.user + after.system - before.user - before.system)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    ports, processes = {}, {}
    for kind in KINDS:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        ports[kind] = sock.getsockname()[1]
        started = multiprocessing.get_context("fork").Process(
            target=serve, args=(sock, kind), daemon=True
        )
        started.start()
        processes[kind] = psutil.Process(started.pid)
        sock.close()
    for name, work in (("small requests", small), ("streams", streams)):
        for kind in KINDS:
            asyncio.run(work(ports[kind]))
        found = [
            {kind: spent(processes[kind], work, ports[kind]) for kind in KINDS}
            for _ in range(rounds)
        ]
        for kind in KINDS:
            ratios = sorted(one[kind] / one["httptools"] for one in found)
            seconds = statistics.median(one[kind] for one in found)
            print(
                f"{name:15} {kind:10} {seconds:.3f} s; over httptools"
                f" {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )
    for kind in KINDS:
        begin = time.perf_counter()
        with socket.create_connection(("127.0.0.1", ports[kind])) as connection:
            connection.sendall(
                b"GET / HTTP/1.1\r\nHost: localhost\r\na:" + b" " * 16_000 + b"\0\r\n\r\n"
            )
            connection.recv(100)
        print(f"a header of blanks {kind:10} {time.perf_counter() - begin:.3f} s")


if __name__ == "__main__":
    main()
