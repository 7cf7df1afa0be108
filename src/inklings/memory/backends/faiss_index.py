"""The approximate backends `ivf`, `ivfpq` and `hnsw` by FAISS, built by rule from their vectors.

Each keeps its vectors in an `Exact` as well. That one answers until there are enough vectors to
build from, gives the vectors back as they were added, and measures the candidates that FAISS finds:
distances are always the true ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from inklings.memory.backends.exact import Exact
from inklings.memory.backends.faiss_library import answer, library, one_thread
from inklings.memory.backends.flat import in_order
from inklings.memory.backends.on_gpu import OnGpu

VECTORS_A_CLUSTER = 39
"""Fewest vectors that k-means takes for one centre."""
FEWEST_CLUSTERS = 16
"""With fewer than these there is nothing to gain over comparing with every vector."""
GROWTH = 4
"""Clusters are learned anew when this many times the vectors they were learned from have been
there, counting those that left.
"""
DEAD_SHARE = 0.3
"""A graph is built anew when more than this share of its nodes is removed."""


class Approximate(ABC):
    """The base of the three approximate backends: when to build, and exact distances."""

    name: str

    def __init__(self, dimension: int, capacity: int | None) -> None:
        self._faiss = library(self.name)
        self.dimension = dimension
        self._exact = Exact(dimension, capacity=capacity, products="float32")
        self._index: Any = None
        self._built_from = self._added = 0

    def __len__(self) -> int:
        return len(self._exact)

    @property
    def ready(self) -> bool:
        """Whether the index is built; until then the answers are those of `exact`."""
        return self._index is not None

    def add(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Take in new vectors under new ids; builds the index when the rule says so.

        Raises:
            InputError: an id is there already; nothing was added.
        """
        self._exact.add(ids, vectors)
        self._added += len(ids)
        if self._due():
            self._build()
        elif self.ready:
            self._put(ids, vectors)

    def update(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Put other vectors under known ids.

        Raises:
            InputError: an id is unknown or given twice; nothing was changed.
        """
        self._exact.update(ids, vectors)
        self._added += len(ids)
        if self.ready:
            self._delete(ids)
            self._put(ids, vectors)
            self._rebuild_if_due()

    def remove(self, ids: Int64[np.ndarray, " n"]) -> None:
        """Remove vectors.

        Raises:
            InputError: an id is unknown or given twice; nothing was removed.
        """
        self._exact.remove(ids)
        if self.ready:
            self._delete(ids)
            self._rebuild_if_due()

    def search(
        self, queries: Float32[np.ndarray, "q d"], k: int
    ) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
        """Return ids and squared distances of near vectors, nearest first.

        Missing ones are -1 at distance infinity.
        """
        if not self.ready or not len(self):
            return self._exact.search(queries, k)
        ids, distances = self._exact.rank(
            queries, self._candidates(np.ascontiguousarray(queries), k), k
        )
        # the clusters that were looked into hold too few, or not all of the graph can be reached
        short = (ids >= 0).sum(1) < min(k, len(self))
        if short.any():
            ids[short], distances[short] = self._exact.search(queries[short], k)
        return ids, distances

    def vectors(self, ids: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n d"]:
        """Return the vectors under these ids, as they were added.

        Raises:
            InputError: an id is unknown.
        """
        return self._exact.vectors(ids)

    def copy(self) -> Approximate:
        """Return the same vectors and answers, to be changed on its own."""
        other = copy(self)
        other._exact = self._exact.copy()
        if self.ready:
            other._index = self._faiss.clone_index(self._index)
        return other

    def compact(self) -> None:
        """Move what is kept into arrays that have room for no more."""
        self._exact.compact()
        if self.ready:
            self._index = self._faiss.clone_index(self._index)

    def state(self) -> dict[str, np.ndarray]:
        """Return the index as FAISS writes it, and what it was built from.

        The order of the vectors is part of it: it decides what is built next.
        """
        state = {
            "order": self._exact.ids.copy(),
            "built_from": np.array([self._built_from, self._added]),
        }
        if self.ready:
            state["faiss"] = np.array(self._faiss.serialize_index(self._index), dtype=np.uint8)
        return state

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
        self._exact.restore(
            order, vectors if np.array_equal(order, ids) else in_order(ids, vectors, order), {}
        )
        self._built_from, self._added = state["built_from"].tolist()
        if "faiss" in state:
            self._index = self._faiss.deserialize_index(state["faiss"])

    def _build(self) -> None:
        with one_thread(self._faiss):
            self._index = self._trained(self._exact.everything)
            self._insert(self._exact.ids, self._exact.everything)
        self._built_from, self._added = len(self), 0

    def _put(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        with one_thread(self._faiss):
            self._insert(ids, np.ascontiguousarray(vectors))

    def _rebuild_if_due(self) -> None:
        if self._due():
            self._build()

    @abstractmethod
    def _due(self) -> bool:
        """Return whether the index is to be built, or built anew, from the vectors there are."""

    @abstractmethod
    def _trained(self, vectors: Float32[np.ndarray, "n d"]) -> Any:
        """Return an empty index of FAISS that has learned what it must from these vectors."""

    @abstractmethod
    def _insert(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Put vectors into the index of FAISS."""

    @abstractmethod
    def _delete(self, ids: Int64[np.ndarray, " n"]) -> None:
        """Take vectors out of the index of FAISS, or see to it that they are not found."""

    @abstractmethod
    def _candidates(self, queries: Float32[np.ndarray, "q d"], k: int) -> Int64[np.ndarray, "q c"]:
        """Return at least k ids for each query, -1 where there are fewer."""


class IVF(Approximate):
    """Vectors sorted into clusters; the nearest clusters are searched.

    Clusters are learned from the vectors themselves, by seeded k-means: at most one for every 39
    vectors, not before there are 624, and anew whenever three times as many vectors have come as
    they were learned from: the count has grown fourfold, or the memory has turned over.

    Args:
        dimension: the size of a vector.
        clusters: how many at most.
        probes: how many of them a search looks into.
        seed: of k-means.
        capacity: how many vectors there will be at most, if that is known.
        gpu: whether a copy on a GPU is searched.

    Raises:
        MissingExtraError: FAISS is not installed.
        ConfigError: it cannot search on a GPU here.
    """

    name = "ivf"

    def __init__(
        self,
        dimension: int,
        *,
        clusters: int = 1024,
        probes: int = 32,
        seed: int = 0,
        capacity: int | None = None,
        gpu: bool = False,
    ) -> None:
        super().__init__(dimension, capacity)
        self.clusters, self.probes, self.seed = clusters, probes, seed
        self._gpu = OnGpu(self._faiss) if gpu else None

    def _due(self) -> bool:
        if len(self) < VECTORS_A_CLUSTER * min(FEWEST_CLUSTERS, self.clusters):
            return False
        return not self.ready or self._built_from + self._added >= GROWTH * self._built_from

    def _trained(self, vectors: Float32[np.ndarray, "n d"]) -> Any:
        index = self._empty(min(self.clusters, len(vectors) // VECTORS_A_CLUSTER), len(vectors))
        index.cp.seed = self.seed
        index.train(vectors)
        return self._with_table(index)

    def copy(self) -> IVF:
        """Return the same vectors and answers, to be changed on its own."""
        other = super().copy()
        assert isinstance(other, IVF)
        other._gpu = None if self._gpu is None else OnGpu(self._faiss)
        return other

    def state(self) -> dict[str, np.ndarray]:
        """Give the state of an inverted index without its table of ids.

        FAISS writes that table in no particular order, and it follows from the rest.
        """
        if not self.ready:
            return super().state()
        self._index.set_direct_map_type(self._faiss.DirectMap.NoMap)
        try:
            return super().state()
        finally:
            self._with_table(self._index)

    def restore(
        self,
        ids: Int64[np.ndarray, " n"],
        vectors: Float32[np.ndarray, "n d"],
        state: dict[str, np.ndarray],
    ) -> None:
        """Take in what was saved, into an empty index."""
        super().restore(ids, vectors, state)
        if self.ready:
            self._with_table(self._index)

    def _with_table(self, index: Any) -> Any:
        """Give the index a table of ids, by which removing takes constant time."""
        index.set_direct_map_type(self._faiss.DirectMap.Hashtable)
        return index

    def _empty(self, clusters: int, count: int) -> Any:
        return self._faiss.IndexIVFFlat(
            self._faiss.IndexFlatL2(self.dimension), self.dimension, clusters
        )

    def _insert(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        self._index.add_with_ids(vectors, ids)
        self._changed()

    def _delete(self, ids: Int64[np.ndarray, " n"]) -> None:
        ids = np.ascontiguousarray(ids)
        self._index.remove_ids(self._faiss.IDSelectorArray(len(ids), self._faiss.swig_ptr(ids)))
        self._changed()

    def _changed(self) -> None:
        if self._gpu is not None:
            self._gpu.changed()

    def _candidates(self, queries: Float32[np.ndarray, "q d"], k: int) -> Int64[np.ndarray, "q c"]:
        probes, k = min(self.probes, self._index.nlist), min(k, len(self)) or 1
        if self._gpu is not None:
            return self._gpu.search(self._index, queries, k, probes=probes)[1]
        settings = self._faiss.SearchParametersIVF(nprobe=probes)
        return answer(self._index, queries, k, params=settings)[1]


class IVFPQ(IVF):
    """An inverted index like `IVF`, with the vectors kept as short codes.

    More candidates than asked for are measured exactly.

    Args:
        dimension: the size of a vector.
        code_bytes: parts that a vector is cut into, each coded in a byte (in half a byte below 9984
            vectors); a divisor of the dimension, or 0 for the largest divisor up to a quarter of
            it.
        refine: how many times k candidates are measured exactly.
        clusters: how many at most.
        probes: how many of them a search looks into.
        seed: of k-means.
        capacity: how many vectors there will be at most, if that is known.

    Raises:
        MissingExtraError: FAISS is not installed.
    """

    name = "ivfpq"

    def __init__(
        self,
        dimension: int,
        *,
        code_bytes: int = 0,
        refine: int = 8,
        clusters: int = 1024,
        probes: int = 32,
        seed: int = 0,
        capacity: int | None = None,
    ) -> None:
        super().__init__(dimension, clusters=clusters, probes=probes, seed=seed, capacity=capacity)
        quarter = max(1, dimension // 4)
        self.code_bytes = code_bytes or next(
            parts for parts in range(quarter, 0, -1) if dimension % parts == 0
        )
        self.refine = refine

    def _empty(self, clusters: int, count: int) -> Any:
        bits = 8 if count >= VECTORS_A_CLUSTER * 256 else 4
        index = self._faiss.IndexIVFPQ(
            self._faiss.IndexFlatL2(self.dimension), self.dimension, clusters, self.code_bytes, bits
        )
        index.pq.cp.seed = self.seed
        return index

    def _due(self) -> bool:
        # a code of half a byte needs 39 vectors for each of its 16 values, however few clusters
        # there are
        return len(self) >= VECTORS_A_CLUSTER * FEWEST_CLUSTERS and super()._due()

    def _candidates(self, queries: Float32[np.ndarray, "q d"], k: int) -> Int64[np.ndarray, "q c"]:
        return super()._candidates(queries, k * self.refine)
