"""Training tokens a second: processes of one thread under torchrun, over one of as many threads.

    python benchmarks/processes.py [--processes 2] [--steps 6] [--rounds 5] [--size 6x384]
                                   [--in-parts]

Both train `gpt` in float32 with the same batch, in turn. Only steps count, without the first: no
start, no evaluation. The losses of both are compared as well. With `--in-parts` the one process
takes the batch in as many parts as there are processes, so that both add up in the same order; it
has one thread then, as each of them has.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def rate(command: list[str], run: Path, threads: int) -> tuple[float, list[float]]:
    """Train a run; return its tokens a second, and the loss of every step."""
    subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        check=True,
        capture_output=True,
    )
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [event for event in map(json.loads, lines) if event["event"] == "step"]
    first, last = steps[0], steps[-1]
    tokens = last["tokens"] - first["tokens"]
    return tokens / (last["seconds"] - first["seconds"]), [step["loss"] for step in steps]


def main() -> None:
    """Measure, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", default="6x384")
    parser.add_argument("--in-parts", action="store_true")
    parser.add_argument("--data", default="builtin:python-docs")
    asked = parser.parse_args()
    layers, width = asked.size.split("x")
    settings = [
        *("--data", asked.data, "--data.tokenizer", "byte", "--data.split", "0.98", "0.01", "0.01"),
        *("--model.n-layer", layers, "--model.n-embd", width, "--model.n-head", "6"),
        *("--model.context-length", "256", "--training.batch-size", "16"),
        *("--budget", f"{asked.steps}-steps", "--training.evaluations", "1"),
        *("--training.samples", "0", "--training.precision", "float32"),
        *("--training.compile", "off", "--no-report"),
    ]
    alone = 1 if asked.in_parts else asked.processes
    parts = asked.processes if asked.in_parts else 1
    several = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    several += ["--nproc-per-node", str(asked.processes)]
    ratios, worst = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(asked.rounds):
            found = []
            for name, start, threads, accumulate in (
                ("one", [sys.executable], alone, parts),
                ("several", several, 1, 1),
            ):
                run = Path(folder) / f"{name}-{number}"
                command = [*start, "-m", "inklings", "train", "gpt", "--out", str(run), *settings]
                command += ["--training.threads", str(threads)]
                command += ["--training.accumulate", str(accumulate)]
                found.append(rate(command, run, threads))
            (one, losses), (many, others) = found
            ratios.append(many / one)
            worst = max(abs(a - b) for a, b in zip(losses, others, strict=True))
            print(
                f"round {number + 1}: {many:.0f} tokens/s by {asked.processes} processes of one"
                f" thread, {one:.0f} by one of {alone}: {many / one:.2f} times",
                flush=True,
            )
    print(
        f"median {statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f});"
        f" losses of {asked.steps} steps differ by at most {worst:.1e}"
    )


if __name__ == "__main__":
    main()
