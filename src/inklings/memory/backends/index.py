"""The interface of a memory's backend: keep vectors under ids, and find the nearest."""

from __future__ import annotations

import contextlib
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64

from inklings.errors import InklingsError


@runtime_checkable
class Index(Protocol):
    """Vectors of one size under ids that the store gives out, never twice.

    Distances are squared L2, the nearest first. Ids that are unknown, known already or given twice
    are an `InputError`, and the index stays as it was before the call.
    """

    name: str
    """`exact`, `flat`, `ivf`, `ivfpq`, `hnsw` or `pgvector`."""
    dimension: int

    def add(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Take in new vectors under new ids."""
        ...

    def remove(self, ids: Int64[np.ndarray, " n"]) -> None:
        """Forget vectors; they are never found again, whatever the backend has to do for that."""
        ...

    def update(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Put other vectors under known ids, all or none."""
        ...

    def search(
        self, queries: Float32[np.ndarray, "q d"], k: int
    ) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
        """Return ids and distances of the nearest k, nearest first.

        Missing ones are -1 at distance infinity.
        """
        ...

    def vectors(self, ids: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n d"]:
        """Return the vectors under these ids, as they were added."""
        ...

    def compact(self) -> None:
        """Give back the room that removed vectors left.

        Ids, vectors and, but for what is approximate, answers stay.
        """
        ...

    def __len__(self) -> int:
        """Return how many vectors there are."""
        ...


@runtime_checkable
class LocalIndex(Index, Protocol):
    """A backend within this process.

    It can be copied, saved with the store, and may have to be trained before it is ready.
    """

    @property
    def ready(self) -> bool:
        """Whether it answers by its own means; until then it answers as `exact` does."""
        ...

    def copy(self) -> LocalIndex:
        """Return an index that gives the same answers, to be changed on its own."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Return what decides the answers beside the ids and the vectors."""
        ...

    def restore(
        self,
        ids: Int64[np.ndarray, " n"],
        vectors: Float32[np.ndarray, "n d"],
        state: dict[str, np.ndarray],
    ) -> None:
        """Load what was saved into an empty index.

        Args:
            ids: of the vectors.
            vectors: may be kept and written to.
            state: what `state` returned.
        """
        ...


@runtime_checkable
class SharedIndex(Index, Protocol):
    """A backend outside of this process, which others may write to at the same time."""

    def new_ids(self, count: int, above: int) -> Int64[np.ndarray, " count"]:
        """Reserve ascending ids from `above` on, which no other memory has or will be given."""
        ...

    def exchange(
        self,
        leaving: Int64[np.ndarray, " m"],
        ids: Int64[np.ndarray, " n"],
        vectors: Float32[np.ndarray, "n d"],
    ) -> None:
        """Remove vectors and add others, all or nothing.

        Args:
            leaving: ids that are removed.
            ids: ids of the new vectors.
            vectors: one for each new id.
        """
        ...


def exchange(
    index: Index,
    leaving: Int64[np.ndarray, " m"],
    ids: Int64[np.ndarray, " n"],
    vectors: Float32[np.ndarray, "n d"],
) -> None:
    """Remove entries of any index and add others.

    Args:
        index: the index.
        leaving: ids that are removed.
        ids: ids of the new vectors.
        vectors: one for each new id.
    """
    if not len(leaving):
        index.add(ids, vectors)
        return
    if isinstance(index, LocalIndex):
        index.remove(leaving)
        index.add(ids, vectors)
        return
    if isinstance(index, SharedIndex):
        index.exchange(leaving, ids, vectors)
        return
    # a server may die in between: what is to leave must not be lost before the new is there
    index.add(ids, vectors)
    try:
        index.remove(leaving)
    except BaseException:
        with contextlib.suppress(InklingsError):
            index.remove(ids)
        raise
