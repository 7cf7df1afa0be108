"""Tokens a second of `inklings serve` beside llama.cpp, of the same exported weights, in turns.

    make test-node  # installs llama.cpp's prebuilt library
    python benchmarks/llama_cpp.py [--sizes 1 10] [--streams 64] [--tokens 128] [--rounds 5]
        [--threads 2]

A run of `gpt` in its portable form, of bytes, is exported to a GGUF file in float32. Both servers
are up at once, each with as many threads; the same client asks one, then the other, for `--streams`
streams at once. llama.cpp is driven by node-llama-cpp, which batches the rows, behind the smallest
HTTP server of Node: that is not llama.cpp's own server. So its bare passes are timed too, a token a
row, nothing sampled and nothing sent: no server of llama.cpp can be faster than those. Ours are
timed beside them.

Speed is told by the clock, and by processor time of the server alone, which other work on the
machine hardly reaches. llama.cpp's threads wait for each other in a busy loop: where the machine is
not idle, take one thread.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import torch

from inklings.models.contract import SequenceModel
from inklings.runs.directory import RunDirectory
from serving_client import Server, Streamed, make_run, served, stream
from side_by_side import ratio

HERE = Path(__file__).parent
NODE = HERE.parent / "tests" / "interop" / "node"
PORTABLE = "gpt:feed_forward=swiglu,rotary_base=10000,context_length=256"
SIZES = {
    1: f"{PORTABLE},n_layer=4,n_head=6,n_embd=144",
    10: f"{PORTABLE},n_layer=6,n_head=6,n_embd=372",
}
"""Of about one and ten million parameters."""


@contextlib.contextmanager
def llama(file: Path, streams: int, threads: int) -> Iterator[Server]:
    """Serve a file by llama.cpp, and end the server."""
    script = str(HERE / "llama_cpp_server.mjs")
    command = ["node", script, str(file), str(streams), str(threads), str(NODE)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("llama.cpp did not start; `make test-node` installs it")
        yield Server("llama.cpp", urlsplit(json.loads(line)["url"]).port or 80, process.pid)
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Speed:
    """Tokens a second."""

    clock: float
    processor: float
    """The same by seconds of the server's processes, on all cores."""


def processor_seconds(server: Server) -> float:
    """Processor time so far of a server and its processes."""
    first = psutil.Process(server.process)
    times = [process.cpu_times() for process in (first, *first.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def measured(processor: Callable[[], float], work: Callable[[], int]) -> Speed:
    """Do some work, which returns how many tokens it brought."""
    spent, begin = processor(), time.perf_counter()
    tokens = work()
    seconds = time.perf_counter() - begin
    return Speed(tokens / seconds, tokens / (processor() - spent))


def together(server: Server, streams: int, tokens: int) -> int:
    """Read all streams at once."""

    async def ask() -> list[Streamed]:
        return await asyncio.gather(*(stream(server, tokens, seed) for seed in range(streams)))

    if not all(one.whole for one in asyncio.run(ask())):
        raise SystemExit(f"{server.name}: a stream did not end as it should")
    return streams * tokens


def bare(server: Server, rows: int, steps: int) -> int:
    """Let llama.cpp make bare passes."""
    url = f"http://127.0.0.1:{server.port}/decode?rows={rows}&steps={steps}"
    with urllib.request.urlopen(url) as answer:
        answer.read()
    return rows * steps


def our_bare(model: SequenceModel, rows: int, steps: int) -> int:
    """Make bare passes of ours."""
    token = torch.full((rows, 1), model.config.boundary_token)
    state = model.initial_state(rows)
    with torch.inference_mode():
        for _ in range(steps):
            state = model(token, state).state
    return rows * steps


def compare(
    run: Path, ours: Server, theirs: Server, streams: int, tokens: int, rounds: int
) -> None:
    """Warm up, measure in turns and say."""
    model = RunDirectory.open(run).load_model()
    assert isinstance(model, SequenceModel)
    of_ours, of_theirs = (partial(processor_seconds, server) for server in (ours, theirs))
    ways: dict[str, tuple[Callable[[], float], Callable[[], int]]] = {
        "inklings serve": (of_ours, lambda: together(ours, streams, tokens)),
        "our bare passes": (time.process_time, lambda: our_bare(model, streams, tokens)),
        "llama.cpp by Node": (of_theirs, lambda: together(theirs, streams, tokens)),
        "its bare passes": (of_theirs, lambda: bare(theirs, streams, tokens)),
    }
    for server in (ours, theirs):
        together(server, streams, min(tokens, 16))
    found: dict[str, list[Speed]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (processor, work) in ways.items():
            found[name].append(measured(processor, work))
    print(f"{ours.name}, {streams} streams of {tokens} tokens, {rounds} rounds")
    for by in ("clock", "processor"):
        speeds = {
            name: np.array([getattr(one, by) for one in each]) for name, each in found.items()
        }
        for name, each in speeds.items():
            middle, low, high = ratio(speeds["inklings serve"], each)
            print(
                f"  {name:18} {np.median(each):8,.0f} tokens/s by {by}; inklings serve has"
                f" {middle:.2f} of it ({low:.2f} to {high:.2f})",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1, 10], help="in millions of parameters"
    )
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            name, file = f"{size}M", Path(folder) / f"{size}.gguf"
            run = make_run(Path(folder), name, SIZES[size])
            command = [
                sys.executable,
                "-m",
                "inklings",
                "export",
                str(run),
                "--to",
                "gguf",
                str(file),
            ]
            subprocess.run(command, check=True, capture_output=True)
            with (
                served(Path(folder), name, SIZES[size]) as ours,
                llama(file, options.streams, options.threads) as theirs,
            ):
                compare(run, ours, theirs, options.streams, options.tokens, options.rounds)


if __name__ == "__main__":
    main()
