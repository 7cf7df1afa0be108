"""A memory and a dictionary that must agree.

Every operation goes to both, and every answer is compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from inklings.errors import InputError
from inklings.memory.backends.index import Index, LocalIndex
from inklings.memory.store import Entries, Hits, Memory, MemoryConfig, Span

BACKENDS = ["exact", "flat", "ivf", "ivfpq", "hnsw"]
EXACT = ("exact", "flat")


def config(backend: str, **settings: Any) -> MemoryConfig:
    """Settings of a small memory.

    `backend` as a name, whatever the type checker of the tests thinks of it.
    """
    return MemoryConfig(**{"dimension": 8, "capacity": 40, "backend": backend, **settings})


def facts(generator: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Values, positions and documents of so many entries."""
    return {
        "values": generator.integers(0, 100, count),
        "positions": generator.integers(0, 20, count),
        "documents": generator.integers(0, 4, count),
    }


def known_of(memory: Memory, queries: np.ndarray) -> list[Any]:
    """Everything that a memory knows, and what it answers."""
    entries = memory.entries()
    hits = memory.search(queries, min(4, memory.config.capacity), count_uses=False)
    arrays = [getattr(entries, field.name) for field in fields(Entries)] + [
        getattr(hits, field.name) for field in fields(Hits)
    ]
    arrays += [memory.vectors(), memory.lengths, memory.near_zero(2.0)]
    count = (
        len(memory.index) if isinstance(memory.index, LocalIndex) else None
    )  # of a shared one others may change it
    return [array.tolist() for array in arrays] + [memory.clock, memory.next_id, count]


class Twin:
    """A memory, and beside it a dictionary from id to what the entry should be."""

    def __init__(
        self, settings: MemoryConfig, seed: int = 0, index: Index | None = None, alone: bool = True
    ) -> None:
        self.alone = alone
        """Whether nobody else uses the index: then the ids have no gaps."""
        self.memory = Memory(settings, index)
        self.plain: dict[int, dict[str, Any]] = {}
        self.random = np.random.default_rng(seed)
        self.clock = self.given = 0
        self.found = self.findable = 0
        self.operations = 0
        self.aside: tuple[Memory, np.ndarray, list[Any]] | None = None
        """The memory that the last copy left behind, queries, and what it knew."""

    def some(self, count: int) -> np.ndarray:
        """Vectors: most are new, some are zero, some lie on a grid where many are equal."""
        new = self.random.standard_normal((count, self.memory.config.dimension)).astype(np.float32)
        kind = self.random.random((count, 1))
        return np.where(kind < 0.05, 0, np.where(kind < 0.2, new.round(), new)).astype(np.float32)

    def known(self, share: float) -> np.ndarray:
        ids = np.array(sorted(self.plain), np.int64)
        return self.random.permutation(ids)[: int(share * len(ids) + 0.5)]

    def add(self, count: int) -> None:
        count = min(count, self.memory.config.capacity)
        for leaving in self.first_to_go(len(self.plain) + count - self.memory.config.capacity):
            del self.plain[leaving]
        vectors, about, scores = (
            self.some(count),
            facts(self.random, count),
            self.random.random(count).astype(np.float32).round(1),
        )
        ids = self.memory.add(vectors, **about, scores=scores)
        if self.alone:
            assert ids.tolist() == list(range(self.given, self.given + count))
        assert ids.min(initial=self.given) >= self.given
        self.given = int(ids.max(initial=self.given - 1)) + 1
        for row, known in enumerate(ids.tolist()):
            of = {name: int(column[row]) for name, column in about.items()}
            self.plain[known] = {
                **of,
                "vector": vectors[row],
                "scores": scores[row],
                "times": self.clock,
                "uses": 0,
            }

    def first_to_go(self, count: int) -> list[int]:
        policy = self.memory.config.eviction
        key = {
            "oldest": lambda i: i,
            "least_used": lambda i: (self.plain[i]["uses"], i),
            "lowest_score": lambda i: (self.plain[i]["scores"], i),
        }
        return sorted(sorted(self.plain, key=key[policy])[: max(count, 0)])

    def remove(self, share: float) -> None:
        ids = self.known(share)
        self.memory.remove(ids)
        for known in ids.tolist():
            del self.plain[known]

    def update(self, share: float) -> None:
        ids = self.known(share)
        vectors, values = self.some(len(ids)), self.random.integers(0, 100, len(ids))
        self.memory.update(ids, vectors=vectors, values=values)
        for row, known in enumerate(ids.tolist()):
            self.plain[known] |= {"vector": vectors[row], "values": int(values[row])}

    def age(self, decay: float) -> None:
        self.memory.age(decay, steps=3)
        self.clock += 3
        for entry in self.plain.values():
            entry["scores"] = np.float32(entry["scores"] * np.float32(decay))

    def forget(self, factor: float, seed: int) -> None:
        gone = self.memory.forget(factor, np.random.default_rng(seed))
        chances = np.random.default_rng(seed).random(len(self.plain))
        assert gone.tolist() == [
            known
            for known, chance in zip(sorted(self.plain), chances, strict=True)
            if chance < factor
        ]
        for known in gone.tolist():
            del self.plain[known]

    def evict(self, count: int) -> None:
        gone = self.memory.evict(count)
        assert gone.tolist() == self.first_to_go(count)
        for known in gone.tolist():
            del self.plain[known]

    def near_zero(self, threshold: float) -> None:
        short = sorted(
            known
            for known, entry in self.plain.items()
            if np.linalg.norm(entry["vector"]) <= threshold
        )
        assert self.memory.near_zero(threshold).tolist() == short

    def search(
        self, count: int, k: int, *, by_document: bool = False, windowed: bool = False
    ) -> None:
        k = min(k, self.memory.config.capacity)
        queries = self.some(count)
        documents = self.random.integers(0, 5, count) if by_document else None
        first = self.random.integers(0, 15, count)
        window = Span(self.random.integers(0, 4, count), first, first + 8) if windowed else None
        hits = self.memory.search(queries, k, documents=documents, leaving_out=window)
        assert hits.ids.shape == (count, k)
        known = np.array(sorted(self.plain), np.int64)
        vectors = np.array([self.plain[i]["vector"] for i in known.tolist()], float).reshape(
            len(known), queries.shape[1]
        )
        where, when = (
            np.array([self.plain[i][name] for i in known.tolist()], np.int64)
            for name in ("documents", "positions")
        )
        for row, query in enumerate(queries):
            allowed = np.ones(len(known), np.bool_)
            if documents is not None:
                allowed &= where == documents[row]
            if window is not None:
                allowed &= ~(
                    (where == window.documents[row])
                    & (first[row] <= when)
                    & (when <= first[row] + 8)
                )
            distances = np.square(vectors[allowed] - query).sum(1)
            self.check_row(hits, row, known[allowed], distances, all_compared=by_document)
        for hit in hits.ids[hits.ids >= 0].tolist():
            self.plain[hit]["uses"] += 1

    def copy(self, keep_first: bool) -> None:
        """Go on with a copy, or with the memory that was copied.

        What was left behind last must be as it was left.
        """
        if not isinstance(self.memory.index, LocalIndex):
            with pytest.raises(InputError, match="cannot be copied"):
                self.memory.copy()
            return
        self.check_aside()
        first, second = self.memory, self.memory.copy()
        self.memory, aside = (first, second) if keep_first else (second, first)
        queries = self.some(3)
        self.aside = aside, queries, known_of(aside, queries)
        assert known_of(self.memory, queries) == self.aside[2]

    def compact(self) -> None:
        """Entries and answers stay; a graph built anew may find others, never wrong ones."""
        queries = self.some(3)
        before = known_of(self.memory, queries)
        self.memory.compact()
        after = known_of(self.memory, queries)
        if self.memory.index.name == "hnsw":
            answers = len(fields(Entries)), len(fields(Entries)) + len(fields(Hits))
            del before[slice(*answers)], after[slice(*answers)]
        assert before == after

    def check_aside(self) -> None:
        """The memory that was left behind by the last copy has not changed."""
        if self.aside is not None:
            memory, queries, known = self.aside
            assert known_of(memory, queries) == known

    def check_row(
        self, hits: Hits, row: int, allowed: np.ndarray, true: np.ndarray, *, all_compared: bool
    ) -> None:
        order = np.lexsort((allowed, true))[: hits.ids.shape[1]]
        best, near = allowed[order].tolist(), true[order]
        ids, distances = hits.ids[row].tolist(), hits.distances[row]
        there = [known for known in ids if known >= 0]
        truly = dict(zip(allowed.tolist(), true.tolist(), strict=True))
        assert set(there) <= set(truly)
        assert len(set(there)) == len(there)
        assert ids == there + [-1] * (len(ids) - len(there))
        assert np.isinf(distances[len(there) :]).all()
        assert (np.diff(distances[: len(there)]) >= 0).all()
        np.testing.assert_allclose(
            distances[: len(there)], [truly[known] for known in there], rtol=1e-5, atol=1e-5
        )
        backend = self.memory.index.name
        if backend == "exact" or all_compared:
            assert there == best
        if backend in ("flat", "pgvector"):
            np.testing.assert_allclose(distances[: len(there)], near, rtol=1e-5, atol=1e-5)
        if best:
            self.found += sum(truly[known] <= near[-1] * (1 + 1e-6) for known in there)
            self.findable += len(best)
        for name in ("values", "positions", "documents", "uses", "scores"):
            missing = 0 if name == "scores" else -1
            assert getattr(hits, name)[row].tolist() == [
                self.plain[i][name] if i >= 0 else missing for i in ids
            ], name
        assert hits.ages[row].tolist() == [
            self.clock - self.plain[i]["times"] if i >= 0 else -1 for i in ids
        ]

    def check(self) -> None:
        """Everything that the memory knows is what the dictionary knows."""
        memory = self.memory
        assert len(memory) == len(self.plain) <= memory.config.capacity
        assert len(memory.index) == len(self.plain) or not self.alone
        ids = memory.ids
        assert sorted(ids.tolist()) == sorted(self.plain)
        entries, vectors = memory.entries(), memory.vectors()
        for field in fields(Entries)[1:]:
            assert getattr(entries, field.name).tolist() == [
                self.plain[known][field.name] for known in ids.tolist()
            ], field.name
        if len(ids):
            np.testing.assert_array_equal(
                vectors, np.stack([self.plain[known]["vector"] for known in ids.tolist()])
            )

    def at_random(self, count: int, *, largest: int) -> None:
        """So many random operations; adding is as likely as all ways of losing entries together."""
        for operation in self.random.choice(
            12, count, p=[0.25, 0.12, 0.1, 0.05, 0.05, 0.05, 0.03, 0.2, 0.05, 0.05, 0.03, 0.02]
        ).tolist():
            self.one(operation, largest)
            self.operations += 1

    def one(self, operation: int, largest: int) -> None:
        share = float(self.random.random() ** 4)
        operations: Iterable[Any] = [
            lambda: self.add(int(self.random.integers(0, largest))),
            lambda: self.remove(share),
            lambda: self.update(share),
            lambda: self.age(0.9),
            lambda: self.forget(0.1 * share, int(self.random.integers(1000))),
            lambda: self.evict(int(self.random.integers(0, 5))),
            lambda: self.near_zero(1.5),
            lambda: self.search(2, int(self.random.integers(1, 12))),
            lambda: self.search(2, 5, by_document=True, windowed=True),
            lambda: self.search(2, 5, windowed=True),
            lambda: self.copy(bool(self.random.integers(2))),
            self.compact,
        ]
        list(operations)[operation]()
