"""Runs whose weights are anything, and a text that is hard to read."""

from __future__ import annotations

from pathlib import Path

import torch

import inklings
from inklings.runs import checkpoints
from inklings.runs.directory import RunDirectory


def hard_lines(count: int) -> str:
    """Lines with blanks at the ends, marks, letters of several bytes and the boundary's name."""
    parts = ("über", " don't,", "  12.5 ", "zürich", "<|endoftext|>", "wir", "(so)", "Ω 🙂")
    return "\n".join(
        f"{one}{other}{number}" for one in parts for other in parts for number in range(count // 64)
    )


def scrambled(arm: str, text: Path, place: Path, tokenizer: str) -> RunDirectory:
    """A run of a step, whose weights are then anything: fresh branches add nothing."""
    inklings.train(
        arm, place, data=text, budget="1-steps", tokenizer=tokenizer, threads=1, samples=0,
        batch_size=2, evaluations=1, precision="float32", show=False,
    )  # fmt: skip
    run = RunDirectory.open(place)
    model = run.load_model()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.3, generator=generator)
    checkpoints.write_model(run.weights_path(), model, architecture=run.config.architecture, step=1)
    return run
