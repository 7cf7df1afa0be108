"""The choice of how a model decodes on this machine: threads, and weights in float32 or bfloat16.

The choice is made by measuring.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from inklings.device import (
    WORTH,
    Measure,
    Measured,
    Precision,
    Runtime,
    bfloat16_is_fast,
    fastest,
    thread_counts,
    threads_of,
)
from inklings.errors import ConfigError
from inklings.generation.inference import inference
from inklings.generation.packed_weights import can_pack, with_packed_weights
from inklings.models.contract import SequenceModel, parameter_count

WORTH_MEASURING = 2_000_000
"""Parameters below which one thread and float32 are taken as they are: a token costs calls, not
memory traffic.
"""
SECONDS = 0.3
"""About how long the measuring takes."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """A model to generate with, and how it computes."""

    model: SequenceModel
    runtime: Runtime
    """Use it as `with threads_of(runtime)`."""


def choose_decoder(
    model: SequenceModel,
    *,
    rows: int = 1,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
) -> Decoder:
    """Return the fastest way to write texts side by side whose loss is the same.

    `runtime.reasons` says what was measured. Packed weights are a copy, the model itself stays. A
    text depends on the precision: the same seed may lead elsewhere where the measurement comes out
    the other way, unless `precision` is given.

    Args:
        model: the model.
        rows: how many texts are written at a time.
        precision: of the weights; `auto` measures.

    Raises:
        ConfigError: bfloat16 was asked for where weights cannot be packed.
    """
    plain = Runtime(device=str(model.device))
    packs = plain.device == "cpu" and can_pack("float32")
    packs_halves = packs and can_pack("bfloat16")
    if precision == "bfloat16" and not packs_halves:
        raise ConfigError(
            "decoding in bfloat16 needs a CPU with AVX-512 or AVX-NE-CONVERT and a PyTorch with"
            f" oneDNN; this {plain.device} has not both. Use float32 or auto."
            if plain.device == "cpu"
            else f"decoding in bfloat16 needs a CPU; this is {plain.device}. Use float32 or auto."
        )
    large = parameter_count(model) >= WORTH_MEASURING
    if plain.device != "cpu" or not (large or precision == "bfloat16"):
        return Decoder(model, plain)
    asked: list[Precision] = (
        [precision]
        if precision != "auto"
        else ["float32", "bfloat16"]
        if packs_halves and bfloat16_is_fast("cpu")
        else ["float32"]
    )
    models = {
        name: with_packed_weights(model, name, rows=rows) if packs else model for name in asked
    }
    choices = [
        Runtime(precision=name, threads=count) for name in models for count in thread_counts()
    ]
    if not large:
        return Decoder(models["bfloat16"], replace(choices[0], reasons=("bfloat16: as asked",)))
    chosen, said = fastest(choices, _probe(models, rows), SECONDS, bfloat16_worth=WORTH)
    return Decoder(models[chosen.precision], replace(chosen, reasons=(said,)))


def _probe(models: Mapping[Precision, SequenceModel], rows: int) -> Measure:
    """Make a function that reads one more token in each row at every call, with whichever model.

    All go on from one state, so that memory holds one.
    """
    model = next(iter(models.values()))
    text = torch.randint(
        model.config.vocab_size, (rows, 8), generator=torch.Generator().manual_seed(0)
    )
    losses = {name: _loss(model, text) for name, model in models.items()}
    state = model.initial_state(rows)

    def step(runtime: Runtime) -> Measured:
        nonlocal state
        reading = models[runtime.precision]
        with threads_of(runtime), inference(reading.modules()):
            start = time.perf_counter()
            after = reading(text[:, :1], state).state
            seconds = time.perf_counter() - start
        assert after is not None
        state = after
        return Measured(seconds, losses[runtime.precision])

    return step


def _loss(model: SequenceModel, text: Int[Tensor, "B T"]) -> float:
    with inference(model.modules()):
        return float(
            F.cross_entropy(model(text[:, :-1]).logits.float().flatten(0, 1), text[:, 1:].flatten())
        )
