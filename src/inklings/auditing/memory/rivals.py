"""Rivals of a memory: the model with its memory changed, or its backbone with something cheaper.

All are scored alike: documents whole, each from an empty memory, side by side with others of about
their length.
"""

from __future__ import annotations

import dataclasses
import math
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from inklings.errors import InputError
from inklings.evaluation.likelihood.scoring import LOGITS, SHORTEST_CHUNK, score
from inklings.evaluation.likelihood.windows import cut_lanes
from inklings.models.contract import Output, SequenceModel, State
from inklings.models.remembering import Remembering
from inklings.models.varda.recall import Control
from inklings.text.store import TokenSplit

ROWS = 64
"""Most documents that are read side by side."""
CACHED = 2**16
"""Positions that a longer context may keep, over all rows: fewer rows where it is very long."""
COLDEST, HOTTEST = 0.5, 2.0
"""Between which a temperature is looked for."""
TEMPERATURE_STEP = 2e-3
"""To which share it is found."""


@runtime_checkable
class Provable(Remembering, Protocol):
    """A model whose memory can be proved."""

    backbone: SequenceModel
    """Loss of the model without a memory."""
    begins_anew: bool
    """Whether the model lets its backbone begin anew whenever the backbone's context is full."""

    def controlled(self, control: Control) -> AbstractContextManager[None]:
        """Within the block, something is done to the memory."""
        ...


def token_nats(
    model: SequenceModel, split: TokenSplit, *, rows: int = ROWS
) -> Float64[np.ndarray, " n"]:
    """Return the nats of every target of a split, in the order of the text.

    No document is read alone if there are others: a model may be asked to look into the memory of
    the row beside it.

    Args:
        model: the model.
        split: the text.
        rows: most documents that are read side by side.
    """
    lanes = cut_lanes(split.offsets, warm_up=int(np.diff(split.offsets).max()))
    longest_first = np.argsort(-lanes.lengths, kind="stable")
    rows = min(rows, max(2, LOGITS // (SHORTEST_CHUNK * model.config.vocab_size)))
    nats = np.full(split.n_targets, np.nan)
    for group in np.array_split(longest_first, -(-len(lanes) // rows)):
        for scored in score(model, split, lanes.select(group), len(group)):
            nats[scored.index] = scored.nats
    return nats


class Tempered(SequenceModel):
    """A model whose logits are divided by a temperature."""

    def __init__(self, model: SequenceModel, temperature: float) -> None:
        super().__init__(model.config)
        self.model = model
        self.temperature = temperature

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return the logits of the model, divided by the temperature."""
        output: Output = self.model(tokens, state, starts=starts)
        return dataclasses.replace(output, logits=output.logits / self.temperature)

    def initial_state(self, batch_size: int) -> State:
        """Return the model's initial state."""
        return self.model.initial_state(batch_size)

    def flops(self, tokens: int) -> int:
        """Return the model's operations: a division is nothing beside it."""
        return self.model.flops(tokens)


class InPieces(SequenceModel):
    """A model that reads the rows of a batch a piece at a time.

    So no row is far ahead of another.
    """

    def __init__(self, model: SequenceModel, size: int) -> None:
        super().__init__(model.config)
        self.model = model
        self.size = size

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return the logits of all pieces, concatenated."""
        carried: State | None = self.model.initial_state(len(tokens)) if state is None else state
        pieces: list[Output] = []
        for first in range(0, tokens.shape[1], self.size):
            part = np.s_[:, first : first + self.size]
            pieces.append(
                self.model(tokens[part], carried, starts=None if starts is None else starts[part])
            )
            carried = pieces[-1].state
        logits, hidden = (
            torch.cat([getattr(piece, name) for piece in pieces], 1)
            for name in ("logits", "hidden")
        )
        return Output(logits=logits, state=None if state is None else carried, hidden=hidden)

    def initial_state(self, batch_size: int) -> State:
        """Return the model's initial state."""
        return self.model.initial_state(batch_size)

    def flops(self, tokens: int) -> int:
        """Return the operations of the model."""
        return self.model.flops(tokens)


def fitted_temperature(model: SequenceModel, fit: TokenSplit) -> float:
    """Find the temperature of the lowest loss on a text.

    The loss has one minimum: it is convex in the inverse temperature.
    """
    from scipy import optimize  # takes half a second and 60 MiB, which training should not pay

    def loss(log_temperature: float) -> float:
        return float(token_nats(Tempered(model, math.exp(log_temperature)), fit).mean())

    found = optimize.minimize_scalar(
        loss,
        bounds=(math.log(COLDEST), math.log(HOTTEST)),
        method="bounded",
        options={"xatol": TEMPERATURE_STEP},
    )
    return math.exp(float(found.x))


def longer_contexts(model: SequenceModel, longest: int) -> list[SequenceModel] | str:
    """Double the backbone's context again and again, with the same weights.

    Where that cannot be done, say why.

    The last one costs at least as much for each token as the backbone, what reads the memory, and a
    comparison with every entry of a memory of the longest document of `longest` tokens (by the
    sizes, forward only), unless it sees these whole.
    """
    assert isinstance(model, Provable)
    backbone, n = model.backbone, 1024
    length = backbone.config.context_length
    if longest <= length:
        return f"no document is longer than the context of {length:,}"
    beside = {id(weight) for weight in backbone.parameters()}
    own = sum(
        weight.numel()
        for weight in model.parameters()
        if id(weight) not in beside and weight.ndim == 2
    )
    entries = min(longest, getattr(model.config, "memory_size", longest))
    wanted = backbone.flops(n) / 3 + n * 2 * (own + model.dimension * entries)
    shapes = {name: tensor.shape for name, tensor in backbone.state_dict().items()}
    found: list[SequenceModel] = []
    while length < longest and (not found or found[-1].flops(n) / 3 < wanted):
        length *= 2
        try:
            with torch.random.fork_rng(devices=[]):
                made = type(backbone)(dataclasses.replace(backbone.config, context_length=length))
        except InputError as error:
            return (
                f"the backbone cannot be built with a context of {length:,}:"
                f" {str(error).rstrip('.')}"
            )
        differing = [
            name for name, tensor in made.state_dict().items() if shapes.get(name) != tensor.shape
        ]
        if differing:
            return (
                f"the backbone's weights fit its context of {backbone.config.context_length:,} only"
                f" ({differing[0]})"
            )
        if made.flops(n) == backbone.flops(n):
            return "the backbone's cost does not depend on its context"
        made.load_state_dict(backbone.state_dict())
        found.append(made.to(backbone.device).eval())
    return found


def rows_for(model: SequenceModel) -> int:
    """Return how many documents may be read side by side with so long a context."""
    return min(ROWS, max(2, CACHED // model.config.context_length))
