"""tinyshakespeare at nanoGPT's CPU size.

Wall time and loss of two run files of ours, beside nanoGPT's documented run.

    python benchmarks/shakespeare.py --nanogpt CHECKOUT [--rounds 1]

Every run is a process of its own, from its first import to its end, evaluations included. Our
losses are on the whole last tenth, first as the package scores (every prediction has the full
window before it), then in windows of 64 read afresh, which is the context that nanoGPT gives;
nanoGPT's is its own estimate on random windows. The checkout is read through links, nothing is
written to it.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from inklings.config import DataConfig
from inklings.runs.directory import RunDirectory
from inklings.text.documents import SplitName
from inklings.text.store import TokenStore, prepare

CONFIGS = ("configs/shakespeare-gpt.toml", "configs/shakespeare-gpt-long.toml")
DOCUMENTED = [
    *(
        "--device=cpu",
        "--compile=False",
        "--eval_iters=20",
        "--log_interval=1",
        "--block_size=64",
        "--batch_size=12",
    ),
    *(
        "--n_layer=4",
        "--n_head=4",
        "--n_embd=128",
        "--max_iters=2000",
        "--lr_decay_iters=2000",
        "--dropout=0.0",
    ),
]


def peak_of(command: list[str], folder: Path) -> tuple[str, float, float]:
    """Standard output, seconds, and peak memory in MiB of a process."""
    start = time.perf_counter()
    with (folder / "output.txt").open("w+", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        output.seek(0)
        text = output.read()
    if status:
        raise SystemExit(text[-3000:])
    assert isinstance(usage, resource.struct_rusage)
    return text, seconds, usage.ru_maxrss / 2**10


def lay_out(checkout: Path, store: TokenStore, folder: Path) -> None:
    """Make a folder in which nanoGPT's `train.py` finds itself and the text."""
    for name in ("train.py", "model.py", "configurator.py", "config"):
        (folder / name).symlink_to((checkout / name).resolve())
    data = folder / "data" / "shakespeare_char"
    data.mkdir(parents=True)
    files: dict[SplitName, str] = {"train": "train.bin", "validation": "val.bin"}
    for name, file in files.items():
        store.split(name).tokens.astype(np.uint16).tofile(data / file)
    (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": store.tokenizer.vocab_size}))


def theirs(checkout: Path, store: TokenStore) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lay_out(checkout, store, folder)
        text, seconds, peak = peak_of(
            [sys.executable, "train.py", "config/train_shakespeare_char.py", *DOCUMENTED], folder
        )
    loss = float(re.findall(r"val loss ([0-9.]+)", text)[-1])
    print(
        f"{'nanoGPT, documented CPU command':40} {seconds:6.1f} s   {loss:.4f} (its estimate)  "
        f" {peak:6.0f} MiB",
        flush=True,
    )


def ours(config: str, store: TokenStore) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        command = [
            sys.executable,
            "-m",
            "inklings",
            "train",
            str(Path(config).resolve()),
            "--run",
            str(folder / "run"),
        ]
        _, seconds, peak = peak_of(command, folder)
        run = RunDirectory.open(folder / "run")
        loss = next(
            event["loss"] for event in reversed(run.metrics()) if event["event"] == "evaluation"
        )
        fresh = in_fresh_windows(run, store)
    print(
        f"{config:40} {seconds:6.1f} s   {loss:.4f}, in fresh windows {fresh:.4f}  "
        f" {peak:6.0f} MiB",
        flush=True,
    )


def in_fresh_windows(run: RunDirectory, store: TokenStore) -> float:
    """Loss on the validation split cut into windows of 64 that know nothing of each other."""
    model, tokens = (
        run.load_model(),
        torch.from_numpy(store.split("validation").tokens.astype(np.int64)),
    )
    count = (len(tokens) - 1) // 64
    inputs, targets = (
        tokens[: 64 * count].view(count, 64),
        tokens[1 : 64 * count + 1].view(count, 64),
    )
    with torch.no_grad():
        losses = [
            F.cross_entropy(model(rows).logits.flatten(0, 1), wanted.flatten(), reduction="sum")
            for rows, wanted in zip(inputs.split(256), targets.split(256), strict=True)
        ]
    return float(torch.stack(losses).sum()) / (64 * count)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nanogpt", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    store = prepare(DataConfig(source="tinyshakespeare", tokenizer="char"))
    for _ in range(options.rounds):
        ours(CONFIGS[0], store)
        if options.nanogpt:
            theirs(options.nanogpt, store)
        ours(CONFIGS[1], store)


if __name__ == "__main__":
    main()
