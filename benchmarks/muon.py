"""Muon here against `torch.optim.Muon`.

One step over the hidden matrices of some models, interleaved in one process.

python benchmarks/muon.py [--pairs 40] [--threads 1]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import nn

from inklings.config import TrainingConfig
from inklings.device import choose_runtime
from inklings.training.optimizers.muon import Muon
from side_by_side import interleaved, ratio

SHAPES = {
    "tree, 24 and 128 wide": [(128, 48), (128, 256), (128, 256)],
    "gpt 4 x 64": [(192, 64), (64, 64), (256, 64), (64, 256)] * 4,
    "gpt 4 x 128": [(384, 128), (128, 128), (512, 128), (128, 512)] * 4,
    "gpt 6 x 384": [(1152, 384), (384, 384), (1536, 384), (384, 1536)] * 6,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    fast = choose_runtime(TrainingConfig(device="cpu")).muon_precision
    for name, shapes in SHAPES.items():
        sets = []
        for _ in range(3):
            matrices = [nn.Parameter(torch.randn(shape) * 0.02) for shape in shapes]
            for matrix in matrices:
                matrix.grad = torch.randn_like(matrix)
            sets.append(matrices)
        rivals = {
            "torch": torch.optim.Muon(sets[0], lr=0.02, weight_decay=0.0),
            "ours, bfloat16": Muon(sets[1], lr=0.02, dtype=torch.bfloat16),
            "ours, float32": Muon(sets[2], lr=0.02, dtype=torch.float32),
        }
        rounds = max(5, arguments.pairs // 8) if "384" in name else arguments.pairs
        times = interleaved({rival: optimizer.step for rival, optimizer in rivals.items()}, rounds)
        figures = ", ".join(
            f"{rival} {np.median(seconds) * 1e3:.2f} ms" for rival, seconds in times.items()
        )
        low, high = (
            ratio(times["torch"], times[rival])[0] for rival in ("ours, bfloat16", "ours, float32")
        )
        print(
            f"{name}: {figures}; torch takes x{low:.2f} / x{high:.2f} as long (chosen here: {fast};"
            f" {rounds} rounds)"
        )


if __name__ == "__main__":
    main()
