"""Sums over the units that intervals resample: documents, or blocks of text where these are few."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

BLOCK_BYTES = 2048
"""Most bytes of text in a block: a document is cut evenly."""

FEWEST_DOCUMENTS = 30
"""With fewer documents than this, blocks are resampled: the bootstrap of a handful says too little
of their spread.
"""


@dataclass(frozen=True)
class UnitSums:
    """The nats, targets, bytes and hits of each unit.

    The same split gives the same units for every model with the same tokenizer.
    """

    nats: Float[np.ndarray, " n"]
    targets: Int[np.ndarray, " n"]
    bytes: Int[np.ndarray, " n"]
    hits: Int[np.ndarray, " n"]
    """Targets that were the most likely token."""

    def __len__(self) -> int:
        return len(self.nats)


class Tally:
    """A running sum of targets by unit."""

    def __init__(
        self, targets_of: Int[np.ndarray, " D"], bytes_of: Int[np.ndarray, " D"], *, blocks: bool
    ) -> None:
        """Begin with the targets and bytes of each document.

        With `blocks`, units are even parts of documents of at most 2 KiB.

        Where a token stands in the text is not known here: a document's bytes are taken as evenly
        spread over its targets.
        """
        self._targets_of = targets_of.astype(np.int64)
        bytes_of = bytes_of.astype(np.int64)
        parts = (
            np.clip(-(-bytes_of // BLOCK_BYTES), 1, np.maximum(self._targets_of, 1))
            if blocks
            else np.ones_like(bytes_of)
        )
        self._parts, self._first = parts, np.cumsum(parts) - parts
        document = np.repeat(np.arange(len(parts)), parts)
        number = np.arange(len(document)) - self._first[document]
        self._bytes = (number + 1) * bytes_of[document] // parts[document] - number * bytes_of[
            document
        ] // parts[document]
        self._nats = np.zeros(len(document))
        self._targets = np.zeros(len(document), dtype=np.int64)
        self._hits = np.zeros(len(document), dtype=np.int64)

    def add(
        self,
        document: Int[np.ndarray, " n"],
        place: Int[np.ndarray, " n"],
        nats: Float[np.ndarray, " n"],
        hits: Int[np.ndarray, " n"],
    ) -> None:
        """Add n targets to the sums.

        Args:
            document: the number of each target's document.
            place: which of its document's targets it is, from 0.
            nats: of each target.
            hits: 1 where the prediction was right, else 0.
        """
        unit = self._first[document] + place * self._parts[document] // self._targets_of[document]
        np.add.at(self._nats, unit, nats)
        np.add.at(self._targets, unit, 1)
        np.add.at(self._hits, unit, hits)

    def sums(self) -> UnitSums:
        """Return what has been added so far."""
        return UnitSums(self._nats, self._targets, self._bytes, self._hits)
