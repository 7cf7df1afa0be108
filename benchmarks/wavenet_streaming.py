"""Streaming a WaveNet from its queues beside computing its whole field for every token.

    python benchmarks/wavenet_streaming.py [--rows 1 16] [--rounds 15] [--tokens 100 100000] [--only
    speed|growth]

10 layers with dilations 1 to 512 see 1024 tokens; 128 channels, 65 characters, float32 on the CPU,
initial weights, since speed does not depend on them. The rival is no straw man: no layer computes
an output that cannot matter any more (1024 positions shrink to one), written with `conv1d` and with
linear maps over shifted copies. Each of the three runs at its own best number of threads, and all
are timed in turn. That the three give the same logits is checked first. `growth` reads one long
text and compares the cost of a token early and late in it. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inklings.models.contract import State
from inklings.models.wavenet.model import WaveNet, WaveNetConfig, normed
from side_by_side import interleaved, ratio

VOCABULARY = 65
TOKENS_A_ROUND = {1: 100, 16: 40}
NEIGHBOURHOOD = 1000
"""Tokens over which the cost at one place of a long text is taken."""


def network() -> WaveNet:
    torch.manual_seed(0)
    return WaveNet(WaveNetConfig(vocab_size=VOCABULARY, n_layer=10, n_embd=128, n_skip=128)).eval()


def anew(model: WaveNet, tokens: Tensor, convolve: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Logits (B, V) of the token after (B, receptive field) tokens.

    Every layer gives only what later ones still look at.
    """
    x, gated = normed(model.embedding(tokens)), []
    for index, layer in enumerate(model.stack.layers):
        value, gate = torch.tanh(convolve(index, normed(x))).chunk(2, dim=-1)
        product = torch.addcmul(value, value, gate)
        gated.append(product[:, -1])
        if isinstance(layer.project, nn.Module):
            x = x[:, model.stack.queues.dilations[index] :] + layer.project(product)
    last = model.stack._combine(x[:, -1], torch.cat(gated, dim=-1))
    return cast("Tensor", model.head(last))


def rivals(model: WaveNet) -> dict[str, Callable[[Tensor], Tensor]]:
    """The ways to compute the field anew."""
    convolutions = [cast("nn.Linear", layer.convolution) for layer in model.stack.layers]
    filters = [
        linear.weight.detach().unflatten(1, (2, -1)).transpose(1, 2).contiguous()
        for linear in convolutions
    ]
    dilations = model.stack.queues.dilations

    def with_conv1d(index: int, x: Tensor) -> Tensor:
        return F.conv1d(
            x.transpose(1, 2), filters[index], convolutions[index].bias, dilation=dilations[index]
        ).transpose(1, 2)

    def with_linear(index: int, x: Tensor) -> Tensor:
        both = torch.cat([x[:, : -dilations[index]], x[:, dilations[index] :]], dim=-1)
        return cast("Tensor", convolutions[index](both))

    return {
        "conv1d": lambda tokens: anew(model, tokens, with_conv1d),
        "linear": lambda tokens: anew(model, tokens, with_linear),
    }


class Stream:
    """Reads one token in every row at each call."""

    def __init__(self, model: WaveNet, rows: int) -> None:
        self.model = model
        self.state = model.initial_state(rows)

    def read(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) of the token after (B, 1)."""
        output = self.model(tokens, self.state)
        assert output.state is not None
        self.state = output.state
        return cast("Tensor", output.logits[:, 0])


def speed(model: WaveNet, rows: int, rounds: int) -> dict[str, float]:
    """Milliseconds per token of each way at its best number of threads.

    And how many times faster the stream is.
    """
    field = model.receptive_field
    text = torch.randint(
        1, VOCABULARY, (rows, field + 3), generator=torch.Generator().manual_seed(0)
    )
    ways, stream = rivals(model), Stream(model, rows)
    for t in range(text.shape[1]):
        logits = stream.read(text[:, t : t + 1])
        if t >= field - 1:
            for way in ways.values():
                torch.testing.assert_close(
                    way(text[:, t + 1 - field : t + 1]), logits, rtol=0, atol=1e-5
                )
    window, one = text[:, -field:].clone(), text[:, :1].clone()
    repeats = TOKENS_A_ROUND.get(rows, 40)

    def measure(threads: int, work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            torch.set_num_threads(threads)
            work()

        return run

    works: dict[str, Callable[[], object]] = {
        name: partial(way, window) for name, way in ways.items()
    }
    works["stream"] = lambda: [stream.read(one) for _ in range(repeats)]
    counts = sorted({1, os.cpu_count() or 1})
    times = interleaved(
        {
            f"{name}, {count} threads": measure(count, work)
            for name, work in works.items()
            for count in counts
        },
        rounds,
        warmups=2,
    )
    each = {
        name: seconds / (repeats if name.startswith("stream") else 1)
        for name, seconds in times.items()
    }

    def best(prefixes: tuple[str, ...]) -> str:
        return min(
            (name for name in each if name.startswith(prefixes)),
            key=lambda name: float(np.median(each[name])),
        )

    rival, ours = best(tuple(ways)), best(("stream",))
    for name, seconds in each.items():
        mark = "  <- the rival" if name == rival else "  <- ours" if name == ours else ""
        print(
            f"{rows:3} rows: {name:20} {1e3 * float(np.median(seconds)):9.3f} ms a token{mark}",
            flush=True,
        )
    middle, low, high = ratio(each[rival], each[ours])
    print(f"{rows:3} rows: x{middle:.1f} ({low:.1f} to {high:.1f}, {rounds} rounds)", flush=True)
    return {
        "rows": rows,
        "anew_ms": 1e3 * float(np.median(each[rival])),
        "stream_ms": 1e3 * float(np.median(each[ours])),
        "ratio": middle,
        "low": low,
        "high": high,
        "rounds": rounds,
    }


def growth(model: WaveNet, early: int, late: int) -> dict[str, float]:
    """The median cost of a token around two places of one text.

    A second text at its early place is read in turn with the late one.
    """
    torch.set_num_threads(1)
    stream = Stream(model, 1)
    numbers = sum(tensor.numel() for tensor in stream.state.tensors.values())
    tokens = torch.randint(
        1, VOCABULARY, (late + NEIGHBOURHOOD, 1, 1), generator=torch.Generator().manual_seed(0)
    ).unbind()
    for token in tokens[:late]:
        stream.read(token)
    young = Stream(model, 1)
    seconds: dict[str, list[float]] = {"early": [], "late": []}
    for token in tokens[:early]:
        young.read(token)
    for place in range(NEIGHBOURHOOD):
        if place % early == 0:  # stays near its place
            young.state = State({**young.state.tensors, "position": torch.full((1,), early)})
        for name, text, token in (
            ("early", young, tokens[early + place]),
            ("late", stream, tokens[late + place]),
        ):
            start = time.perf_counter()
            text.read(token)
            seconds[name].append(time.perf_counter() - start)
    assert numbers == sum(tensor.numel() for tensor in stream.state.tensors.values())
    found = {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}
    middle, low, high = ratio(np.array(seconds["late"]), np.array(seconds["early"]))
    print(
        f"token {late} costs x{middle:.3f} ({low:.3f} to {high:.3f}) of token {early}; the state"
        f" holds {numbers} numbers",
        flush=True,
    )
    return {
        "early": early,
        "late": late,
        "early_ms": found["early"],
        "late_ms": found["late"],
        "ratio": middle,
        "low": low,
        "high": high,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--tokens", type=int, nargs=2, default=[100, 100_000], metavar=("EARLY", "LATE")
    )
    parser.add_argument("--only", choices=["speed", "growth"])
    options = parser.parse_args()
    model = network()
    found: dict[str, object] = {}
    with torch.no_grad():  # as `generate` does
        if options.only != "growth":
            found["speed"] = [speed(model, rows, options.rounds) for rows in options.rows]
        if options.only != "speed":
            found["growth"] = growth(model, *options.tokens)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
