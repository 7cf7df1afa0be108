"""Twins: rows of one batch that are alike up to a position, and differ after it.

Whatever a model does with a batch, the logits of two rows must be the same where the rows and all
before is the same. Both are in one pass, so that nothing else can make them differ: neither what a
pass leaves behind nor what it draws, and not the statistics of the batch either. So a path that is
taken in one pass of ten, or above some size of a batch, is seen the first time that it is taken.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inklings.auditing.draws import AlikeDraws, seeded
from inklings.auditing.probes import TOLERANCE, other_tokens, random_tokens, with_documents
from inklings.models.contract import SequenceModel

FEW = 3
"""Symbols that half of the rows are made of: where all is the same, other things are noticed."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a pass is made."""

    training: bool = False
    gradients: bool = False
    streamed: bool = False
    """Whether it is given a state."""
    autocast: bool = False

    @property
    def mode(self) -> str:
        """The name of the mode: `training` or `evaluation`."""
        return "training" if self.training else "evaluation"


@dataclass(frozen=True, kw_only=True)
class Twins:
    """A batch in which every row has a partner."""

    tokens: Int[Tensor, "B T"]
    starts: Bool[Tensor, "B T"] | None = None
    partner: Int[Tensor, " B"]
    """For each row another one, which is alike up to `last`."""
    last: Int[Tensor, " B"]
    """The last position up to which both are alike; -1 for a row that is compared with nothing."""


def pass_of(
    model: SequenceModel,
    tokens: Int[Tensor, "B T"],
    starts: Bool[Tensor, "B T"] | None = None,
    *,
    setting: Setting,
    seed: int = 0,
    alike: bool = True,
) -> Float[Tensor, "B T V"]:
    """Return the logits of one pass; its after-effects stay.

    Args:
        model: the model.
        tokens: (B, T).
        starts: (B, T), marks the first tokens of documents.
        setting: under which the pass is made.
        seed: of random draws.
        alike: whether all rows draw the same in training.
    """
    model.train(setting.training)
    rows = len(tokens)
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.set_grad_enabled(setting.gradients))
        stack.enter_context(seeded(seed))
        if setting.autocast:
            kind = tokens.device.type
            stack.enter_context(torch.autocast(kind, dtype=torch.bfloat16, cache_enabled=False))
        state = model.initial_state(rows) if setting.streamed else None
        if setting.training and alike:
            stack.enter_context(AlikeDraws(rows))
        logits: Tensor = model(tokens, state, starts=starts).logits
    return logits.detach()


def apart(logits: Float[Tensor, "B T V"], twins: Twins) -> tuple[float, int]:
    """Return how far the logits of any two twins are apart where they may not be, and in which row.

    NaN counts as infinitely far.
    """
    difference = (logits - logits[twins.partner]).abs().amax(dim=2).double()
    alike = torch.arange(logits.shape[1], device=logits.device) <= twins.last[:, None]
    difference = torch.nan_to_num(difference, nan=torch.inf).masked_fill(~alike, 0.0).amax(dim=1)
    row = int(difference.argmax())
    return float(difference[row]), row


def tolerated(logits: Tensor) -> float:
    """Return how far logits of one pass may be apart by rounding."""
    return TOLERANCE * (1.0 + float(logits.abs().max()))


def with_other_tails(
    model: SequenceModel, rows: int, length: int, *, documents: bool = False, seed: int = 0
) -> Twins:
    """Make pairs of rows; in each, all tokens after some position are drawn anew.

    Half of the pairs are made of a few symbols.

    Args:
        model: gives the vocabulary.
        rows: how many rows.
        length: tokens of each.
        documents: whether both have boundaries, at other places after that position.
        seed: of the tokens.
    """
    pairs = rows // 2
    one, other = (
        torch.cat(
            [
                random_tokens(model, pairs - pairs // 2, length, 2 * seed + which),
                random_tokens(model, pairs // 2, length, 2 * seed + which, symbols=FEW),
            ]
        )
        for which in (0, 1)
    )
    context = model.config.context_length
    drawn = torch.randint(0, max(1, length - 1), (pairs,), generator=_generator(seed))
    telling = [length // 2, length - 2, 0, context - 1, context, 1]
    for pair, place in enumerate(telling[: pairs // 2 + 1]):
        drawn[pair] = min(max(place, 0), max(0, length - 2))
    last = drawn.to(one.device)
    here = torch.arange(length, device=one.device)
    next_one = here == last[:, None] + 1
    other = torch.where(next_one & (other == one), other_tokens(model, one), other)
    starts = None
    if documents:
        one, starts_of_one = with_documents(model, one, seed=2 * seed)
        other, starts_of_other = with_documents(model, other, seed=2 * seed + 1)
        kept = here <= last[:, None]
        starts = _paired(starts_of_one, torch.where(kept, starts_of_one, starts_of_other))
    other = torch.where(here <= last[:, None], one, other)
    order = torch.arange(2 * pairs, device=one.device)
    return Twins(
        tokens=_paired(one, other),
        starts=starts,
        partner=order ^ 1,
        last=last.repeat_interleave(2),
    )


def with_one_other_token(model: SequenceModel, rows: int, length: int, *, seed: int = 0) -> Twins:
    """Make a row, and rows that differ from it in a single token, at places spread over the row.

    Args:
        model: gives the vocabulary.
        rows: how many rows.
        length: tokens of each.
        seed: of the tokens.
    """
    tokens = random_tokens(model, 1, length, seed).repeat(rows, 1)
    changed = other_tokens(model, tokens[:1])[0]
    places = torch.linspace(1, length - 1, rows - 1).round().long().clamp(1, length - 1)
    for row, place in enumerate(places.tolist(), start=1):
        tokens[row, place] = changed[place]
    last = torch.cat([torch.tensor([-1]), places - 1]).to(tokens.device)
    return Twins(tokens=tokens, partner=torch.zeros_like(last), last=last)


def with_every_token(
    model: SequenceModel, vocabulary: Int[Tensor, " N"], *, seed: int = 0
) -> Twins:
    """Make short pairs in which each given token stands once just before the tails, and once after.

    Args:
        model: gives the boundary.
        vocabulary: the tokens (N,).
        seed: of the tokens.
    """
    size, length, at = len(vocabulary), 9, 4
    generator = _generator(seed)
    one = random_tokens(model, size, length, seed)
    vocabulary = vocabulary.to(one.device)
    one[:, at] = vocabulary
    other = torch.cat(
        [one[:, : at + 1], random_tokens(model, size, length, seed + 1)[:, at + 1 :]], 1
    )
    one[:, at + 1] = vocabulary[torch.randperm(size, generator=generator).to(one.device)]
    other[:, at + 1] = torch.where(
        other[:, at + 1] == one[:, at + 1], one[:, at + 1].roll(1), other[:, at + 1]
    )
    tokens = _paired(one, other)
    starts = tokens == model.config.boundary_token
    starts[:, 0] = False
    order = torch.arange(2 * size, device=one.device)
    return Twins(
        tokens=tokens,
        starts=starts if bool(starts.any()) else None,
        partner=order ^ 1,
        last=torch.full((2 * size,), at, device=one.device),
    )


def _paired(one: Tensor, other: Tensor) -> Tensor:
    """Rows of both in turn."""
    return torch.stack([one, other], dim=1).flatten(0, 1)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
