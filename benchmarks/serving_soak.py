"""Mixed load on `inklings serve` for a while.

Streams, clients that leave, malformed requests, oversized bodies. Memory must stay flat.

    python benchmarks/serving_soak.py [--minutes 30] [--clients 24] [--architecture
    gpt:n_layer=2,n_embd=64]

Every answer's status is counted beside what was sent; a status that was not meant is an error.
Memory is that of the server and of its engine processes, after the first tenth of the time (when
every path was walked) and over the last.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from serving_client import Server, request, served, status_of, stream

Outcome = tuple[str, str]
"""What was sent, and what came back."""


async def whole_stream(server: Server, draw: random.Random) -> str:
    return (
        "200"
        if (await stream(server, draw.randint(1, 120), draw.randint(0, 999))).whole
        else "not whole"
    )


async def leaves(server: Server, draw: random.Random) -> str:
    await stream(server, 400, draw.randint(0, 999), leave_after=draw.randint(1, 3000))
    return "left"


def sends(
    make: Callable[[Server, random.Random], bytes],
) -> Callable[[Server, random.Random], Awaitable[str]]:
    async def send(server: Server, draw: random.Random) -> str:
        return str(await status_of(server, make(server, draw)))

    return send


def json_request(path: str, **fields: object) -> Callable[[Server, random.Random], bytes]:
    return lambda server, draw: request(path, json.dumps({"model": server.name, **fields}).encode())


KINDS: dict[str, tuple[int, set[str], Callable[[Server, random.Random], Awaitable[str]]]] = {
    "stream": (8, {"200"}, whole_stream),
    "leaves": (4, {"left"}, leaves),
    "whole answer": (
        4,
        {"200"},
        sends(json_request("/v1/completions", prompt="def ", max_tokens=32, n=2)),
    ),
    "logprobs": (
        2,
        {"200"},
        sends(json_request("/v1/completions", prompt="def ", max_tokens=16, logprobs=5, echo=True)),
    ),
    "chat": (
        2,
        {"200"},
        sends(
            json_request(
                "/v1/chat/completions",
                messages=[{"role": "user", "content": "Hello"}],
                max_tokens=16,
            )
        ),
    ),
    "score": (2, {"200"}, sends(json_request("/v1/score", input="def f(x):\n    return x\n"))),
    "embedding": (2, {"200"}, sends(json_request("/v1/embeddings", input="def f(x)"))),
    "metrics": (1, {"200"}, sends(lambda server, draw: request("/metrics", b"", method="GET"))),
    "not JSON": (
        2,
        {"400"},
        sends(lambda server, draw: request("/v1/completions", draw.randbytes(64))),
    ),
    "wrong field": (1, {"400"}, sends(json_request("/v1/completions", prompt="a", tempperature=1))),
    "wrong value": (1, {"400"}, sends(json_request("/v1/completions", prompt="a", temperature=-3))),
    "unknown model": (
        1,
        {"404"},
        sends(lambda server, draw: request("/v1/completions", b'{"model":"nobody","prompt":"a"}')),
    ),
    "wrong method": (
        1,
        {"405"},
        sends(lambda server, draw: request("/v1/completions", b"", method="PUT")),
    ),
    "too large": (
        1,
        {"413"},
        sends(lambda server, draw: request("/v1/completions", b" " * 1_500_000)),
    ),
    "not HTTP": (1, {"400", "0"}, sends(lambda server, draw: draw.randbytes(200) + b"\r\n\r\n")),
}
"""How often, what may come back, and how it is sent."""


async def client(
    server: Server, until: float, seed: int, counts: collections.Counter[Outcome]
) -> None:
    draw = random.Random(seed)
    names, weights = list(KINDS), [weight for weight, _, _ in KINDS.values()]
    while time.monotonic() < until:
        name = draw.choices(names, weights)[0]
        try:
            counts[name, await KINDS[name][2](server, draw)] += 1
        except OSError as error:
            counts[name, type(error).__name__] += 1


async def watch(server: Server, until: float, sizes: list[float]) -> None:
    """Mebibytes of all processes of the server, every two seconds."""
    parent = psutil.Process(server.process)
    while time.monotonic() < until:
        processes = [parent, *parent.children(recursive=True)]
        sizes.append(sum(process.memory_info().rss for process in processes) / 2**20)
        await asyncio.sleep(2)


async def soak(server: Server, minutes: float, clients: int) -> bool:
    counts: collections.Counter[Outcome] = collections.Counter()
    sizes: list[float] = []
    until = time.monotonic() + 60 * minutes
    await asyncio.gather(
        watch(server, until, sizes),
        *(client(server, until, seed, counts) for seed in range(clients)),
    )
    tenth = max(1, len(sizes) // 10)
    early, late = statistics.median(sizes[tenth : 2 * tenth]), statistics.median(sizes[-tenth:])
    wrong = {
        outcome: count
        for outcome, count in counts.items()
        if outcome[1] not in KINDS[outcome[0]][1]
    }
    for (name, came), count in sorted(counts.items()):
        print(f"{name:16} {came:12} {count:8,}")
    print(
        f"{sum(counts.values()):,} requests in {minutes:g} minutes; answered as they should not be:"
        f" {wrong or 'none'}"
    )
    print(
        f"memory {early:,.0f} MiB after a tenth of the time, {late:,.0f} MiB at the end:"
        f" {late / early - 1:+.1%}"
    )
    return not wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument(
        "--architecture", default="gpt:n_layer=2,n_head=2,n_embd=64,context_length=128"
    )
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), "soaked", options.architecture) as server,
    ):
        sys.exit(0 if asyncio.run(soak(server, options.minutes, options.clients)) else 1)


if __name__ == "__main__":
    main()
