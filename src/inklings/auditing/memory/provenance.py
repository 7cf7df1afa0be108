"""The origin of a memory's hits: each must be from the text that was read before.

An empty memory must leave the backbone as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inklings.auditing.memory.rivals import Provable
from inklings.auditing.probes import difference, random_tokens, span
from inklings.generation.inference import inference
from inklings.models.contract import SequenceModel
from inklings.models.remembering import Recollection
from inklings.text.store import TokenSplit

PIECE = 256
"""Positions of a document that are read at a time."""
LONGEST_TEXT = 4096
"""Most random tokens that are read where there is no text."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The hits on a part of a text, and how many of them should not have been."""

    queries: int
    hits: int
    ahead: int
    """Hits whose value stands behind the last token read: at the target, or beyond it."""
    untrue: int
    """Hits whose value is not the token at the place that they name."""
    example: str = ""
    """One example of these hits."""

    @property
    def holds(self) -> bool:
        """Whether every hit is a token of the text before its target."""
        return not self.ahead and not self.untrue


def provenance(model: SequenceModel, split: TokenSplit) -> Provenance:
    """Read a split's documents one by one and compare every hit with the text.

    The hits are those of each document's own memory.
    """
    assert isinstance(model, Provable)
    queries = hits = ahead = untrue = 0
    example = ""
    for number in range(split.n_documents):
        text = split.read(int(split.offsets[number]), int(split.offsets[number + 1]) + 1).astype(
            np.int64
        )
        with inference(model.modules()), model.recording() as passes:
            state = model.initial_state(1)
            for first in range(0, len(text) - 1, PIECE):
                piece = torch.from_numpy(text[first : min(first + PIECE, len(text) - 1)])
                state = model(piece[None].to(model.device), state).state
        found = [of[0] for of in passes]
        positions, values, there = (
            np.concatenate(parts) for parts in zip(*map(_own, found), strict=True)
        )
        here = np.arange(len(positions))[:, None]
        late = there & (positions > here)
        false = there & ~late & (text[positions.clip(0, len(text) - 1)] != values)
        if not example and (late | false).any():
            at, of = (int(place) for place in np.argwhere(late | false)[0])
            what = "stands at" if late[at, of] else "does not stand at"
            example = (
                f"after token {at} of a document, token {values[at, of]} is found, which {what}"
                f" {positions[at, of]}"
            )
        queries, hits = queries + len(positions), hits + int(there.sum())
        ahead, untrue = ahead + int(late.sum()), untrue + int(false.sum())
    return Provenance(queries=queries, hits=hits, ahead=ahead, untrue=untrue, example=example)


def _own(
    one: Recollection,
) -> tuple[Int[np.ndarray, "T k"], Int[np.ndarray, "T k"], Bool[np.ndarray, "T k"]]:
    """Return positions and values of a row's hits, and which of them are of its own memory."""
    return one.hits.positions, one.hits.values, (one.hits.ids >= 0) & ~one.outside


def random_text(model: SequenceModel, *, documents: int = 2, seed: int = 0) -> TokenSplit:
    """Make documents of random tokens, long enough that something is found in them.

    Args:
        model: says how long.
        documents: how many.
        seed: of the tokens.
    """
    length = min(LONGEST_TEXT, max(span(model), 3 * getattr(model.config, "segment", 0) + 2))
    drawn = random_tokens(model, documents, length, seed, symbols=8).cpu().numpy()
    return TokenSplit.of(list(drawn), model.config.boundary_token)


def touched_backbone(model: SequenceModel, *, seed: int = 0) -> str | None:
    """Return how the model differs from its backbone where its memory is empty or off.

    None where it does not.

    In one pass over a text so short that nothing is found in it, the same bits are asked for; on a
    longer text with the memory off, where a model may cut the pass into pieces, equal within
    rounding.
    """
    assert isinstance(model, Provable)
    short = random_tokens(
        model, 2, min(span(model), getattr(model.config, "segment", LONGEST_TEXT)), seed, symbols=8
    )
    bare = _alone(model, short)
    with model.recording() as passes:
        empty = _logits(model, short)
    nothing = torch.from_numpy(np.stack([(of.hits.ids < 0).all(-1) for of in passes[0]]))
    with model.controlled("off"):
        off = _logits(model, short)
    for logits, where, what in (
        (empty, nothing, "an empty memory"),
        (off, nothing | True, "the memory off"),
    ):
        if not torch.equal(logits.cpu()[where], bare.cpu()[where]):
            apart = float((logits.cpu()[where] - bare.cpu()[where]).abs().max())
            return f"with {what} it differs from its backbone by up to {apart:.2g}"
    long = random_tokens(model, 2, span(model), seed + 1, symbols=8)
    with model.controlled("off"):
        apart = difference(_logits(model, long), _alone(model, long))
    return (
        None
        if apart <= 1
        else (
            f"with the memory off it differs from its backbone by {apart:.2g} times what rounding"
            " may do"
        )
    )


def _alone(model: Provable, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
    """Return what the backbone predicts by itself, which begins where the model lets it begin."""
    starts = None
    if model.begins_anew:
        starts = torch.zeros_like(tokens, dtype=torch.bool)
        starts[:, :: model.backbone.config.context_length] = True
    return _logits(model.backbone, tokens, starts)


def _logits(
    model: SequenceModel, tokens: Int[Tensor, "B T"], starts: Bool[Tensor, "B T"] | None = None
) -> Float[Tensor, "B T V"]:
    with inference(model.modules()):
        logits: Tensor = model(tokens, starts=starts).logits
    return logits
