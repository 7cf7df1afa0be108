"""The approximate backend `hnsw`: a graph of near vectors, by FAISS."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from inklings.memory.backends.faiss_index import DEAD_SHARE, Approximate
from inklings.memory.backends.faiss_library import answer


class HNSW(Approximate):
    """A graph of neighbours, walked towards the query.

    A removed vector stays as a signpost that is never an answer.

    Args:
        dimension: the size of a vector.
        links: neighbours of a vector in the graph.
        build_width: candidates kept while a vector is linked.
        search_width: candidates kept while searching; k if that is more.
        capacity: how many vectors there will be at most, if that is known.

    Raises:
        MissingExtraError: FAISS is not installed.
    """

    name = "hnsw"

    def __init__(
        self,
        dimension: int,
        *,
        links: int = 32,
        build_width: int = 100,
        search_width: int = 128,
        capacity: int | None = None,
    ) -> None:
        super().__init__(dimension, capacity)
        self.links, self.build_width, self.search_width = links, build_width, search_width
        self._id_of = np.empty(0, np.int64)
        """The id of each node of the graph, -1 where it was removed."""
        self._node_of: dict[int, int] = {}

    def copy(self) -> HNSW:
        """Return the same vectors, graph and answers, to be changed on its own."""
        other = super().copy()
        assert isinstance(other, HNSW)
        other._id_of, other._node_of = self._nodes.copy(), self._node_of.copy()
        return other

    def compact(self) -> None:
        """Build the graph anew without the removed vectors."""
        super().compact()
        if self.ready and self._index.ntotal > len(self):
            self._id_of = np.empty(0, np.int64)
            self._build()
        self._id_of, self._node_of = self._nodes.copy(), self._node_of.copy()

    def state(self) -> dict[str, np.ndarray]:
        """Give the graph as FAISS writes it, and which node is which vector."""
        return {**super().state(), "nodes": self._nodes.copy()}

    def restore(
        self,
        ids: Int64[np.ndarray, " n"],
        vectors: Float32[np.ndarray, "n d"],
        state: dict[str, np.ndarray],
    ) -> None:
        """Take in what was saved, into an empty index."""
        super().restore(ids, vectors, state)
        self._id_of = state["nodes"].copy()
        self._node_of = {
            known: node for node, known in enumerate(self._id_of.tolist()) if known >= 0
        }

    @property
    def _nodes(self) -> Int64[np.ndarray, " nodes"]:
        return self._id_of[: self._index.ntotal if self.ready else 0]

    def _due(self) -> bool:
        if not len(self):
            return False
        return not self.ready or self._index.ntotal - len(self) > DEAD_SHARE * self._index.ntotal

    def _trained(self, vectors: Float32[np.ndarray, "n d"]) -> Any:
        index = self._faiss.IndexHNSWFlat(self.dimension, self.links)
        index.hnsw.efConstruction = self.build_width
        self._node_of = {}
        return index

    def _insert(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        start, stop = self._index.ntotal, self._index.ntotal + len(ids)
        if stop > len(self._id_of):
            self._id_of = np.concatenate(
                [self._id_of[:start], np.empty(max(stop, 2 * start) - start, np.int64)]
            )
        # FAISS does not save the state of its generator; with one for each call, a graph reopened
        # grows as the first would
        self._index.hnsw.rng = self._faiss.RandomGenerator(start)
        self._index.add(vectors)
        self._id_of[start:stop] = ids
        self._node_of.update(zip(ids.tolist(), range(start, stop), strict=True))

    def _delete(self, ids: Int64[np.ndarray, " n"]) -> None:
        nodes = [self._node_of.pop(known) for known in ids.tolist()]
        self._id_of[nodes] = -1

    def _candidates(self, queries: Float32[np.ndarray, "q d"], k: int) -> Int64[np.ndarray, "q c"]:
        k = min(k, len(self))
        found = np.full((len(queries), k), -1, np.int64)
        left = np.arange(len(queries))
        asked = k if self._index.ntotal == len(self) else max(self.search_width, k)
        while len(left):
            settings = self._faiss.SearchParametersHNSW(efSearch=max(self.search_width, asked))
            nodes = answer(
                self._index, queries[left], min(asked, self._index.ntotal), params=settings
            )[1]
            ids = np.where(nodes >= 0, self._nodes[nodes], -1)
            order = np.argsort(ids < 0, axis=1, kind="stable")[:, :k]
            found[left] = np.take_along_axis(ids, order, 1)
            if asked >= self._index.ntotal:
                break
            # all that is near may be removed: look further, until enough is alive
            left = left[(ids >= 0).sum(1) < k]
            asked *= 2
        return found
