"""The slots of a memory: one row an entry, with what is known about it in columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, Shaped
from numpy.typing import NDArray

from inklings.memory.entries import Entries, Hits
from inklings.memory.rows import Rows
from inklings.memory.settings import MemoryConfig

COLUMNS = tuple(field.name for field in fields(Entries)[1:])
"""Names of what is known about an entry beside its id."""


class Slots:
    """A fixed number of rows, of which the first are taken, in no order that means anything.

    Attributes:
        rows: which entry stands in which row.
        columns: what is known about the entry of each row; ids are not kept twice.
        lengths: the L2 length of the vector of each row.
    """

    def __init__(self, capacity: int) -> None:
        self.rows = Rows()
        self.columns = Entries.empty(capacity)
        self.lengths = np.zeros(capacity, np.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def add(
        self,
        ids: Int64[np.ndarray, " n"],
        known: Mapping[str, NDArray[Any] | int],
        lengths: Float32[np.ndarray, " n"],
    ) -> slice:
        """Give rows to entries, and return the rows.

        Args:
            ids: of the entries.
            known: columns of facts about them.
            lengths: the L2 length of each vector.
        """
        part = self.rows.add(ids)
        for name, column in known.items():
            getattr(self.columns, name)[part] = column
        self.lengths[part] = lengths
        return part

    def remove(self, ids: Int64[np.ndarray, " n"]) -> None:
        """Free the rows of entries; the last rows move into the holes."""
        holes, movers = self.rows.remove(ids)
        for name in COLUMNS:
            column = getattr(self.columns, name)
            column[holes] = column[movers]
        self.lengths[holes] = self.lengths[movers]

    def entries(self, rows: Int64[np.ndarray, " n"]) -> Entries:
        """Return what is known about the entries of these rows, copied."""
        return Entries(
            self.rows.ids[rows], *(getattr(self.columns, name)[rows] for name in COLUMNS)
        )

    def hits(
        self,
        ids: Int64[np.ndarray, "q k"],
        distances: Float32[np.ndarray, "q k"],
        *,
        clock: int,
        count_uses: bool,
    ) -> Hits:
        """Add to the ids and distances of a search what is known about each entry.

        Args:
            ids: -1 stands for nothing.
            distances: of the same shape.
            clock: the memory's step, for ages.
            count_uses: whether the search counts as a use.
        """
        rows = self.rows.find_known(ids.reshape(-1)).reshape(ids.shape)
        there = rows >= 0

        def column(name: str) -> NDArray[Any]:
            return np.where(there, getattr(self.columns, name)[rows], 0 if name == "scores" else -1)

        ages = np.where(there, clock - self.columns.times[rows], -1)
        known = {
            name: column(name) for name in ("values", "positions", "documents", "uses", "scores")
        }
        if count_uses:
            np.add.at(self.columns.uses, rows[there], 1)
        return Hits(ids=ids, distances=distances, ages=ages, **known)

    def eviction_keys(self, config: MemoryConfig) -> Shaped[np.ndarray, " n"]:
        """Return what the eviction policy goes by, of every row: the lowest go first."""
        if config.eviction == "oldest":
            return self.rows.ids
        return (self.columns.uses if config.eviction == "least_used" else self.columns.scores)[
            : len(self)
        ]

    def copy(self) -> Slots:
        """Return the same rows, to be changed on their own."""
        other = Slots(len(self.lengths))
        other.rows = self.rows.copy()
        for name in COLUMNS:
            getattr(other.columns, name)[: len(self)] = getattr(self.columns, name)[: len(self)]
        other.lengths[: len(self)] = self.lengths[: len(self)]
        return other
