"""A table from ids to rows of a dense array: constant time to add, find and remove."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from inklings.errors import InputError


class Rows:
    """Ids in rows 0 .. n-1 without gaps; when one is removed, the last row moves into the hole.

    The caller keeps its own arrays in the same order: it fills the rows that `add` names and
    repeats the moves that `remove` names.
    """

    def __init__(self) -> None:
        self._ids: Int64[np.ndarray, " size"] = np.empty(0, np.int64)
        self._row_of: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._row_of)

    def copy(self) -> Rows:
        """Return the same ids in the same rows, to be changed on its own."""
        other = Rows()
        other._ids, other._row_of = self.ids.copy(), self._row_of.copy()
        return other

    @property
    def ids(self) -> Int64[np.ndarray, " n"]:
        """The id of every row, a view."""
        return self._ids[: len(self._row_of)]

    def add(self, ids: Int64[np.ndarray, " m"]) -> slice:
        """Take in new ids; returns the rows they got.

        Raises:
            InputError: an id is there already, or is given twice; nothing was added.
        """
        start, stop = len(self), len(self) + len(ids)
        given = ids.tolist()
        if len(set(given)) < len(given):
            raise InputError(
                f"an id is given twice among the {len(given)} to add; every entry has its own."
            )
        if self._row_of and not self._row_of.keys().isdisjoint(given):
            known = next(i for i in given if i in self._row_of)
            raise InputError(
                f"an entry with id {known} is there already; ids are never used twice."
            )
        if stop > len(self._ids):
            self._ids = np.concatenate([self.ids, np.empty(max(stop, 2 * start) - start, np.int64)])
        self._ids[start:stop] = ids
        self._row_of.update(zip(given, range(start, stop), strict=True))
        return slice(start, stop)

    def row(self, known: int) -> int:
        """Return the row of one id, -1 if the id is unknown."""
        return self._row_of.get(known, -1)

    def find(self, ids: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
        """Look up the row of each id.

        Raises:
            InputError: an id is unknown.
        """
        rows = self.find_known(ids)
        if (rows < 0).any():
            unknown = ids[rows < 0]
            raise InputError(
                f"there is no entry with id {unknown[0]} ({len(unknown)} of {len(ids)} ids are"
                " unknown): removed, or never given."
            )
        return rows

    def find_each(self, ids: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
        """Return the row of each id, all different.

        Raises:
            InputError: an id is unknown or given twice.
        """
        rows = self.find(ids)
        if len(set(rows.tolist())) < len(rows):
            raise InputError(f"an id is given twice among {len(ids)}; name each once.")
        return rows

    def find_known(self, ids: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
        """Return the row of each id, -1 where the id is unknown."""
        get = self._row_of.get
        return np.fromiter((get(i, -1) for i in ids.tolist()), np.int64, len(ids))

    def remove(
        self, ids: Int64[np.ndarray, " m"]
    ) -> tuple[Int64[np.ndarray, " moves"], Int64[np.ndarray, " moves"]]:
        """Remove ids.

        Returns `(holes, movers)`: what lay in row `movers[i]` now belongs in row `holes[i]`.

        Raises:
            InputError: an id is unknown or given twice; nothing was removed.
        """
        rows = self.find_each(ids)
        count = len(self) - len(rows)
        kept = np.ones(len(self) - count, np.bool_)
        kept[rows[rows >= count] - count] = False
        holes, movers = rows[rows < count], count + np.flatnonzero(kept)
        self._ids[holes] = self._ids[movers]
        for known in ids.tolist():
            del self._row_of[known]
        self._row_of.update(zip(self._ids[holes].tolist(), holes.tolist(), strict=True))
        return holes, movers
