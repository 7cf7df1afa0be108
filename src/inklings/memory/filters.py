"""Searching for entries that meet a condition."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Int64

from inklings.memory.backends.exact import Exact
from inklings.memory.backends.index import Index
from inklings.memory.entries import Entries, Span
from inklings.memory.rows import Rows
from inklings.memory.ties import order_of

Answer = tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]


SPARE = 1
"""Entries beyond k that are looked at first, to see whether the last is nearer than the next."""


def nearest_outside(
    index: Index,
    queries: Float32[np.ndarray, "q d"],
    k: int,
    rows: Rows,
    slots: Entries,
    span: Span | None,
    same: float,
) -> Answer:
    """Return the nearest k that lie outside of each query's span.

    It asks the index for more until there are enough.

    Args:
        index: the backend.
        queries: (q, d).
        k: how many.
        rows: the row of each id.
        slots: what is known about the entry of each row.
        span: positions that are left out; None leaves out nothing.
        same: of entries whose squared distances differ by no more, the oldest come first; 0 leaves
            them in the order of the index.
    """
    ids = np.full((len(queries), k), -1, np.int64)
    distances = np.full((len(queries), k), np.inf, np.float32)
    left = np.arange(len(queries))
    asked = (k if span is None else 2 * k + 16) + (SPARE if same else 0)
    while len(left):
        enough = len(index) + 1
        count = min(asked, max(k, enough))
        found, near = index.search(queries[left], count)
        # Others may add to a shared index and remove from it meanwhile, so only an answer that
        # leaves room was all there is.
        complete = (found[:, -1] < 0) & (count >= enough)
        allowed = _allowed(found, rows, slots, None if span is None else span.of(left))
        if not allowed.all():
            order = np.argsort(~allowed, axis=1, kind="stable")
            found = np.take_along_axis(np.where(allowed, found, -1), order, 1)
            near = np.take_along_axis(np.where(allowed, near, np.float32(np.inf)), order, 1)
        enough_found = allowed.sum(1) >= k
        if same:
            order, groups = order_of(near, found, same)
            found = np.take_along_axis(found, order, 1)
            near = np.take_along_axis(near, order, 1)
            # the last one that is taken may be as near as some that were not seen
            enough_found &= groups[:, -1] > groups[:, k - 1]
        ids[left], distances[left] = found[:, :k], near[:, :k]
        left = left[~enough_found & ~complete]
        asked *= 4
    return ids, distances


def nearest(
    index: Index,
    queries: Float32[np.ndarray, "q d"],
    k: int,
    rows: Rows,
    slots: Entries,
    span: Span | None,
    documents: Int64[np.ndarray, " q"] | None,
    same: float,
) -> Answer:
    """Return the nearest k of each query, or of those of one document, all of which are compared.

    Args:
        index: the backend.
        queries: (q, d).
        k: how many.
        rows: the row of each id.
        slots: what is known about the entry of each row.
        span: positions that are left out; None leaves out nothing.
        documents: the document of each query; None for all.
        same: as in `nearest_outside`.
    """
    if documents is None:
        return nearest_outside(index, queries, k, rows, slots, span, same)
    ids = np.full((len(queries), k), -1, np.int64)
    distances = np.full((len(queries), k), np.inf, np.float32)
    for document in np.unique(documents):
        its = np.flatnonzero(documents == document)
        own = rows.ids[slots.documents[: len(rows)] == document]
        among = Exact(index.dimension, products="float32")
        among.add(own, index.vectors(own))
        ids[its], distances[its] = nearest_outside(
            among, queries[its], k, rows, slots, None if span is None else span.of(its), same
        )
    return ids, distances


def _allowed(
    found: Int64[np.ndarray, "q c"], rows: Rows, slots: Entries, span: Span | None
) -> Bool[np.ndarray, "q c"]:
    at = rows.find_known(found.reshape(-1)).reshape(found.shape)
    allowed: Bool[np.ndarray, "q c"] = at >= 0
    if span is not None:
        positions = slots.positions[at]
        inside = (
            (slots.documents[at] == span.documents[:, None])
            & (positions >= span.first[:, None])
            & (positions <= span.last[:, None])
        )
        allowed &= ~inside
    return allowed
