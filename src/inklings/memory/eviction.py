"""Eviction: which entries leave when a memory is full."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import numpy as np
from jaxtyping import Int64, Shaped

from inklings.memory.rows import Rows

SHARE = 16
"""One look at all entries finds one in this many, the first to go."""


class Order:
    """The entries with the lowest keys, of equal keys the oldest.

    They are known beforehand, so that not every eviction looks at all. One look takes the first
    sixteenth into a heap. Later it is corrected and not made anew: an entry that has left, or whose
    key has risen, is found out when its turn comes, and those whose key is new or has fallen are
    reported by `lowered`. So another look comes only after as many entries have left or risen as
    the last one found: a change and an eviction each cost O(log n) amortised. When all keys have
    changed, `forget` is due, and a look.

    What is kept here follows from the keys: an empty one gives the same answers.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._bound: tuple[float, int] | None = None
        """Every entry with a key and id up to this one is in the heap, at that key or a lower one.
        """
        self._room = 0

    def forget(self) -> None:
        """Forget all keys: they may have changed."""
        self._heap, self._bound = [], None

    def lowered(self, keys: Shaped[np.ndarray, " m"], ids: Int64[np.ndarray, " m"]) -> None:
        """Note entries that are new, or whose keys may have fallen."""
        if self._bound is None:
            return
        key, known = self._bound
        before = (keys < key) | ((keys == key) & (ids <= known))
        for item in zip(keys[before].tolist(), ids[before].tolist(), strict=True):
            heappush(self._heap, item)
        if len(self._heap) > self._room:  # mostly what was lowered again and again
            self.forget()

    def first(
        self, count: int, keys: Shaped[np.ndarray, " n"], rows: Rows
    ) -> Int64[np.ndarray, " count"]:
        """Return the ids of the `count` entries that go first, lowest id first.

        They stay until they leave `rows`.

        Args:
            count: at most n.
            keys: of every row.
            rows: the entries there are.
        """
        if SHARE * count > len(rows):
            return lowest(keys, rows.ids, count)
        taken: dict[int, float] = {}
        while len(taken) < count:
            if not self._heap:
                self._look(keys, rows)
            # Entries that were removed, or whose keys have risen, are still in the heap: they are
            # dropped, or put back, only when they come up.
            key, known = heappop(self._heap)
            row = rows.row(known)
            if row < 0 or known in taken:
                continue
            now = keys[row].item()
            if key == now:
                taken[known] = key
            elif key < now and self._bound is not None and (now, known) <= self._bound:
                heappush(self._heap, (now, known))
        for known, key in taken.items():
            heappush(self._heap, (key, known))
        return np.array(sorted(taken), np.int64)

    def _look(self, keys: Shaped[np.ndarray, " n"], rows: Rows) -> None:
        ids = lowest(keys, rows.ids, -(-len(rows) // SHARE))
        self._heap = list(zip(keys[rows.find(ids)].tolist(), ids.tolist(), strict=True))
        self._bound, self._room = max(self._heap), len(rows)
        heapify(self._heap)


def lowest(
    keys: Shaped[np.ndarray, " n"], ids: Int64[np.ndarray, " n"], count: int
) -> Int64[np.ndarray, " count"]:
    """Return the ids of the entries with the lowest keys; of equal keys, the lowest ids.

    Args:
        keys: one for each entry.
        ids: one for each entry; a lower id is older.
        count: how many are returned.
    """
    if count >= len(ids):
        return np.sort(ids)
    if count == 0:
        return ids[:0]
    # Linear time, where sorting would be n log n at every eviction.
    threshold = np.partition(keys, count - 1)[count - 1]
    below, equal = ids[keys < threshold], ids[keys == threshold]
    wanted = count - len(below)
    return np.sort(np.concatenate([below, np.partition(equal, wanted - 1)[:wanted]]))
