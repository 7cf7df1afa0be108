"""Entries of a memory without their vectors, and hits of a search."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float32, Int64


@dataclass(frozen=True)
class Entries:
    """Entries, one a row; ids are never used twice, a higher one is a later one."""

    ids: Int64[np.ndarray, " n"]
    values: Int64[np.ndarray, " n"]
    """The token that followed each."""
    positions: Int64[np.ndarray, " n"]
    """The place of each value in its document."""
    documents: Int64[np.ndarray, " n"]
    times: Int64[np.ndarray, " n"]
    """What the memory's clock said when the entry was added."""
    uses: Int64[np.ndarray, " n"]
    """How often a search gave the entry back."""
    scores: Float32[np.ndarray, " n"]
    """How much the entry is worth; ageing lowers it."""

    @classmethod
    def empty(cls, count: int) -> Entries:
        """Make room for a number of entries."""
        return cls(
            *(
                np.zeros(count, np.float32 if field.name == "scores" else np.int64)
                for field in fields(cls)
            )
        )


@dataclass(frozen=True)
class Hits:
    """The k nearest entries of each query, the nearest first.

    Where there are fewer, id, value, position, document, age and uses are -1.
    """

    ids: Int64[np.ndarray, "q k"]
    distances: Float32[np.ndarray, "q k"]
    """Squared L2; infinity where there is no entry."""
    values: Int64[np.ndarray, "q k"]
    positions: Int64[np.ndarray, "q k"]
    documents: Int64[np.ndarray, "q k"]
    ages: Int64[np.ndarray, "q k"]
    """Steps of the memory's clock since the entry was added."""
    uses: Int64[np.ndarray, "q k"]
    """How often earlier searches have found the entry."""
    scores: Float32[np.ndarray, "q k"]
    """0 where there is no entry."""


@dataclass(frozen=True)
class Span:
    """For each query, positions of one document, `first` to `last`, both included.

    They are what it can see without a memory.
    """

    documents: Int64[np.ndarray, " q"]
    first: Int64[np.ndarray, " q"]
    last: Int64[np.ndarray, " q"]

    def of(self, queries: Int64[np.ndarray, " m"]) -> Span:
        """Return the spans of some of the queries."""
        return Span(self.documents[queries], self.first[queries], self.last[queries])


@dataclass(frozen=True)
class Info:
    """The size of a memory, and how good its answers are."""

    count: int
    capacity: int
    dimension: int
    backend: str
    ready: bool
    """Whether the backend answers by its own means; until it has enough vectors it answers as
    `exact` does.
    """
    eviction: str
    clock: int
    recall: float | None
    """Share of the `recall_at` truly nearest entries that a search finds, for noisy copies of its
    own keys; None when empty.
    """
    recall_at: int
