"""Training tokens a second on a GPU, and as a share of its peak, beside nanoGPT.

    python benchmarks/gpu_speed.py [--nanogpt CHECKOUT] [--device cuda] [--size large64]
    [--rounds 100]

All in bfloat16, in turns, each step waited for; warm-up and compiling come before and are not
timed. nanoGPT is compiled, as it is by default. FLOPs are those that the models count, forward and
backward, of our `gpt2` for nanoGPT. The peak is that of the data sheet, where the card is in
`inklings.training.planning.accelerators`. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import nanogpt
from inklings.config import DataConfig
from inklings.models.registry import build
from inklings.text.store import TokenStore, prepare
from inklings.training.planning.accelerators import known_card
from side_by_side import interleaved, ratio
from training_speed import ours

WARM = 6
"""Rounds before any is timed."""


def peak_of(device: str) -> float | None:
    """FLOP/s of the card in bfloat16, by its data sheet; None where it is not known."""
    if not device.startswith("cuda"):
        return None
    card = known_card(torch.cuda.get_device_name(device))
    return None if card is None or card.bfloat16 is None else card.peak("bfloat16")


def flops(architecture: str, size: nanogpt.Size, store: TokenStore) -> int:
    """Of a step."""
    sizes = ("n_layer", "n_head", "n_embd", "context_length")
    with torch.device("meta"):
        model = build(
            architecture,
            {name: getattr(size, name) for name in sizes},
            vocab_size=store.tokenizer.vocab_size,
            boundary_token=store.tokenizer.boundary,
        )
    return model.flops(size.tokens)


def rivals(
    options: argparse.Namespace, store: TokenStore, folder: Path
) -> dict[str, tuple[str, Callable[[], None]]]:
    """A step of each, with the architecture whose FLOPs it takes."""
    size, device = nanogpt.SIZES[options.size], options.device
    settings = {"device": device, "precision": "bfloat16", "threads": 1}
    made = {}
    if options.nanogpt:
        made["nanoGPT"] = (
            "gpt2",
            nanogpt.trainer(
                options.nanogpt,
                size,
                store.split("train").tokens,
                vocab_size=store.tokenizer.vocab_size,
                folder=folder,
                threads=1,
                device=device,
                compiled=True,
            ),
        )
    made["gpt"] = "gpt", ours("gpt", size, store, compile="off", **settings)
    made["gpt compiled"] = "gpt", ours("gpt", size, store, compile="on", **settings)
    made["gpt with AdamW, compiled"] = (
        "gpt",
        ours("gpt", size, store, compile="on", optimizer="adamw", **settings),
    )
    made["gpt2 compiled"] = "gpt2", ours("gpt2", size, store, compile="on", **settings)
    return made


def memory_of(step: Callable[[], None], device: str) -> int | None:
    """Bytes that a step takes beyond what is kept between steps."""
    if not device.startswith("cuda"):
        return None
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    nanogpt.add_options(parser)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    size, peak = nanogpt.SIZES[options.size], peak_of(options.device)
    store = prepare(DataConfig(source=options.data, tokenizer="char"))
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        made = rivals(options, store, Path(folder))
        steps = {name: step for name, (_, step) in made.items()}
        times = interleaved(steps, options.rounds, warmups=WARM)
        memory = {name: memory_of(step, options.device) for name, step in steps.items()}
    base = next(iter(times))
    found = {}
    for name, seconds in times.items():
        middle = float(np.median(seconds))
        share = None if peak is None else flops(made[name][0], size, store) / middle / peak
        times_base = ratio(times[base], seconds)
        found[name] = {
            "tokens_per_second": size.tokens / middle,
            "share_of_peak": share,
            "times": dict(zip(("median", "low", "high"), times_base, strict=True)),
            "step_bytes": memory[name],
        }
        print(name, found[name], flush=True)
    print(json.dumps({"peak": peak, "base": base, "rounds": options.rounds, "rivals": found}))


if __name__ == "__main__":
    main()
