"""What the training loop costs over a bare PyTorch loop.

The same model, optimiser and sizes, interleaved in one process.

    python benchmarks/loop_overhead.py [--pairs 40] [--threads 1]

Two model sizes: nanoGPT's CPU configuration (4 layers, 4 heads, 128 wide; 12 rows of 64), and an
`mlp` whose step takes about a millisecond, where every microsecond of the loop shows. A pair is
some steps of one and as many of the other, in alternating order; the ratio is the median over
pairs, with the 95% bootstrap interval of that median.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.events import silent
from inklings.runs.checkpoints import TrainerState
from inklings.runs.interruption import Interruption
from inklings.runs.metrics import MetricsLog
from inklings.text.store import TokenStore, prepare
from inklings.training.loop import Loop
from inklings.training.objectives.base import make_objective
from inklings.training.setup import set_up
from side_by_side import interleaved, ratio

MODELS = {
    "gpt 4x4x128, 12 rows of 64": (
        "gpt",
        {"n_layer": 4, "n_head": 4, "n_embd": 128, "context_length": 64},
        12,
        64,
        5,
    ),
    "mlp, 4 rows of 64": ("mlp", {"n_embd": 10, "n_hidden": 64, "context_length": 2}, 4, 64, 100),
}


def bare_loop(config: RunConfig, store: TokenStore) -> Callable[[int], None]:
    """The loop that one would write by hand.

    Random rows, forward (documents kept apart), backward, clip, AdamW.
    """
    model = set_up(config, store=store).model.train()
    tokens = torch.from_numpy(store.split("train").tokens.astype(np.int64))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), fused=True)
    rows, length = config.training.batch_size, config.training.sequence_length
    assert length is not None
    places, boundary = torch.arange(length), store.tokenizer.boundary

    def run(steps: int) -> None:
        for _ in range(steps):
            index = torch.randint(len(tokens) - length - 1, (rows, 1)) + places
            inputs = tokens[index]
            logits = model(inputs, starts=inputs == boundary).logits
            loss = F.cross_entropy(logits.flatten(0, 1), tokens[index + 1].flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            loss.item()

    return run


def our_loop(config: RunConfig, store: TokenStore, run: Path) -> Callable[[int], None]:
    """The package's loop, with its batches, schedule, seeds, metrics and checks."""
    setup = set_up(config, store=store)
    loop = Loop(
        run,
        setup.record,
        store,
        setup.model,
        make_objective(setup.model, store.split("train"), setup.record.config, setup.runtime),
        progress=TrainerState(),
        log=MetricsLog(run / "metrics.jsonl", length=0),
        on_event=silent,
        interruption=Interruption(),
    )
    made = 0

    def steps(count: int) -> None:
        nonlocal made
        made += count
        loop._train_to(made)

    return steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    store = prepare(DataConfig())
    for name, (architecture, fields, rows, length, chunk) in MODELS.items():
        training = TrainingConfig(
            budget="1000000-steps",
            batch_size=rows,
            sequence_length=length,
            optimizer="adamw",
            learning_rate=1e-3,
            threads=arguments.threads,
            precision="float32",
            compile="off",
        )
        config = RunConfig(architecture=architecture, model=dict(fields), training=training)
        with tempfile.TemporaryDirectory() as folder:
            bare, ours = bare_loop(config, store), our_loop(config, store, Path(folder))
            rivals = {"bare": partial(bare, chunk), "ours": partial(ours, chunk)}
            times = interleaved(rivals, arguments.pairs)
        middle, low, high = ratio(times["ours"], times["bare"])
        steps = ", ".join(
            f"{rival} {np.median(seconds) / chunk * 1e3:.3f} ms" for rival, seconds in times.items()
        )
        print(
            f"{name}: {steps} a step; ratio {middle:.3f} [{low:.3f}, {high:.3f}], {arguments.pairs}"
            " pairs"
        )


if __name__ == "__main__":
    main()
