"""Memory that a process needs in a step: all weights in each, cut up in one piece, or unit by unit.

    python benchmarks/cut_weights.py [--processes 2] [--size 12x768] [--optimizer adamw]

Linux alone: the most that a process had resident within a part of the step, as the kernel says.
Blocks of memory go back to it at once, so what is freed is not counted. The second step is told,
when the optimiser has its state; the batch is next to nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from inklings.config import TrainingConfig
from inklings.device import Runtime
from inklings.models.contract import SequenceModel
from inklings.models.registry import build
from inklings.training.joining import joined
from inklings.training.objectives.likelihood import PartLoss
from inklings.training.optimizers.optimizers import Optimizers

WAYS = ("ddp", "fsdp, one piece", "fsdp, units")
STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(name: str) -> int:
    """What the kernel counts, in MiB: `VmRSS` now, `VmHWM` at most since it was told to forget."""
    lines = STATUS.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024


def steps(size: str, optimizer: str, way: str) -> None:
    """Make two steps in each of the processes; print the memory of the second in process 0."""
    layers, width = map(int, size.split("x"))
    with joined(sharded=way != "ddp") as world:
        torch.manual_seed(0)
        fields = {"n_layer": layers, "n_head": 8, "n_embd": width, "context_length": 32}
        model = build("gpt", fields, vocab_size=256, boundary_token=0)
        assert isinstance(model, SequenceModel)
        count = sum(parameter.numel() for parameter in model.parameters())
        units = model.units() if way == "fsdp, units" else ()
        loss = world.spread(PartLoss(model, Runtime()), units)
        optimizers = Optimizers(model, TrainingConfig(optimizer=optimizer), world=world)
        tokens = torch.randint(256, (1, 33))
        weights = torch.full((1, 32), 1 / 32 / world.size)
        for _ in range(2):
            gc.collect()
            FORGET.write_text("5", encoding="utf-8")
            found = {"before": resident("VmRSS")}
            loss(tokens[:, :-1], tokens[:, 1:], weights, 1.0, None, None)[0].backward()
            found["forward and backward"] = resident("VmHWM")
            FORGET.write_text("5", encoding="utf-8")
            optimizers.step(1.0)
            found["optimiser"] = resident("VmHWM")
        if world.leads:
            print(json.dumps({way: found, "weights": count * 4 // 2**20}), flush=True)


def main() -> None:
    """Measure each way in processes of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--size", default="12x768")
    parser.add_argument("--optimizer", default="adamw")
    parser.add_argument("--way", choices=WAYS)
    asked = parser.parse_args()
    if asked.way is not None:
        steps(asked.size, asked.optimizer, asked.way)
        return
    at_once = {"MALLOC_MMAP_THRESHOLD_": "100000", "MALLOC_TRIM_THRESHOLD_": "100000"}
    for way in WAYS:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(asked.processes), __file__, "--way", way]
        command += ["--size", asked.size, "--optimizer", asked.optimizer]
        subprocess.run(command, env={"OMP_NUM_THREADS": "1", **os.environ, **at_once}, check=True)


if __name__ == "__main__":
    main()
