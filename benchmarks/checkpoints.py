"""What a checkpoint takes over a plain synced write of as many bytes.

Weights and the moments of AdamW, 12 bytes a parameter; in a world of one, and of several processes
with either strategy. Rivals are timed in turn, so the disk is the same for all:

    python benchmarks/checkpoints.py [--layers 14] [--width 768] [--rounds 5] [--processes 2]

`plain` is what process 0 alone writes: the bytes of all tensors to one file, and a sync.
`published` also makes the weights those of the run, as after the best evaluation so far: 4 bytes a
parameter more, which its rival writes as well. `resumed` is what reading it back takes, every byte
checked, over reading the files plainly.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from inklings.config import TrainingConfig
from inklings.cut_tensors import own_part
from inklings.device import Runtime
from inklings.models.contract import SequenceModel
from inklings.models.registry import build
from inklings.runs.checkpoints import (
    WEIGHTS,
    HeldCheckpoint,
    TrainerState,
    checkpoint_files,
    checkpoint_path,
    latest_sound_checkpoint,
    publish_weights,
    read_model,
    read_objective,
    write_checkpoint,
)
from inklings.training.joining import joined
from inklings.training.objectives.likelihood import PartLoss
from inklings.training.optimizers.optimizers import Optimizers
from inklings.world import World
from side_by_side import interleaved, ratio

STEP = 7


def trained(world: World, layers: int, width: int) -> tuple[SequenceModel, Optimizers]:
    """A model with moments, of this world."""
    fields = {"n_layer": layers, "n_embd": width, "n_head": width // 64, "context_length": 256}
    model = build("gpt", fields, vocab_size=256, boundary_token=0)
    assert isinstance(model, SequenceModel)
    world.spread(PartLoss(model, Runtime()), model.units())
    optimizers = Optimizers(model, TrainingConfig(optimizer="adamw"), world=world)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    optimizers.step(1.0)
    return model, optimizers


def plainly(path: Path, data: torch.Tensor, times: int) -> None:
    """Write some bytes so many times, and sync."""
    with open(path, "wb") as file:
        for _ in range(times):
            file.write(data.numpy().data)
        file.flush()
        os.fsync(file.fileno())


def measure(world: World, asked: argparse.Namespace) -> None:
    """Time the rivals in this world; process 0 prints."""
    model, optimizers = trained(world, asked.layers, asked.width)
    run = Path(world.told(tempfile.mkdtemp(dir=asked.folder) if world.leads else ""))
    count = sum(parameter.numel() for parameter in model.parameters())
    some = torch.randint(0, 256, (count,), dtype=torch.uint8)

    def plain(times: int = 12) -> None:
        world.led(lambda: plainly(run / "plain", some, times))

    def checkpoint() -> None:
        write_checkpoint(
            run,
            TrainerState(step=STEP),
            model.state_dict(keep_vars=True),
            optimizers.tensors(),
            architecture="gpt",
            world=world,
        )

    def published() -> None:
        checkpoint()
        world.led(lambda: publish_weights(run, STEP))

    def read_plainly() -> None:
        for file in checkpoint_files(checkpoint_path(run, STEP)):
            file.read_bytes()

    def resumed() -> None:
        held = HeldCheckpoint()
        latest_sound_checkpoint(run, held.read)
        read_model(checkpoint_path(run, STEP) / WEIGHTS, model, architecture="gpt", held=held)
        read_objective(checkpoint_path(run, STEP), held=held)

    rivals: dict[str, Callable[[], None]] = {
        "plain": plain,
        "checkpoint": checkpoint,
        "plain, 16 bytes": lambda: plain(16),
        "published": published,
    }
    times = interleaved(rivals, asked.rounds)
    if world.size == 1:
        times |= interleaved({"read": read_plainly, "resumed": resumed}, asked.rounds)
    if not world.leads:
        return
    held = sum(own_part(parameter).numel() for parameter in model.parameters())
    strategy = "" if world.size == 1 else " (fsdp)" if world.sharded else " (ddp)"
    print(
        f"{world.size} processes{strategy}: {count / 1e6:.1f}M parameters, of which process 0 has"
        f" {held / 1e6:.1f}M"
    )
    pairs = (("checkpoint", "plain"), ("published", "plain, 16 bytes"), ("resumed", "read"))
    for name, base in (pair for pair in pairs if pair[0] in times):
        middle, low, high = ratio(times[name], times[base])
        print(
            f"    {name}: {middle:.2f} times {base} ({low:.2f} to {high:.2f}, {asked.rounds}"
            f" rounds); medians {np.median(times[name]):.2f} s and {np.median(times[base]):.2f} s",
            flush=True,
        )
    shutil.rmtree(run)


def main() -> None:
    """Measure in this process, then in worlds of several."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--layers", type=int, default=14)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", default=None, help="on the disk that is written to")
    parser.add_argument("--strategy", choices=["ddp", "fsdp"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with joined(sharded=asked.strategy == "fsdp") as world:
        measure(world, asked)
    if asked.strategy is None and asked.processes > 1:
        for strategy in ("ddp", "fsdp"):
            several = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
            several += ["--nproc-per-node", str(asked.processes), *sys.argv]
            subprocess.run([*several, "--strategy", strategy], check=True)


if __name__ == "__main__":
    main()
