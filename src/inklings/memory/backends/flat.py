"""The backend `flat`: FAISS compares every query with every vector."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from inklings.memory.backends.faiss_library import answer, library
from inklings.memory.backends.on_gpu import OnGpu
from inklings.memory.rows import Rows


class Flat:
    """An `IndexFlatL2` whose own array is kept dense: a removed vector is replaced by the last.

    Args:
        dimension: the size of a vector.
        gpu: whether a copy on a GPU is searched.

    Raises:
        MissingExtraError: FAISS is not installed.
        ConfigError: it cannot search on a GPU here.
    """

    name = "flat"
    ready = True

    def __init__(self, dimension: int, *, gpu: bool = False) -> None:
        self._faiss = library(self.name)
        self._gpu = OnGpu(self._faiss) if gpu else None
        self.dimension = dimension
        self._rows = Rows()
        self._index: Any = self._faiss.IndexFlatL2(dimension)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Take in new vectors under new ids.

        Raises:
            InputError: an id is there already; nothing was added.
        """
        self._rows.add(ids)
        self._index.add(np.ascontiguousarray(vectors))
        self._changed()

    def update(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Put other vectors under known ids.

        Raises:
            InputError: an id is unknown or given twice; nothing was changed.
        """
        self._stored()[self._rows.find_each(ids)] = vectors
        self._changed()

    def remove(self, ids: Int64[np.ndarray, " n"]) -> None:
        """Remove vectors.

        Raises:
            InputError: an id is unknown or given twice; nothing was removed.
        """
        stored = self._stored()
        holes, movers = self._rows.remove(ids)
        stored[holes] = stored[movers]
        self._index.codes.resize(4 * self.dimension * len(self))
        self._index.ntotal = len(self)
        self._changed()

    def search(
        self, queries: Float32[np.ndarray, "q d"], k: int
    ) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
        """Return ids and squared distances of the nearest k, as near as FAISS computes them.

        Missing ones are -1 at distance infinity.
        """
        search = answer if self._gpu is None else self._gpu.search
        distances, rows = search(self._index, np.ascontiguousarray(queries), k)
        there = rows >= 0
        if there.all():
            return self._rows.ids[rows], distances
        ids = np.full(rows.shape, -1, np.int64)
        ids[there] = self._rows.ids[rows[there]]
        return ids, np.where(there, distances, np.float32(np.inf))

    def vectors(self, ids: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n d"]:
        """Return the vectors under these ids, as they were added.

        Raises:
            InputError: an id is unknown.
        """
        found: Float32[np.ndarray, "n d"] = self._stored()[self._rows.find(ids)]
        return found

    def copy(self) -> Flat:
        """Return the same vectors and answers, to be changed on its own."""
        other = copy(self)
        other._gpu = None if self._gpu is None else OnGpu(self._faiss)
        other.compact()
        return other

    def compact(self) -> None:
        """Move what is kept into arrays that have room for no more."""
        self._rows, self._index = self._rows.copy(), self._faiss.clone_index(self._index)

    def state(self) -> dict[str, np.ndarray]:
        """Return the order of the vectors: of equally near ones FAISS takes the first."""
        return {"order": self._rows.ids.copy()}

    def restore(
        self,
        ids: Int64[np.ndarray, " n"],
        vectors: Float32[np.ndarray, "n d"],
        state: dict[str, np.ndarray],
    ) -> None:
        """Load what was saved into an empty index.

        Args:
            ids: of the vectors.
            vectors: one for each id.
            state: what `state` returned.
        """
        order = state["order"]
        self.add(order, vectors if np.array_equal(order, ids) else in_order(ids, vectors, order))

    def _changed(self) -> None:
        if self._gpu is not None:
            self._gpu.changed()

    def _stored(self) -> Float32[np.ndarray, "n d"]:
        """Return FAISS's own array, a view that the next `add` may move."""
        if not len(self):
            return np.empty((0, self.dimension), np.float32)
        view = self._faiss.rev_swig_ptr(self._index.get_xb(), len(self) * self.dimension)
        return np.asarray(view).reshape(len(self), self.dimension)


def in_order(
    ids: Int64[np.ndarray, " n"],
    vectors: Float32[np.ndarray, "n d"],
    order: Int64[np.ndarray, " n"],
) -> np.ndarray:
    """Rearrange vectors from one order of ids to another.

    Args:
        ids: of the vectors.
        vectors: one for each id.
        order: the same ids in the wanted order.
    """
    by_id = ids.argsort()
    return vectors[by_id[np.searchsorted(ids, order, sorter=by_id)]]
