"""Batches of whole short texts, or of windows, as a critic reads them: no targets.

Every row is a text of its own. A batch is a pure function of (seed, step), as everywhere.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int, Int64
from torch import Tensor

from inklings.errors import SourceError
from inklings.text.store import TokenSplit


class TextBatches:
    """Batches of whole texts; see `whole_texts` and `text_windows`."""

    def __init__(
        self,
        split: TokenSplit,
        starts: Int64[np.ndarray, " D"],
        sizes: Int64[np.ndarray, " D"],
        *,
        batch_size: int,
        length: int,
        seed: int,
    ) -> None:
        self.split = split
        self.batch_size = batch_size
        self.length = length
        self.seed = seed
        self._starts, self._sizes = starts, sizes
        self._epoch = -1
        self._order: Int64[np.ndarray, " D"]

    @property
    def n_texts(self) -> int:
        """How many texts there are to draw from."""
        return len(self._starts)

    def batch(self, step: int) -> Int[Tensor, "B T"]:
        """Return the tokens of the texts of a step.

        After its end mark a row is padded with the boundary.
        """
        places = step * self.batch_size + np.arange(self.batch_size)
        drawn = np.array(
            [
                self._text(int(epoch), int(place))
                for epoch, place in zip(*divmod(places, self.n_texts), strict=True)
            ]
        )
        columns = np.arange(self.length)
        inside = columns < self._sizes[drawn, None]
        index = np.where(inside, self._starts[drawn, None] + columns, 0)
        if self.split.unchecked is not None:
            self.split.unchecked.check(index)
        tokens = np.where(inside, self.split.tokens[index], self.split.boundary)
        return torch.from_numpy(tokens.astype(np.int64))

    def _text(self, epoch: int, place: int) -> int:
        """Return the text at a place of an epoch.

        Each epoch goes through all of them once, in an order of its own.
        """
        if epoch != self._epoch:
            self._order = np.random.default_rng((self.seed, epoch)).permutation(self.n_texts)
            self._epoch = epoch
        return int(self._order[place])


def whole_texts(split: TokenSplit, *, batch_size: int, length: int, seed: int) -> TextBatches:
    """Make batches of the documents of at most `length` tokens, the end mark included.

    Longer ones are left out.

    Args:
        split: the split that rows are cut from.
        batch_size: texts of a batch.
        length: most tokens of a text.
        seed: of the order.

    Raises:
        SourceError: no document is that short.
    """
    sizes = np.diff(split.offsets)
    kept = np.flatnonzero(sizes <= length)
    if not len(kept):
        shortest = int(sizes.min()) if len(sizes) else 0
        raise SourceError(
            f"none of the {split.n_documents:,} documents fits into {length} tokens with its end"
            f" mark (the shortest has {shortest}). Give a larger model.context_length, one document"
            " a line (--data.layout lines), or let model.reads be windows."
        )
    return TextBatches(
        split,
        split.offsets[:-1][kept] + 1,
        sizes[kept],
        batch_size=batch_size,
        length=length,
        seed=seed,
    )


def left_out(split: TokenSplit, *, length: int) -> int:
    """Return how many documents `whole_texts` leaves out."""
    return int((np.diff(split.offsets) > length).sum())


def text_windows(split: TokenSplit, *, batch_size: int, length: int, seed: int) -> TextBatches:
    """Make batches of all windows of `length` tokens within a document, without end marks.

    Args:
        split: the split that rows are cut from.
        batch_size: windows of a batch.
        length: tokens of a window.
        seed: of the order.

    Raises:
        SourceError: no document is that long.
    """
    counts = np.maximum(np.diff(split.offsets) - length, 0)
    if not counts.any():
        longest = int(np.diff(split.offsets).max(initial=1)) - 1
        raise SourceError(
            f"no document has {length} tokens, the longest has {longest}. Give a smaller"
            " model.context_length, or let model.reads be documents."
        )
    first = split.offsets[:-1] + 1
    starts = np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
    return TextBatches(
        split, starts, np.full(len(starts), length), batch_size=batch_size, length=length, seed=seed
    )
