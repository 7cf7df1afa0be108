"""Batches: rows of tokens with their targets.

A batch is a pure function of (seed, step): resuming needs a number. There are three orders:
`windows` (rows of one length at random places), `streams` (rows that go on where they stopped, so
that state can be carried) and `positions` (single random positions, each with its past). Windows
and streams read the split as a ring: its last boundary is its first one too, so a row that passes
the end goes on with the first document. An epoch of either scores every target of the split exactly
once.
"""

from __future__ import annotations

import bisect
from array import array
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inklings.errors import InputError
from inklings.text.store import TokenSplit

SHORT = 4
"""A document of at most 1/SHORT of a row is never cut at its front."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """The text of one step. Targets are shifted by one here and nowhere else."""

    tokens: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    """The token after each position."""
    weights: Float[Tensor, "B T"]
    """The weight of each target in the loss: 1, or 0 for positions that only give context or fill
    up a row.
    """
    starts: Bool[Tensor, "B T"] | None
    """Positions whose token opens a document; None if no row holds one after its first position (or
    none at all).
    """
    context: Int[Tensor, "B N"] | None = None
    """Tokens that the rows have read before; given where a batch is made of single positions."""


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where the rows of an epoch begin, and which of their positions are scored.

    Rows that all follow on each other are not held one by one: a text may be larger than memory.
    """

    even: range
    """Where they would begin if each followed on the one before."""
    begins: Indices | None
    """Where they do; None: there."""
    firsts: Indices | None
    """The first scored position of each, and where those of the last end; None: where they begin.
    """

    def __len__(self) -> int:
        return len(self.even if self.begins is None else self.begins)

    def at(self, rows: Indices) -> tuple[Indices, Indices, Indices]:
        """Return begins, first scored positions, and where the scored part ends, of some rows."""
        if self.begins is None or self.firsts is None:
            places = self.even.start + self.even.step * rows
            return places, places, np.minimum(places + self.even.step, self.even.stop)
        return self.begins[rows], self.firsts[rows], self.firsts[rows + 1]


class WindowBatches:
    """Batches of rows at random places, made by `windows`."""

    def __init__(
        self, split: TokenSplit, *, batch_size: int, length: int, lead: int, seed: int
    ) -> None:
        _check_size(
            split,
            lead + length,
            f"a row of {length} tokens" + (f" and {lead} before it" if lead else ""),
        )
        self.split = split
        self.batch_size = batch_size
        self.length = length
        self.lead = lead
        self.seed = seed
        documents = np.diff(split.offsets) - 1
        self._short: list[bool] = (documents * SHORT <= length).tolist()
        self._offsets: list[int] = split.offsets.tolist()
        # A layout that begins elsewhere needs at most one row more (`_layout` never falls behind
        # one that began earlier).
        self._rows = len(self._layout(0)) + 1
        self.steps_per_epoch = -(-self._rows // batch_size)
        self._epoch = -1
        self._drawn: tuple[_Layout, Indices]

    def batch(self, step: int) -> Batch:
        """Return the batch of a step: `tokens` (batch_size, lead + length)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        layout, order = self._rows_of(epoch)
        # The rows of an epoch are dealt evenly, so that no step has only the few that were left
        # over.
        low, high = (len(order) * i // self.steps_per_epoch for i in (place, place + 1))
        # Every batch has the full size: shapes stay the same, for compilation and for equal bits.
        rows = order[np.arange(low, low + self.batch_size) % len(order)]
        begins, firsts, ends = layout.at(rows)
        columns = (begins - self.lead)[:, None] + np.arange(self.lead + self.length)
        scored = (columns >= firsts[:, None]) & (columns < ends[:, None])
        scored[high - low :] = False  # the rest fills up the batch
        return _batch(self.split, columns, scored)

    def _rows_of(self, epoch: int) -> tuple[_Layout, Indices]:
        """Lay out the rows of an epoch, and shuffle their order."""
        if self._epoch != epoch:
            random = np.random.default_rng((self.seed, epoch))
            layout = self._layout(int(random.integers(self.length)))
            self._drawn = layout, random.permutation(len(layout))
            self._epoch = epoch
        return self._drawn

    def _layout(self, phase: int) -> _Layout:
        """Lay out rows that together score every position once, all around the ring.

        They begin at `phase`. A row whose first scored position is inside a short document begins
        where that document does; the part of it that the row before has scored is only context.
        """
        end = phase + self.split.n_targets
        if not any(self._short):
            return _Layout(range(phase, end, self.length), None, None)
        begins, firsts = array("q"), array("q")
        place = phase
        while place < end:
            at = place % self.split.n_targets
            document = bisect.bisect_right(self._offsets, at) - 1
            begin = place - (at - self._offsets[document]) if self._short[document] else place
            begins.append(begin)
            firsts.append(place)
            place = begin + self.length
        firsts.append(end)
        return _Layout(range(phase, end, self.length), np.array(begins), np.array(firsts))


class StreamBatches:
    """Batches of rows that continue from step to step, made by `streams`."""

    def __init__(self, split: TokenSplit, *, batch_size: int, length: int, seed: int) -> None:
        _check_size(split, batch_size, f"{batch_size} streams")
        self.split = split
        self.batch_size = batch_size
        self.length = length
        self.seed = seed
        self._bounds = split.n_targets * np.arange(batch_size + 1) // batch_size
        self.steps_per_epoch = -(-int(np.diff(self._bounds).max()) // length)
        self._epoch = -1
        self._drawn: tuple[int, Indices, Indices]

    def batch(self, step: int) -> Batch:
        """Return the batch of a step.

        `tokens` (batch_size, length); at the first step of an epoch all streams begin anew.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        phase, begins, offsets = self._order_of(epoch)
        columns = (self._bounds[:-1] + place * self.length)[:, None] + np.arange(self.length)
        scored = columns < self._bounds[1:, None]
        # Streams begin elsewhere in every epoch, or the same targets would always stand at a cut.
        columns = (columns + phase) % self.split.n_targets
        document = np.searchsorted(begins, columns, side="right") - 1
        return _batch(
            self.split,
            offsets[document] + columns - begins[document],
            scored,
            begins_anew=place == 0,
            carried=True,
        )

    def documents_read(self, steps: int) -> list[list[tuple[int, int]]]:
        """Return which documents each row has read in the epoch that `steps` steps end in.

        They are in the order of reading: a document's number in the split, and at which of its
        tokens the row began, its boundary being 0.
        """
        epoch, place = divmod(steps - 1, self.steps_per_epoch)
        phase, begins, offsets = self._order_of(epoch)
        numbers = np.searchsorted(self.split.offsets, offsets)
        length, ring = (place + 1) * self.length, self.split.n_targets
        laps = np.arange(2 + length // ring)
        opened = (begins + ring * laps[:, None]).reshape(-1)
        read = []
        for first in (self._bounds[:-1] + phase).tolist():
            at = first % ring
            known = np.searchsorted(opened, at, side="right") - 1
            last = np.searchsorted(opened, at + length)
            read.append(
                [
                    (int(numbers[i % len(numbers)]), max(0, at - int(opened[i])))
                    for i in range(known, last)
                ]
            )
        return read

    def _order_of(self, epoch: int) -> tuple[int, Indices, Indices]:
        """Shuffle the documents of an epoch and find where its first stream begins.

        The arrays are, for each document in that order, its place in the epoch and in the split.

        Documents are shuffled, for neighbours are often alike (a sorted list) and a few streams
        would see little else.
        """
        if self._epoch != epoch:
            random = np.random.default_rng((self.seed, epoch))
            phase = int(random.integers(self.split.n_targets))
            order = random.permutation(self.split.n_documents)
            lengths = np.diff(self.split.offsets)[order]
            self._drawn = phase, np.cumsum(lengths) - lengths, self.split.offsets[:-1][order]
            self._epoch = epoch
        return self._drawn


class PositionBatches:
    """Batches of single random positions, made by `positions`."""

    def __init__(
        self, split: TokenSplit, *, batch_size: int, context_length: int, seed: int
    ) -> None:
        _check_size(split, 1, "one position")
        self.split = split
        self.batch_size = batch_size
        self.context_length = context_length
        self.seed = seed
        self.steps_per_epoch = -(-split.n_targets // batch_size)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step.

        `tokens` (batch_size, 1), `context` (batch_size, context_length - 1).
        """
        random = np.random.default_rng((self.seed, step))
        places = random.integers(self.split.n_targets, size=(self.batch_size, 1))
        opening = self.split.offsets[np.searchsorted(self.split.offsets, places, side="right") - 1]
        past = places - np.arange(self.context_length - 1, 0, -1)
        context = _read(
            self.split, np.maximum(past, opening)
        )  # the boundary, over and over, before the document
        batch = _batch(self.split, places, np.ones_like(places, dtype=bool), carried=True)
        return Batch(
            batch.tokens, batch.targets, batch.weights, batch.starts, torch.from_numpy(context)
        )


def windows(
    split: TokenSplit, *, batch_size: int, length: int, lead: int = 0, seed: int = 0
) -> WindowBatches:
    """Make batches of rows in random order, cut elsewhere in every epoch.

    A document of at most length / 4 tokens is never cut at its front. Which targets a step scores
    does not depend on `lead`.

    Args:
        split: the split that rows are cut from.
        batch_size: rows of a batch.
        length: scored tokens of a row.
        lead: tokens before each row that are read and never scored.
        seed: of the order.

    Raises:
        InputError: the split has fewer targets than a row.
    """
    return WindowBatches(split, batch_size=batch_size, length=length, lead=lead, seed=seed)


def streams(split: TokenSplit, batch_size: int, length: int, seed: int = 0) -> StreamBatches:
    """Make batches of rows that each continue where they stopped in the step before.

    `starts` says where state must begin anew. The split, its documents shuffled anew in every
    epoch, is divided among the streams. At the end of an epoch a stream may read past its share,
    unscored.

    Args:
        split: the split that rows are cut from.
        batch_size: how many streams.
        length: tokens of a row.
        seed: of the order.

    Raises:
        InputError: the split has fewer targets than there are streams.
    """
    return StreamBatches(split, batch_size=batch_size, length=length, seed=seed)


def positions(
    split: TokenSplit, batch_size: int, context_length: int, seed: int = 0
) -> PositionBatches:
    """Draw single positions uniformly, with replacement, as in makemore's lectures.

    Each has the context that its document gives it. `steps_per_epoch` is how many steps see as many
    targets as the split has.

    Args:
        split: the split that rows are cut from.
        batch_size: positions of a batch.
        context_length: tokens of a context, the position itself included.
        seed: of the draws.
    """
    return PositionBatches(split, batch_size=batch_size, context_length=context_length, seed=seed)


def _batch(
    split: TokenSplit,
    columns: Indices,
    scored: npt.NDArray[np.bool_],
    *,
    begins_anew: bool = False,
    carried: bool = False,
) -> Batch:
    """Read tokens at positions of the ring, and their targets.

    Where state is `carried` into the rows, a document that opens at the first position matters as
    well.
    """
    columns = columns % split.n_targets
    tokens = _read(split, columns)
    targets = _read(split, columns + 1)
    starts = tokens == split.boundary
    if begins_anew:
        starts[:, 0] = True
    # Without a carried state, a document at the first position changes nothing; and with no marks
    # at all a model may take its faster path.
    shown = starts if carried else starts[:, 1:]
    return Batch(
        torch.from_numpy(tokens),
        torch.from_numpy(targets),
        torch.from_numpy(scored.astype(np.float32)),
        torch.from_numpy(starts) if shown.any() else None,
    )


def _read(split: TokenSplit, columns: Indices) -> Indices:
    if split.unchecked is not None:
        split.unchecked.check(columns)
    return split.tokens[columns].astype(np.int64)


def _check_size(split: TokenSplit, needed: int, what: str) -> None:
    if split.n_targets < needed:
        raise InputError(
            f"the text has {split.n_targets} tokens to predict in this split, but {what} needs"
            f" {needed}. Give more text, or a smaller model.context_length,"
            " training.sequence_length or training.batch_size."
        )
