"""How long until nanoGPT's published loss of characters of tinyshakespeare, on a GPU.

    python benchmarks/gpu_loss.py [--nanogpt CHECKOUT] [--device cuda] [--seconds 150]

Its 6x384 model (context 256, batch 64, dropout 0.2, 5,000 iterations) has a best validation loss
of 1.4697 by its documentation. Its `train.py` runs as documented, then `gpt` of the same size and
batch with as many steps. Each is a process of its own, watched from outside: the seconds from its
start until it says a loss, compiling and evaluations included. Its loss is its estimate on 200
random batches, ours that of the whole last tenth. A run that is not done in time is ended, and
what it said so far counts. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import nanogpt
from gpu_precision import settings
from inklings.config import DataConfig
from inklings.events import Event
from inklings.text.store import prepare
from inklings.training.train import train
from shakespeare import lay_out

PUBLISHED = 1.4697
"""Best validation loss, by nanoGPT's README."""
REHEARSED = [
    *("--compile=False", "--eval_iters=2", "--n_layer=2", "--n_head=2", "--n_embd=32"),
    *("--block_size=64", "--batch_size=12"),
]


def watched(command: list[str], folder: Path, seconds: float) -> dict[str, Any]:
    """Run a process for so long at most; when it said which loss."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    said, losses = [], []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if match := re.search(r"step (\d+): .*val loss ([0-9.]+)", line):
                losses.append((int(match[1]), time.perf_counter() - begin, float(match[2])))
        code = process.wait()
    finally:
        timer.cancel()
        process.kill()
    late = time.perf_counter() - begin >= seconds
    if code and not late:
        raise SystemExit("".join(said[-30:]))
    below = [(step, at) for step, at, loss in losses if loss <= PUBLISHED]
    step, at, loss = min(losses, key=lambda one: one[2]) if losses else (None, None, None)
    return {
        "to_published": {"step": below[0][0], "seconds": below[0][1]} if below else None,
        "best": {"step": step, "seconds": at, "loss": loss},
        "seconds": time.perf_counter() - begin,
        "ended": late,
    }


def train_ours(options: argparse.Namespace) -> None:
    """Train and say losses as nanoGPT does: this is a process of its own."""

    def told(event: Event) -> None:
        if event["event"] == "evaluation":
            print(f"step {event['step']}: val loss {event['loss']:.4f}", flush=True)

    on_gpu = options.device.startswith("cuda")
    config = settings(
        nanogpt.SIZES[options.size],
        options.data,
        options.device,
        options.steps,
        evaluations=max(1, options.steps // 250),
        precision="bfloat16" if on_gpu else "float32",
        compile="on" if on_gpu else "off",
    )
    with tempfile.TemporaryDirectory() as folder:
        train(config, Path(folder) / "run", on_event=told)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    nanogpt.add_options(parser)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=150.0, help="of each run, at most")
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        train_ours(options)
        return
    store = prepare(DataConfig(source=options.data, tokenizer="char"))
    same = ["--device", options.device, "--size", options.size, "--data", options.data]
    own = [sys.executable, str(Path(__file__).resolve()), "--ours", *same]
    found: dict[str, Any] = {"published": PUBLISHED}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.nanogpt:
            lay_out(options.nanogpt, store, folder)
            on_gpu = options.device.startswith("cuda")
            few = [f"--max_iters={options.steps}", f"--eval_interval={max(1, options.steps // 2)}"]
            command = [sys.executable, "train.py", "config/train_shakespeare_char.py"]
            command += [] if on_gpu else [f"--device={options.device}", *few, *REHEARSED]
            found["nanoGPT"] = watched(command, folder, options.seconds)
            print("nanoGPT", found["nanoGPT"], flush=True)
        found["gpt"] = watched([*own, "--steps", str(options.steps)], Path.cwd(), options.seconds)
        print("gpt", found["gpt"], flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
