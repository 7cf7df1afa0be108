"""What a device computes: bfloat16 and compilation beside float32, and whether bits repeat.

    python benchmarks/gpu_precision.py [--device cuda] [--size large64] [--steps 60]

`gpt` trains from the same weights on the same batches in float32, in bfloat16, and in bfloat16
compiled: the losses, the seconds of a step once it is warm, how long compiling took, and the most
memory. The first loss in float32 is compared with that of a CPU. Then float32 is trained again, and
a third time in two sessions: whether weights are the same bits. TF32 stays off, as torch has it.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import nanogpt
from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.device import Runtime, threads_of
from inklings.events import Event
from inklings.runs.checkpoints import WEIGHTS, checkpoint_path, checkpoint_steps
from inklings.text.store import TokenStore, prepare
from inklings.training.loop import seed_step
from inklings.training.objectives.base import make_objective
from inklings.training.setup import fresh_model, settle_model
from inklings.training.train import resume, train
from side_by_side import finish

WARM = 5
"""Steps that are not timed: allocation, kernels that are looked for, and compiling."""


def settings(size: nanogpt.Size, data: str, device: str, steps: int, **training: Any) -> RunConfig:
    """A run with dropout, all of whose choices are made."""
    return RunConfig(
        architecture="gpt",
        model={
            "n_layer": size.n_layer,
            "n_head": size.n_head,
            "n_embd": size.n_embd,
            "context_length": size.context_length,
            "dropout": size.dropout,
        },
        data=DataConfig(source=data, tokenizer="char"),
        training=TrainingConfig(
            batch_size=size.batch_size,
            sequence_length=size.context_length,
            budget=f"{steps}-steps",
            samples=0,
            threads=1,
            device=device,
            **{"precision": "float32", "compile": "off", "evaluations": 1, **training},
        ),
    )


def trained(config: RunConfig, store: TokenStore, runtime: Runtime, steps: int) -> dict[str, Any]:
    """Losses, seconds and memory of some steps."""
    config = settle_model(config, store=store).config
    model = fresh_model(config, store).to(runtime.device).train()
    on_gpu = runtime.device.startswith("cuda")
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    objective = make_objective(model, store.split("train"), config, runtime)
    losses, seconds = [], []
    with threads_of(runtime):
        for step in range(steps):
            seed_step(config.training.seed, step)
            finish()
            begin = time.perf_counter()
            made = objective.step(step, min(1.0, (step + 1) / 20), measure=False)
            finish()
            seconds.append(time.perf_counter() - begin)
            losses.append(float("nan") if made.loss is None else float(made.loss))
    return {
        "first_loss": losses[0],
        "last_loss": statistics.fmean(losses[-5:]),
        "step_seconds": statistics.median(seconds[WARM:]),
        "first_step_seconds": seconds[0],
        "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
    }


def interrupt_at(step: int) -> Callable[[Event], None]:
    """A listener that tells its own process to stop when a step was made."""

    def told(event: Event) -> None:
        if event["event"] == "step" and event["step"] == step:
            signal.raise_signal(signal.SIGTERM)

    return told


def repeats(config: RunConfig, store: TokenStore, folder: Path) -> dict[str, bool]:
    """Whether a run made twice, and one made in two sessions, end with the same bits."""

    def weights(name: str, at: int | None = None) -> dict[str, torch.Tensor]:
        run = folder / name
        listener = (lambda event: None) if at is None else interrupt_at(at)
        result = train(config, run, store=store, on_event=listener)
        if at is not None:
            assert result.stopped == "interrupted", "it was to be interrupted, and was not"
            resume(run)
        return load_file(checkpoint_path(run, checkpoint_steps(run)[-1]) / WEIGHTS)

    once = weights("once")
    steps = int(config.training.budget.partition("-")[0])
    others = {"made_again": weights("again"), "resumed": weights("parts", steps // 2)}
    return {
        name: all(torch.equal(once[key], other[key]) for key in once)
        for name, other in others.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=list(nanogpt.SIZES), default="large64")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--data", default="tinyshakespeare")
    options = parser.parse_args()
    size, device = nanogpt.SIZES[options.size], options.device
    store = prepare(DataConfig(source=options.data, tokenizer="char"))
    config = settings(size, options.data, device, options.steps)
    plain = Runtime(device=device)
    low = dataclasses.replace(plain, precision="bfloat16", muon_precision="bfloat16")
    found: dict[str, Any] = {"tf32": torch.backends.cuda.matmul.allow_tf32}
    for name, runtime in (
        ("float32", plain),
        ("bfloat16", low),
        ("bfloat16 compiled", dataclasses.replace(low, compile=True)),
    ):
        found[name] = trained(config, store, runtime, options.steps)
        print(name, found[name], flush=True)
    # dropout draws differ between devices, so the first losses are compared without
    still = settings(dataclasses.replace(size, dropout=0.0), options.data, device, 1)
    here, there = (
        trained(still, store, Runtime(device=place), 1 + WARM)["first_loss"]
        for place in (device, "cpu")
    )
    found["first_loss_without_dropout"] = {"device": here, "cpu": there}
    few = settings(size, options.data, device, min(40, options.steps))
    with tempfile.TemporaryDirectory() as folder:
        found["same_bits"] = repeats(few, store, Path(folder))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
