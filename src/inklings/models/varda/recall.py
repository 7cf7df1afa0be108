"""Reading and writing the memories of a batch.

Every row has a memory of its own, and may read a long-term memory beside it.

A document is cut into segments of equal length. What is read in a segment is written when the next
one opens, at the token that completes its last entry: so an entry is older than the position that
finds it, in one pass as in many.

What was written within a pass keeps the graph of the decisions that it rests on: the score of an
entry that is found is, to the gradient, the gate that wrote it, less what would have deleted it.
Older entries are numbers.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from inklings.memory.entries import Span
from inklings.memory.store import Memory
from inklings.memory.streams import Stream
from inklings.memory.ties import order_of
from inklings.models.varda.rows import SAME, Found, Habits, MemoryRow

Control = Literal[
    "none", "off", "permuted values", "random retrieval", "another document", "outside the window"
]
"""What is done to the memory to see what it is worth: nothing, no memory at all, or one of the
changes that should cost its gain.
"""


SOFTNESS = 0.1
"""Softness of the delete threshold: over this share of it, the gradient of a distance fades out."""


class Recall:
    """The memories of a batch during one pass.

    Args:
        habits: how they are written and searched.
        rows: the rows of the batch.
        length: T.
        control: what is done to the memories.
        window: how many positions the backbone sees anyway, for the control that leaves these out.
        need_vectors: whether the vectors of the hits are wanted.
    """

    def __init__(
        self,
        habits: Habits,
        rows: list[MemoryRow],
        length: int,
        *,
        control: Control,
        window: int,
        need_vectors: bool,
    ) -> None:
        self.habits = habits
        self.rows = rows
        self.control = control
        self.window = window
        self.found = Found.nothing(
            len(rows), length, habits.k, habits.memory.dimension, vectors=need_vectors
        )
        self._need_vectors = need_vectors
        self._gate_at: list[tuple[int, int, np.ndarray]] = []
        self._fade_at: list[tuple[int, int, np.ndarray, Tensor]] = []

    def spans(self, row: int, starts: np.ndarray, first: int, last: int) -> list[tuple[int, int]]:
        """Cut positions of a row where documents start, and where a segment is written.

        Args:
            row: its number.
            starts: (B, T), marks the first tokens of documents.
            first: the first position.
            last: the position after the last one.
        """
        spans, at, position = [], first, self.rows[row].position
        while at < last:
            if starts[row, at]:
                position = 0
            room = (
                last - at
                if self.habits.frozen
                else self.habits.segment - position % self.habits.segment
            )
            following = np.flatnonzero(starts[row, at + 1 : last])
            end = min(last, at + room, at + 1 + int(following[0]) if len(following) else last)
            spans.append((at, end))
            position += end - at
            at = end
        return spans

    def open(
        self,
        row: int,
        token: int,
        start: bool,
        at: int,
        *,
        deletes: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Write the segment that a token completes, or begin a document with it.

        It is called before the position is read.

        Args:
            row: its number.
            token: the token at the position.
            start: whether it begins a document.
            at: the position in the pass.
            deletes: deletable vectors and gates of the pass so far, where gradients are kept.
        """
        it, segment = self.rows[row], self.habits.segment
        if start:
            # A memory that outlives its document takes the part of a segment that the document
            # ended in.
            if not self.habits.clear and it.position:
                self._write(row, (it.position - 1) % segment + 1, token, deletes)
            elif (
                self.habits.clear
                and not self.habits.frozen
                and (it.position or len(it.stream.memory))
            ):
                it.stream, it.owned = Stream.new(self.habits.memory), True
                it.gate_ids, it.gate_places, it.fades = [], [], {}
            it.document += bool(it.position)
            it.position, it.begun = 0, at
        elif it.position and it.position % segment == 0 and not self.habits.frozen:
            self._write(row, segment, token, deletes)
            it.begun = at

    def search(self, row: int, first: int, queries: Float32[np.ndarray, "n D"]) -> None:
        """Find what is nearest to the queries of consecutive positions of a row.

        Args:
            row: its number.
            first: the position of the first query.
            queries: unit vectors.
        """
        it = self.rows[row]
        if self.control == "another document":
            it = self.rows[(row + 1) % len(self.rows)]
            if len(self.rows) == 1:
                return
        memory = it.stream.memory
        if self.control == "off" or not len(memory):
            return
        if memory.config.eviction == "least_used" and not it.owned:
            it.stream, it.owned = it.stream.copy(), True  # a search leaves a trace in it
            memory = it.stream.memory
        outside = None
        if self.control == "outside the window":
            here = it.position + np.arange(len(queries))
            outside = Span(np.full(len(here), it.document), here - self.window + 1, here + 1)
        # One more than is read: the distance of the next is the edge that readers weigh by.
        hits = memory.search(
            queries, min(self.habits.k + 1, memory.config.capacity), leaving_out=outside, same=SAME
        )
        part = np.s_[row, first : first + len(queries)]
        place = part[0], part[1], slice(0, min(self.habits.k, hits.ids.shape[1]))
        if hits.ids.shape[1] > self.habits.k:
            self.found.edges[part] = hits.distances[:, self.habits.k]
        for name in (
            "ids",
            "distances",
            "values",
            "positions",
            "documents",
            "ages",
            "uses",
            "scores",
        ):
            getattr(self.found, name)[place] = getattr(hits, name)[:, : self.habits.k]
        if self.control in ("permuted values", "random retrieval"):
            self._shuffle(it, row, first, queries)
        ids = self.found.ids[part]
        if self._need_vectors:
            there = ids >= 0
            self.found.vectors[part][there] = memory.vectors(ids[there])
        self._remember_graph(it, row, first, ids)

    def append(self, row: int, read: dict[str, np.ndarray]) -> None:
        """Add the next positions of a row to its pending segment.

        `read` has the columns of `Pending`.
        """
        it = self.rows[row]
        at, count = it.position % self.habits.segment, len(read["tokens"])
        for name, column in read.items() if not self.habits.frozen else ():
            getattr(it.pending, name)[at : at + count] = column
        it.position += count

    def log_scores(self, first: int, last: int, log_gates: Tensor | None) -> Tensor:
        """Return the log-scores of the hits (B, last - first, k); minus infinity for none.

        They keep the graph of what decided them.

        Args:
            first: the first position.
            last: the position after the last one.
            log_gates: (B, T), the gates of the pass so far; None where no gradient is kept.
        """
        with np.errstate(divide="ignore"):
            scores = torch.from_numpy(np.log(self.found.scores[:, first:last]))
        parts = [scores]
        if log_gates is not None and self._gate_at:
            places = torch.full(scores.shape, -1)
            for row, at, of in self._gate_at:
                if first <= at < last:
                    places[row, at - first : at - first + len(of)] = torch.from_numpy(of)
            rows = torch.arange(len(scores))[:, None, None].expand_as(places)
            kept = torch.where(places >= 0, log_gates.cpu()[rows, places.clamp(min=0)], 0.0)
            # Zero in value, since the score found has the gate in it already; only the gradient
            # is new.
            parts.append(kept - kept.detach())
        if self._fade_at:
            fade = scores.new_zeros(scores.shape)
            for row, at, of, values in self._fade_at:
                if first <= at < last:
                    whole = torch.cat([values.new_zeros(1), values])[torch.from_numpy(of + 1)]
                    index = (torch.tensor(row), torch.arange(at - first, at - first + len(of)))
                    fade = fade.index_put(index, whole, accumulate=True)
            # Zero in value too: what was deleted is gone, and what stays stays whole.
            parts.append(fade - fade.detach())
        return torch.stack(parts).sum(0) if len(parts) > 1 else scores

    def _write(
        self, row: int, count: int, token: int, deletes: tuple[Tensor, Tensor] | None
    ) -> None:
        """Write `count` pending entries, the last one with this token as its value."""
        it, habits = self.rows[row], self.habits
        if habits.frozen:
            return
        # Another state may refer to the same memory: it is copied before the first write.
        if not it.owned:
            it.stream, it.owned = it.stream.copy(), True
        memory, pending = it.stream.memory, it.pending
        if habits.delete_within and len(memory):
            self._delete(row, count, deletes)
        memory.age(habits.decay)
        # A function of the memory's clock alone, so that a resumed run draws the same.
        rng = np.random.default_rng((habits.seed, memory.clock))
        if habits.forget:
            memory.forget(habits.forget, rng)
        wanted = math.ceil(habits.budget * count)
        if habits.order == "all" or wanted == count:
            chosen = np.arange(count)
        elif habits.order == "random":
            chosen = np.sort(rng.permutation(count)[:wanted])
        else:
            chosen = _highest(pending.priority[:count], wanted)
        ids = memory.add(
            pending.keys[chosen],
            values=np.append(pending.tokens[1:count], token)[chosen],
            positions=it.position - count + 1 + chosen,
            documents=np.full(len(chosen), it.document),
            scores=np.exp(pending.priority[chosen]) if habits.scored else None,
        )
        it.stream.version += 1
        it.gate_ids.append(ids)
        # Entries of positions before this pass (negative) have no gate in its graph.
        it.gate_places.append(np.where(it.begun + chosen >= 0, it.begun + chosen, -1))

    def _delete(self, row: int, count: int, deletes: tuple[Tensor, Tensor] | None) -> None:
        """Delete entries that positions of the pending segment found and decided to delete."""
        it, pending, within = self.rows[row], self.rows[row].pending, self.habits.delete_within
        memory = it.stream.memory
        assert (
            pending.queries is not None
            and pending.deletable is not None
            and pending.delete_gates is not None
        )
        ids = memory.search(
            pending.queries[:count],
            min(self.habits.k, memory.config.capacity),
            same=SAME,
            count_uses=False,
        ).ids
        there = ids >= 0
        vectors = np.zeros((*ids.shape, memory.config.dimension), np.float32)
        vectors[there] = memory.vectors(ids[there])
        distances = np.linalg.norm(vectors - pending.deletable[:count, None], axis=-1)
        gates = pending.delete_gates[:count, : ids.shape[1]]
        gone = np.unique(ids[there & (gates > 0.5) & (distances <= within)])
        memory.remove(gone)
        if deletes is None:
            return
        known = np.flatnonzero(np.arange(it.begun, it.begun + count) >= 0)
        meant, gate = (tensor[row, it.begun + torch.from_numpy(known)] for tensor in deletes)
        distance = torch.linalg.vector_norm(
            torch.from_numpy(vectors[known]) - meant[:, None], dim=-1
        )
        soft = gate[:, : ids.shape[1]] * torch.sigmoid((within - distance) / (SOFTNESS * within))
        # A sum of logarithms is the product of what each position would have left of the entry.
        left = torch.log1p(-soft.clamp(max=0.999))
        # only what may be found again can carry a gradient
        for place in zip(*np.nonzero(there[known] & ~np.isin(ids[known], gone)), strict=True):
            entry = int(ids[known][place])
            it.fades[entry] = it.fades.get(entry, left.new_zeros(())) + left[place]

    def _remember_graph(
        self, it: MemoryRow, row: int, first: int, ids: Int64[np.ndarray, "n k"]
    ) -> None:
        """Note which hits depend on decisions of this pass."""
        if self.habits.scored and it.gate_ids and self.control != "another document":
            known, places = np.concatenate(it.gate_ids), np.concatenate(it.gate_places)
            at = np.searchsorted(known, ids).clip(max=len(known) - 1)
            self._gate_at.append((row, first, np.where(known[at] == ids, places[at], -1)))
        if it.fades:
            order = {entry: number for number, entry in enumerate(it.fades)}
            of = np.array([[order.get(entry, -1) for entry in line] for line in ids.tolist()])
            self._fade_at.append((row, first, of, torch.stack(list(it.fades.values()))))

    def _shuffle(
        self, it: MemoryRow, row: int, first: int, queries: Float32[np.ndarray, "n D"]
    ) -> None:
        """Give the hits the values of other entries, or put other entries in their place."""
        memory, part = it.stream.memory, np.s_[row, first : first + len(queries)]
        everything = memory.entries()
        rng = np.random.default_rng((self.habits.seed, memory.clock))
        there = self.found.ids[part] >= 0
        if self.control == "permuted values":
            order = np.argsort(everything.ids)
            at = order[
                np.searchsorted(everything.ids, self.found.ids[part], sorter=order).clip(
                    max=len(order) - 1
                )
            ]
            self.found.values[part] = np.where(
                there, everything.values[rng.permutation(len(order))][at], -1
            )
            return
        chosen = rng.integers(len(everything.ids), size=there.shape)
        vectors = memory.vectors(everything.ids[chosen].reshape(-1)).reshape(*chosen.shape, -1)
        distances = np.square(vectors - queries[:, None]).sum(-1)
        for name in ("ids", "values", "positions", "documents", "scores"):
            column = getattr(everything, name)[chosen]
            getattr(self.found, name)[part] = np.where(there, column, 0 if name == "scores" else -1)
        self.found.distances[part] = np.where(there, distances, np.inf)
        self.found.edges[part] = np.inf


def _highest(priority: Float32[np.ndarray, " n"], count: int) -> Int64[np.ndarray, " m"]:
    """Return the places of the highest, in their order; of those that are the same the first."""
    falling = np.argsort(-priority, kind="stable")
    order, _ = order_of(-priority[None, falling], falling[None], SAME)
    return np.sort(falling[order[0]][:count])


def search_outside(
    memory: Memory, queries: Float32[np.ndarray, "B T D"], k: int, *, vectors: bool
) -> Found:
    """Find the entries of a long-term memory that are nearest to every position.

    Args:
        memory: the memory.
        queries: unit vectors (B, T, D).
        k: how many entries.
        vectors: whether their vectors are wanted.
    """
    rows, length, dimension = queries.shape
    found = Found.nothing(rows, length, k, dimension, vectors=vectors)
    if not len(memory):
        return found
    hits = memory.search(
        queries.reshape(-1, dimension),
        min(k + 1, memory.config.capacity),
        same=SAME,
        count_uses=False,
    )
    taken = min(k, hits.ids.shape[1])
    for name in ("ids", "distances", "values", "positions", "documents", "ages", "uses", "scores"):
        getattr(found, name)[:, :, :taken] = getattr(hits, name)[:, :taken].reshape(
            rows, length, taken
        )
    if hits.ids.shape[1] > k:
        found.edges[:] = hits.distances[:, k].reshape(rows, length)
    if vectors:
        there = found.ids >= 0
        found.vectors[there] = memory.vectors(found.ids[there])
    return found
