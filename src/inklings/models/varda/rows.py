"""The rows of a pass of `varda`: for each its memory, its pending segment, and its hits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int64
from torch import Tensor

from inklings.memory.settings import MemoryConfig
from inklings.memory.streams import Stream
from inklings.models.varda.config import VardaConfig

SAME = 1e-5
"""Squared distances, and scores, that differ by less are the same: entries of one context are equal
but for rounding.
"""

WriteOrder = Literal["all", "random", "priority"]


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How memories are written and searched."""

    memory: MemoryConfig
    k: int
    segment: int
    order: WriteOrder
    """Which of a segment's entries are written: all, some at random, or those of the highest
    priority.
    """
    budget: float
    """The share of a segment's entries that is written."""
    scored: bool
    """Whether the score of an entry is its gate, rather than 1."""
    clear: bool
    """Whether a new document begins with an empty memory."""
    frozen: bool
    """Whether nothing is written."""
    decay: float
    forget: float
    delete_within: float
    """L2 distance from a position's deletable vector within which an entry may be deleted; 0: none
    is.
    """
    seed: int

    @classmethod
    def of(cls, config: VardaConfig, dimension: int) -> Habits:
        """Return the habits that a model's settings ask for, with vectors of this size."""
        memory = MemoryConfig(
            dimension=dimension,
            capacity=config.memory_size,
            backend=config.index_type,
            eviction=config.eviction,
            clusters=config.num_clusters,
            seed=config.memory_seed,
        )
        return cls(
            memory=memory,
            k=config.num_search_results,
            segment=config.segment,
            order=(
                "all"
                if config.write == "all"
                else "random"
                if config.write == "random"
                else "priority"
            ),
            budget=config.write_budget,
            scored=config.write == "learned",
            clear=config.clear_at == "document",
            frozen=config.frozen,
            decay=config.decay,
            forget=config.forgetfulness_factor,
            delete_within=config.delete_within,
            seed=config.memory_seed,
        )


@dataclass
class Pending:
    """What was read since the last segment was written: the columns of a segment, not yet full."""

    keys: Float32[np.ndarray, "S D"]
    tokens: Int64[np.ndarray, " S"]
    priority: Float32[np.ndarray, " S"]
    deletable: Float32[np.ndarray, "S D"] | None = None
    delete_gates: Float32[np.ndarray, "S k"] | None = None
    queries: Float32[np.ndarray, "S D"] | None = None
    """What was searched with; this and the two before it are there where entries are deleted."""


@dataclass
class MemoryRow:
    """One row of the batch while a pass reads it."""

    stream: Stream
    position: int
    """Tokens of the document that were read."""
    document: int
    pending: Pending
    owned: bool
    """Whether the stream may be written to in place."""
    gate_ids: list[Int64[np.ndarray, " n"]] = field(default_factory=list)
    """Entries written in this pass, whose gates have a graph, ascending."""
    gate_places: list[Int64[np.ndarray, " n"]] = field(default_factory=list)
    """The positions of the pass that they were written for; -1 where an earlier pass read it."""
    fades: dict[int, Tensor] = field(default_factory=dict)
    """Log of what is left of an entry after the soft deletions of this pass."""
    begun: int = 0
    """The position of the pass at which the pending segment begins; negative if it began before."""


@dataclass(frozen=True)
class Found:
    """The hits of each position, the nearest first, as arrays over rows, positions and k.

    See `memory.Hits`.
    """

    ids: Int64[np.ndarray, "B T k"]
    distances: Float32[np.ndarray, "B T k"]
    edges: Float32[np.ndarray, "B T"]
    """Distance of the first that was not taken; infinite where all were."""
    values: Int64[np.ndarray, "B T k"]
    positions: Int64[np.ndarray, "B T k"]
    documents: Int64[np.ndarray, "B T k"]
    ages: Int64[np.ndarray, "B T k"]
    uses: Int64[np.ndarray, "B T k"]
    scores: Float32[np.ndarray, "B T k"]
    vectors: Float32[np.ndarray, "B T w D"]
    """The vectors of each hit; empty (k = 0) where no reader asks for them."""

    @classmethod
    def nothing(cls, rows: int, length: int, k: int, dimension: int, *, vectors: bool) -> Found:
        """Make room for hits, with none in it.

        Args:
            rows: B.
            length: T.
            k: how many hits a position may have.
            dimension: the size of vectors.
            vectors: whether there is room for the hits' vectors.
        """
        shape = (rows, length, k)
        numbers = {
            name: np.full(shape, -1, np.int64)
            for name in ("ids", "values", "positions", "documents", "ages", "uses")
        }
        return cls(
            distances=np.full(shape, np.inf, np.float32),
            edges=np.full((rows, length), np.inf, np.float32),
            scores=np.zeros(shape, np.float32),
            vectors=np.zeros((rows, length, k if vectors else 0, dimension), np.float32),
            **numbers,
        )
