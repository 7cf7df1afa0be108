"""The associative memory: vectors with the token that followed them, found again by nearness.

It never has more entries than its capacity.
"""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from inklings.errors import InputError
from inklings.memory.arrays import checked_column, checked_ids, checked_vectors, lengths
from inklings.memory.backends.index import Index, LocalIndex, SharedIndex, exchange
from inklings.memory.entries import Entries, Hits, Info, Span
from inklings.memory.eviction import Order
from inklings.memory.filters import nearest
from inklings.memory.recall import noisy_keys, recall
from inklings.memory.settings import MemoryConfig, make_index
from inklings.memory.slots import COLUMNS, Slots

LAST = 2**63 - 1
"""The last step that the clock can count."""

__all__ = ["Entries", "Hits", "Info", "Memory", "MemoryConfig", "Span"]


class Memory:
    """A fixed number of slots for entries: a vector, the token that followed it, and its place.

    Removing takes constant time and adding to a full memory O(log n), both amortised: about once in
    n / 16 evictions every entry is looked at, and at the first eviction by `lowest_score` after
    scores have aged. What the backend needs beside that is its own. A call that raises leaves the
    memory as it was.

    Args:
        config: size, backend and eviction.
        index: the backend itself, where the caller made it (`pgvector`, or one of their own);
            empty, or a table that other memories use too: each finds and counts only its own
            entries.

    Raises:
        MissingExtraError: the backend needs FAISS, which is not installed.
        ConfigError: the backend is `pgvector` and no index is given.
        InputError: the index given is of another dimension.
    """

    def __init__(self, config: MemoryConfig, index: Index | None = None) -> None:
        self.config = config
        self.index: Index = make_index(config) if index is None else index
        if self.index.dimension != config.dimension:
            raise InputError(
                f"the index holds vectors of size {self.index.dimension}, the memory of size"
                f" {config.dimension}."
            )
        self.clock = 0
        """Steps so far, as counted by `age`."""
        self.next_id = 0
        """What the next entry is called; ids below it are never given again."""
        self._slots = Slots(config.capacity)
        self._order = Order()

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def ids(self) -> Int64[np.ndarray, " n"]:
        """The ids of all entries, in no order that means anything."""
        return self._slots.rows.ids.copy()

    def add(
        self,
        vectors: NDArray[np.floating],
        *,
        values: NDArray[np.integer],
        positions: NDArray[np.integer],
        documents: NDArray[np.integer],
        scores: NDArray[np.floating] | None = None,
    ) -> Int64[np.ndarray, " n"]:
        """Take in entries, first making room for them by the eviction policy if there is none.

        Returns their ids.

        Args:
            vectors: (n, d), finite.
            values: (n,), the token that followed each.
            positions: (n,), of the values in their documents.
            documents: (n,), numbers of the documents.
            scores: (n,), what each is worth; 1 if None.

        Raises:
            InputError: a vector of the wrong size, numbers that are not finite as float32 or int64
                (or of a type that these cannot hold), arrays of unequal length, or more entries
                than the capacity.
        """
        keys = checked_vectors(vectors, self.config.dimension, "vectors")
        count, room = len(keys), self.config.capacity
        if count > room:
            raise InputError(
                f"{count} entries are to be added to a memory of capacity {room}; add at most"
                f" {room} at once."
            )
        facts = {"values": values, "positions": positions, "documents": documents}
        columns = {
            name: checked_column(name, given, count, np.int64) for name, given in facts.items()
        }
        columns["scores"] = checked_column(
            "scores", np.ones(count) if scores is None else scores, count, np.float32
        )
        leaving = self._victims(len(self) + count - room)
        if count and isinstance(self.index, SharedIndex):
            ids = self.index.new_ids(count, self.next_id)
        else:
            ids = np.arange(self.next_id, self.next_id + count, dtype=np.int64)
        if not count:
            return ids
        self.next_id = int(ids[-1]) + 1
        exchange(self.index, leaving, ids, keys)
        self._slots.remove(leaving)
        part = self._slots.add(ids, {**columns, "times": self.clock, "uses": 0}, lengths(keys))
        self._order.lowered(self._slots.eviction_keys(self.config)[part], ids)
        return ids

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        documents: NDArray[np.integer] | None = None,
        leaving_out: Span | None = None,
        same: float = 0.0,
        count_uses: bool = True,
    ) -> Hits:
        """Return the k entries nearest to each query.

        Fewer, masked by id -1, where the memory or the filters leave fewer.

        Args:
            queries: (q, d), finite.
            k: how many, up to the capacity.
            documents: (q,), search only among the entries of this document.
            leaving_out: do not give entries of these positions: what the query's attention sees
                anyway.
            same: of entries whose squared distances differ by no more, the oldest come first:
                rounding decides nothing.
            count_uses: whether the entries given count this as a use.

        Raises:
            InputError: queries of the wrong size or not finite, k out of range, or filters for
                another number of queries.
        """
        points = checked_vectors(queries, self.config.dimension, "queries")
        if not 1 <= k <= self.config.capacity:
            raise InputError(
                f"k is {k}; a memory of capacity {self.config.capacity} gives 1 to"
                f" {self.config.capacity} hits."
            )
        if leaving_out is not None:
            leaving_out = Span(
                *(
                    checked_column(f.name, getattr(leaving_out, f.name), len(points), np.int64)
                    for f in fields(Span)
                )
            )
        if documents is not None:
            documents = checked_column("documents", documents, len(points), np.int64)
        known = self._slots.rows, self._slots.columns
        ids, distances = nearest(self.index, points, k, *known, leaving_out, documents, same)
        return self._slots.hits(ids, distances, clock=self.clock, count_uses=count_uses)

    def update(
        self,
        ids: NDArray[np.integer],
        *,
        vectors: NDArray[np.floating] | None = None,
        values: NDArray[np.integer] | None = None,
        positions: NDArray[np.integer] | None = None,
        documents: NDArray[np.integer] | None = None,
        scores: NDArray[np.floating] | None = None,
    ) -> None:
        """Change entries, each array as for `add`.

        What is None stays, and so do ids, times and uses.

        Args:
            ids: of the entries.
            vectors: new vectors.
            values: new tokens that followed.
            positions: new positions in the document.
            documents: new numbers of documents.
            scores: new scores.

        Raises:
            InputError: an id is unknown or given twice, or an array as for `add`.
        """
        chosen = self._chosen(ids)
        rows = self._slots.rows.find(chosen)
        facts = {"values": values, "positions": positions, "documents": documents, "scores": scores}
        columns = {
            name: checked_column(name, given, len(rows), getattr(self._slots.columns, name).dtype)
            for name, given in facts.items()
            if given is not None
        }
        if vectors is not None:
            keys = checked_vectors(vectors, self.config.dimension, "vectors")
            if len(keys) != len(rows):
                raise InputError(
                    f"{len(keys)} vectors are given for {len(rows)} entries; give one for each."
                )
            self.index.update(chosen, keys)
            self._slots.lengths[rows] = lengths(keys)
        for name, column in columns.items():
            getattr(self._slots.columns, name)[rows] = column
        self._order.lowered(self._slots.eviction_keys(self.config)[rows], chosen)

    def remove(self, ids: NDArray[np.integer]) -> None:
        """Remove entries for good.

        Raises:
            InputError: an id is unknown or given twice.
        """
        chosen = self._chosen(ids)
        if len(chosen):
            self.index.remove(chosen)
            self._slots.remove(chosen)

    def clear(self) -> None:
        """Forget all entries; their ids are not given again."""
        self.remove(self.ids)

    def age(self, decay: float = 1.0, steps: int = 1) -> None:
        """Let time pass: the clock goes on, and every score is multiplied by `decay`.

        Raises:
            InputError: a decay outside of 0 to 1, or negative steps.
        """
        if not 0 <= decay <= 1:
            raise InputError(
                f"decay is {decay}; it must be from 0 (scores become 0) to 1 (scores stay)."
            )
        if steps < 0:
            raise InputError(f"steps is {steps}; time does not run backwards: give 0 or more.")
        if self.clock + steps > LAST:
            raise InputError(
                f"steps is {steps}; the clock stands at {self.clock} and ends at {LAST}: give less."
            )
        self.clock += steps
        if decay != 1:
            self._slots.columns.scores[: len(self)] *= np.float32(decay)
            if self.config.eviction == "lowest_score":
                # the order stays, but scores that were not equal may be, and then the oldest goes
                self._order.forget()

    def forget(
        self, factor: float, generator: np.random.Generator
    ) -> Int64[np.ndarray, " forgotten"]:
        """Forget each entry with probability `factor`, independently.

        Returns the ids of those forgotten.

        Raises:
            InputError: a factor that is not a probability.
        """
        if not 0 <= factor <= 1:
            raise InputError(f"factor is {factor}; it is a probability: give 0 to 1.")
        # in the order of the ids, so that the same generator forgets the same entries after any
        # detours
        chosen = np.sort(self._slots.rows.ids)
        chosen = chosen[generator.random(len(chosen)) < factor]
        self.remove(chosen)
        return chosen

    def evict(self, count: int) -> Int64[np.ndarray, " evicted"]:
        """Remove the `count` entries that the eviction policy gives up first, and return their ids.

        All of them, if there are fewer.

        Raises:
            InputError: a negative count.
        """
        if count < 0:
            raise InputError(f"count is {count}; it must be 0 or more.")
        leaving = self._victims(count)
        self.remove(leaving)
        return leaving

    def near_zero(self, threshold: float) -> Int64[np.ndarray, " found"]:
        """Return the ids, lowest first, of entries whose vectors are at most `threshold` long (L2).

        Raises:
            InputError: the threshold is NaN.
        """
        if math.isnan(threshold):
            raise InputError("threshold is NaN; give a length.")
        return np.sort(self._slots.rows.ids[self._slots.lengths[: len(self)] <= threshold])

    def vectors(self, ids: NDArray[np.integer] | None = None) -> Float32[np.ndarray, "n d"]:
        """Return the vectors of these entries, or of all in the order of `ids`, copied.

        Raises:
            InputError: an id is unknown.
        """
        return self.index.vectors(self.ids if ids is None else self._known(ids))

    def entries(self, ids: NDArray[np.integer] | None = None) -> Entries:
        """Return what is known about these entries, or about all in the order of `ids`, copied.

        Raises:
            InputError: an id is unknown.
        """
        rows = np.arange(len(self)) if ids is None else self._slots.rows.find(self._known(ids))
        return self._slots.entries(rows)

    def info(self, k: int = 5, *, sample: int = 64, noise: float = 0.1, seed: int = 0) -> Info:
        """Describe the memory, with its recall measured on noisy copies of some of its keys.

        Args:
            k: how many entries each search finds.
            sample: how many keys.
            noise: its size as a multiple of each key's RMS.
            seed: of sample and noise.

        Raises:
            InputError: k or the sample is less than 1, or the noise negative or not finite.
        """
        if k < 1 or sample < 1 or not 0 <= noise < math.inf:
            raise InputError(
                f"k is {k}, sample {sample} and noise {noise}; give 1 or more, 1 or more, and 0 or"
                " more."
            )
        measured = None
        if len(self):
            measured = recall(
                self.index,
                self._slots.rows.ids,
                noisy_keys(self.index, self._slots.rows.ids, sample, noise, seed),
                k,
            )
        ready = self.index.ready if isinstance(self.index, LocalIndex) else True
        own = self.config
        return Info(
            len(self),
            own.capacity,
            own.dimension,
            self.index.name,
            ready,
            own.eviction,
            self.clock,
            measured,
            k,
        )

    def copy(self) -> Memory:
        """Return a memory with the same entries, ids, clock and answers, to be changed on its own.

        Costs what copying its bytes does.

        Raises:
            InputError: the entries are in a database, which everyone who uses the table shares.
        """
        if not isinstance(self.index, LocalIndex):
            raise InputError(
                f"a memory of the backend {self.index.name!r} cannot be copied: all who use the"
                " table share it. Copy the table."
            )
        other = Memory(self.config, self.index.copy())
        other.clock, other.next_id = self.clock, self.next_id
        other._slots = self._slots.copy()
        return other

    def compact(self) -> None:
        """Free the room that removed entries left; ids and entries stay.

        The answers stay too, but for `hnsw` with removed vectors in its graph, which is built anew.
        A database may then use the room again. For a while this takes as much memory as a copy.

        Raises:
            InklingsError: the database was lost, or this user may not do it.
        """
        self.index.compact()
        self._slots.rows = self._slots.rows.copy()

    def fill(
        self, entries: Entries, lengths: Float32[np.ndarray, " n"], *, clock: int, next_id: int
    ) -> None:
        """Take over entries whose vectors are in the index already, to open a saved memory.

        Args:
            entries: facts about them.
            lengths: the L2 length of each vector.
            clock: the memory's step.
            next_id: the id of the next new entry.
        """
        self._slots.add(entries.ids, {name: getattr(entries, name) for name in COLUMNS}, lengths)
        self.clock, self.next_id = clock, next_id

    @property
    def lengths(self) -> Float32[np.ndarray, " n"]:
        """The L2 length of every vector in the order of `ids`, copied."""
        return self._slots.lengths[: len(self)].copy()

    def _known(self, ids: NDArray[np.integer]) -> Int64[np.ndarray, " n"]:
        known = checked_ids(ids)
        self._slots.rows.find(known)
        return known

    def _chosen(self, ids: NDArray[np.integer]) -> Int64[np.ndarray, " n"]:
        chosen = checked_ids(ids)
        self._slots.rows.find_each(chosen)
        return chosen

    def _victims(self, count: int) -> Int64[np.ndarray, " count"]:
        count = min(max(count, 0), len(self))
        return self._order.first(count, self._slots.eviction_keys(self.config), self._slots.rows)
