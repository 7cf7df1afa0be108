"""nanoGPT from a checkout, as its documentation has it run on a CPU.

The checkout is read, never copied.

Get one with `git clone https://github.com/karpathy/nanoGPT`; figures in the ledger are of commit
3adf61e.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Size:
    """A model and a batch."""

    n_layer: int
    n_head: int
    n_embd: int
    context_length: int
    batch_size: int
    dropout: float

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.batch_size * self.context_length


SIZES = {
    "small": Size(n_layer=4, n_head=4, n_embd=128, context_length=64, batch_size=12, dropout=0.0),
    "large": Size(n_layer=6, n_head=6, n_embd=384, context_length=256, batch_size=16, dropout=0.2),
    "large64": Size(
        n_layer=6, n_head=6, n_embd=384, context_length=256, batch_size=64, dropout=0.2
    ),
}
"""`small` is the documented CPU run; `large` its configuration for a GPU with a quarter of its
batch, `large64` with all of it.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what a benchmark on a card asks: a checkout, the device, how large, on what text."""
    parser.add_argument("--nanogpt", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=list(SIZES), default="large64")
    parser.add_argument("--data", default="tinyshakespeare")


def load(checkout: Path) -> ModuleType:
    """Its `model.py`."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
    if spec is None or spec.loader is None or not (checkout / "model.py").is_file():
        raise SystemExit(f"{checkout} has no model.py: give the path of a checkout of nanoGPT.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def make(checkout: Path, size: Size, *, vocab_size: int, block_size: int | None = None) -> Any:
    """The model with its initial weights."""
    module = load(checkout)
    config = module.GPTConfig(
        n_layer=size.n_layer,
        n_head=size.n_head,
        n_embd=size.n_embd,
        block_size=block_size or size.context_length,
        dropout=size.dropout,
        vocab_size=vocab_size,
        bias=False,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        return module.GPT(config)


def trainer(
    checkout: Path,
    size: Size,
    tokens: np.ndarray,
    *,
    vocab_size: int,
    folder: Path,
    threads: int,
    device: str = "cpu",
    compiled: bool = False,
) -> Callable[[], None]:
    """One step of its `train.py`, by default with `--device=cpu --compile=False`.

    From a batch out of the file to the update. On a GPU in bfloat16, as it does by itself, with
    batches from pinned memory; the loss is read every ten steps.
    """
    model = make(checkout, size, vocab_size=vocab_size).to(device).train()
    on_gpu = device.startswith("cuda")
    with contextlib.redirect_stdout(io.StringIO()):
        optimizer = model.configure_optimizers(1e-1, 1e-3, (0.9, 0.99), "cuda" if on_gpu else "cpu")
    run = torch.compile(model) if compiled else model
    made = itertools.count(1)
    path, length = folder / "train.bin", size.context_length
    tokens.astype(np.uint16).tofile(path)

    def rows(data: np.ndarray, places: torch.Tensor, ahead: int) -> torch.Tensor:
        found = torch.stack(
            [
                torch.from_numpy(data[at + ahead : at + ahead + length].astype(np.int64))
                for at in places
            ]
        )
        return found.pin_memory().to(device, non_blocking=True) if on_gpu else found

    def step() -> None:
        torch.set_num_threads(threads)
        data = np.memmap(path, dtype=np.uint16, mode="r")
        places = torch.randint(len(data) - length, (size.batch_size,))
        with torch.autocast("cuda", torch.bfloat16) if on_gpu else contextlib.nullcontext():
            _, loss = run(rows(data, places, 0), rows(data, places, 1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if not on_gpu or next(made) % 10 == 0:
            loss.item()

    return step
