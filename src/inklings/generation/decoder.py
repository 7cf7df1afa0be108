"""How a model is best read token by token on this machine: threads, and weights in float32 or bfloat16, chosen by measuring."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F

from inklings.device import Measured, Precision, Runtime, bfloat16_is_fast, fastest, thread_counts, threads_of
from inklings.errors import ConfigError
from inklings.generation.packed_weights import can_pack, with_packed_weights
from inklings.generation.reader import Reader
from inklings.models.contract import SequenceModel, parameter_count

WORTH_MEASURING = 2_000_000
"""Parameters below which one thread and float32 are taken as they are: a token costs calls, not memory traffic."""
SECONDS = 0.3
"""About how long the measuring takes."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """A model to generate with, and how."""

    model: SequenceModel
    runtime: Runtime
    """Use it as `with threads_of(runtime)`."""


def choose_decoder(model: SequenceModel, *, rows: int = 1, precision: Literal["auto", "float32", "bfloat16"] = "auto") -> Decoder:
    """The fastest way to write `rows` texts side by side whose loss is the same; `runtime.reasons` says what was measured.

    Packed weights are a copy, the model itself stays. A text depends on the precision: the same seed may lead
    elsewhere where the measurement comes out the other way, unless `precision` is given.

    Raises:
        ConfigError: bfloat16 was asked for where weights cannot be packed.
    """
    plain = Runtime(device=str(model.device))
    packs = plain.device == "cpu" and can_pack()
    if precision == "bfloat16" and not packs:
        raise ConfigError(f"decoding in bfloat16 needs a CPU and a PyTorch with oneDNN; this is {plain.device}. Use float32 or auto.")
    large = parameter_count(model) >= WORTH_MEASURING
    if plain.device != "cpu" or not (large or precision == "bfloat16"):
        return Decoder(model, plain)
    asked: list[Precision] = [precision] if precision != "auto" else ["float32", "bfloat16"] if bfloat16_is_fast("cpu") else ["float32"]
    models = {name: with_packed_weights(model, name, rows=rows) if packs else model for name in asked}
    choices = [Runtime(precision=name, threads=count) for name in models for count in thread_counts()]
    if not large:
        return Decoder(models["bfloat16"], replace(choices[0], reasons=("bfloat16: as asked",)))
    steps = {choice: _stepper(models[choice.precision], choice, rows) for choice in choices}
    chosen, said = fastest(choices, lambda choice: steps[choice](), SECONDS)
    return Decoder(models[chosen.precision], replace(chosen, reasons=(said,)))


def _stepper(model: SequenceModel, runtime: Runtime, rows: int) -> Callable[[], Measured]:
    """Reads one more token in each row at every call; the loss is that of predicting the first ones."""
    text = torch.randint(model.config.vocab_size, (rows, 8), generator=torch.Generator().manual_seed(0))
    reader, histories = Reader(model), [[model.config.boundary_token, *row] for row in text.tolist()]
    logits = reader.read([history[:-1] for history in histories])
    loss = float(F.cross_entropy(logits.float(), text[:, -1]))

    def step() -> Measured:
        with threads_of(runtime):
            start = time.perf_counter()
            reader.read(histories)
            seconds = time.perf_counter() - start
        for history in histories:
            history.append(history[-1])
        return Measured(seconds, loss)

    return step
