"""Training tokens a second of `gpt` and `gpt2` beside nanoGPT as documented for a CPU.

Ours run with what the package chooses by itself.

    python benchmarks/training_speed.py [--nanogpt CHECKOUT] [--size small|large|large64] [--rounds
    10] [--memory]

Text: tinyshakespeare if it is cached or can be downloaded (`--data` takes another source). Without
a checkout, the ratio is to the package's own float32, one thread, not compiled. `--memory` measures
peak memory instead, each rival in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import nanogpt
from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.device import threads_of
from inklings.text.store import TokenStore, prepare
from inklings.training.objectives.base import make_objective
from inklings.training.setup import set_up
from side_by_side import in_own_process, interleaved, peak_mebibytes, show


def ours(
    architecture: str, size: nanogpt.Size, store: TokenStore, **settings: Any
) -> Callable[[], None]:
    """A step of the package's objective.

    What `settings` leave open is chosen as for a run of 20,000 steps.
    """
    model = {
        "n_layer": size.n_layer,
        "n_head": size.n_head,
        "n_embd": size.n_embd,
        "context_length": size.context_length,
    }
    training = TrainingConfig(
        batch_size=size.batch_size,
        sequence_length=size.context_length,
        budget="20000-steps",
        **settings,
    )
    setup = set_up(
        RunConfig(
            architecture=architecture, model={**model, "dropout": size.dropout}, training=training
        ),
        store=store,
    )
    chosen = setup.runtime
    print(
        f"{architecture}: {chosen.threads} threads, {chosen.precision},"
        f" {'compiled' if chosen.compile else 'not compiled'}",
        flush=True,
    )
    objective = make_objective(
        setup.model.train(), store.split("train"), setup.record.config, chosen
    )
    made = 0

    def step() -> None:
        nonlocal made
        with threads_of(chosen):
            objective.step(made, 1e-3, measure=False)
        made += 1

    return step


def rivals(
    options: argparse.Namespace, store: TokenStore, folder: Path
) -> dict[str, Callable[[], Callable[[], None]]]:
    """Each by name, made when it is called for."""
    size = nanogpt.SIZES[options.size]
    cores = os.cpu_count() or 1
    plain = {"precision": "float32", "compile": "off", "threads": 1}
    made: dict[str, Callable[[], Callable[[], None]]] = {}
    if options.nanogpt:
        made["nanoGPT"] = lambda: nanogpt.trainer(
            options.nanogpt,
            size,
            store.split("train").tokens,
            vocab_size=store.tokenizer.vocab_size,
            folder=folder,
            threads=cores,
        )
    else:
        made["plain gpt"] = lambda: ours("gpt", size, store, **plain)
    made["gpt"] = lambda: ours("gpt", size, store)
    made["gpt with AdamW"] = lambda: ours("gpt", size, store, optimizer="adamw")
    made["gpt2"] = lambda: ours("gpt2", size, store)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nanogpt", type=Path)
    parser.add_argument("--size", choices=list(nanogpt.SIZES), default="large")
    parser.add_argument("--data", default="tinyshakespeare")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    store = prepare(DataConfig(source=options.data, tokenizer="char"))
    with tempfile.TemporaryDirectory() as folder:
        makers = rivals(options, store, Path(folder))
        if options.only:
            step = makers[options.only]()
            for _ in range(3):
                step()
            print(json.dumps({"peak": peak_mebibytes()}))
        elif options.memory:
            given = ["--nanogpt", str(options.nanogpt)] if options.nanogpt else []
            for name in makers:
                found = in_own_process(
                    [*given, "--size", options.size, "--data", options.data, "--only", name]
                )
                print(f"{name:44} {found['peak']:8,.0f} MiB at most", flush=True)
        else:
            torch.manual_seed(0)
            times = interleaved(
                {name: maker() for name, maker in makers.items()}, options.rounds, warmups=2
            )
            show(
                times,
                base=next(iter(makers)),
                units=nanogpt.SIZES[options.size].tokens,
                unit="tokens/s",
            )


if __name__ == "__main__":
    main()
