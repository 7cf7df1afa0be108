"""Tokens a second of `inklings serve`.

64 concurrent streams beside one request at a time, on one server, in turns.

    python benchmarks/serving.py [--sizes 1 10] [--architectures gpt wavenet recurrent] [--streams
    64] [--tokens 128] [--rounds 5]

Models have initial weights, since speed does not depend on them. Every request streams `--tokens`
bytes from a prompt of its own length. A round is one request after the other for a while, then all
streams at once. Also: how long the slowest of the streams takes against the median, what fails, and
how soon an idle server gives its first token.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from serving_client import Server, served, stream

SIZES = {
    ("gpt", 1): "gpt:n_layer=4,n_head=4,n_embd=144,context_length=256",
    ("gpt", 10): "gpt:n_layer=6,n_head=6,n_embd=372,context_length=256",
    ("wavenet", 1): "wavenet:n_layer=8,n_embd=136,n_skip=160",
    ("wavenet", 10): "wavenet:n_layer=8,n_embd=440,n_skip=512",
    ("recurrent", 1): "recurrent:n_hidden=480,n_embd=128",
    ("recurrent", 10): "recurrent:n_hidden=1720,n_embd=128",
}
"""Of about one and ten million parameters with a byte tokenizer."""
ALONE = 8
"""Requests, one after the other, in a round."""


@dataclass(frozen=True)
class Round:
    """Tokens a second of both ways, and how the streams fared."""

    alone: float
    together: float
    slowest: float
    """Seconds of the slowest stream over the median of all."""
    failed: int


async def measure(server: Server, streams: int, tokens: int) -> Round:
    """One round."""
    begin = time.perf_counter()
    alone = [await stream(server, tokens, seed) for seed in range(ALONE)]
    middle = time.perf_counter()
    together = await asyncio.gather(*(stream(server, tokens, seed) for seed in range(streams)))
    end = time.perf_counter()
    seconds = [result.seconds for result in together]
    return Round(
        alone=ALONE * tokens / (middle - begin),
        together=streams * tokens / (end - middle),
        slowest=max(seconds) / statistics.median(seconds),
        failed=sum(not result.whole for result in (*alone, *together)),
    )


async def rounds(server: Server, count: int, streams: int, tokens: int) -> dict[str, object]:
    """Warm up, measure and say; return the medians."""
    await measure(server, streams, min(tokens, 16))
    first = [(await stream(server, 1, seed)).first for seed in range(30)]
    found = [await measure(server, streams, tokens) for _ in range(count)]
    ratios = sorted(one.together / one.alone for one in found)
    alone, together = (
        statistics.median(getattr(one, name) for one in found) for name in ("alone", "together")
    )
    slowest, failed = max(one.slowest for one in found), sum(one.failed for one in found)
    print(
        f"{server.name:14} alone {alone:7,.0f} tokens/s, {streams} streams {together:7,.0f}:"
        f" {statistics.median(ratios):.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f}); slowest"
        f" over median {slowest:.2f}; failed {failed}; first token"
        f" {1000 * statistics.median(first):.1f} ms (at most {1000 * max(first):.1f})",
        flush=True,
    )
    return {
        "model": server.name,
        "streams": streams,
        "alone_tokens_per_second": alone,
        "tokens_per_second": together,
        "slowest_over_median": slowest,
        "failed": failed,
        "first_token_seconds": statistics.median(first),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1, 10], help="in millions of parameters"
    )
    parser.add_argument("--architectures", nargs="+", default=["gpt", "wavenet", "recurrent"])
    parser.add_argument("--streams", type=int, nargs="+", default=[64])
    parser.add_argument("--device", default="cpu", help="where the server computes")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="end with a line of JSON")
    options = parser.parse_args()
    found: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            for architecture in options.architectures:
                name = f"{architecture}-{size}M"
                for streams in options.streams:
                    flags = ["--device", options.device, "--rows", str(max(64, streams))]
                    with served(Path(folder), name, SIZES[architecture, size], *flags) as server:
                        found.append(
                            asyncio.run(rounds(server, options.rounds, streams, options.tokens))
                        )
    if options.json:
        print(json.dumps({"served": found}))


if __name__ == "__main__":
    main()
