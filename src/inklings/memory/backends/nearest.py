"""The exact nearest neighbours by matrix products, with a certificate.

A product gives `|v|^2 / 2 - q.v`, which orders the vectors as their distance to q does, but with
rounding errors that grow with the size of the vectors. So a few more candidates than asked for are
taken, their distances computed from differences in float64, and the answer believed only where the
error bound says that no vector left out can be nearer. The few queries for which it cannot say so
are searched again, among all vectors that the bound leaves possible. Where the processor multiplies
bfloat16 faster, its products find the candidates, with a bound of their own; the queries for which
that bound is too wide are searched by float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import BFloat16, Float32, Float64, Int64
from torch import Tensor

SPARE = 16
"""Candidates beyond k from products in float32."""
SPARE_BFLOAT16 = (48, 96, 192, 384, 768)
"""Candidates beyond k from products in bfloat16: more where vectors lie so close together that
fewer are not enough.
"""
_SCORES = 1 << 24
"""Most scores held at once."""
_BLOCK = 1 << 13
"""Vectors in one product: fewer do not keep a processor busy, with more the scores leave its cache.
"""
_GROUP = 64
"""Neighbouring scores of which only the lowest is looked at first."""
_GATHERED = 1 << 20
"""Components of candidates held at once."""
_SAMPLE = 1024
"""Vectors that are compared with a query to find how large products with near ones are."""
_DIFFERENCES = 1 << 17
"""Components of differences held at once: what stays in the cache of a processor."""
_AT_ONCE = 1 << 16
"""Components of differences up to which all of them are computed, and no candidates are looked for.
"""
_UNIT = 2.0**-24
_UNIT_BFLOAT16 = 2.0**-9
_SMALLEST = 2.0**-126
"""Products below this may be taken for zero."""


@dataclass(frozen=True)
class Vectors:
    """The vectors that are searched: n of size d, with what the products and their bounds need."""

    full: Float32[Tensor, "n d"]
    half_norms: Float32[Tensor, " n"]
    """Half the squared length of each vector."""
    longest: float
    """No vector is longer than this."""
    rounded: BFloat16[Tensor, "n wide"] | None = None
    """The vectors in bfloat16, as `widened` gives them, where products of these are faster."""
    rounding: float = 0.0
    """No vector is further than this from its rounded one."""
    spare: int = SPARE_BFLOAT16[0]
    """Candidates beyond k from the rounded ones."""


@dataclass(frozen=True)
class Nearest:
    """The rows of the nearest vectors of each query, nearest first, and their squared distances."""

    rows: Int64[Tensor, "q k"]
    distances: Float64[Tensor, "q k"]
    uncertified: int
    """How many queries had to be searched again after products in bfloat16."""


def half_norms(vectors: Float32[Tensor, "n d"]) -> Float32[Tensor, " n"]:
    """Return half the squared length of each vector."""
    lengths: Float32[Tensor, " n"] = torch.linalg.vector_norm(vectors, dim=1)
    return lengths.square() / 2


def nearest(
    queries: Float32[Tensor, "q d"], among: Vectors, k: int, order: Int64[Tensor, " n"]
) -> Nearest:
    """Find the nearest `min(k, n)` vectors of each query.

    Args:
        queries: (q, d).
        among: the vectors.
        k: how many.
        order: of equally near ones, those with the lowest come first.
    """
    k = min(k, among.full.shape[0])
    rows = torch.empty(queries.shape[0], k, dtype=torch.int64)
    distances = torch.empty(queries.shape[0], k, dtype=torch.float64)
    left = torch.arange(queries.shape[0])
    uncertified = 0
    if k == 0:
        return Nearest(rows, distances, 0)
    # So few that all distances are computed: the reference that the rest must equal.
    if queries.numel() * among.full.shape[0] <= _AT_ONCE:
        everything = torch.arange(among.full.shape[0]).expand(queries.shape[0], -1)
        return Nearest(*rank(queries, among.full, everything, k, order), 0)
    # First by products in bfloat16, which are fast; what they cannot be sure of by float32.
    for rounded in (True, False):
        if (rounded and among.rounded is None) or not len(left):
            continue
        candidates, limit = _candidates(queries[left], among, k, rounded)
        if rounded:
            candidates, limit = _fewer(queries[left], among, k, candidates, limit)
        found, near = rank(queries[left], among.full, candidates, k, order)
        rows[left], distances[left] = found, near
        # A score is half the squared distance less half the query's own square. Where the k-th
        # true one is below the limit, no vector that was left out can be nearer: the answer is
        # proven.
        own = queries[left].double().square().sum(1) / 2
        left = left[near[:, -1] / 2 - own >= limit]
        uncertified = len(left) if rounded else uncertified
    # Float32 itself could not tell (many vectors nearly as near): look at every possible one.
    for i in left.tolist():
        possible = _possible(queries[i : i + 1], among, float(distances[i, -1]))
        found, near = rank(queries[i : i + 1], among.full, possible[None], k, order)
        rows[i], distances[i] = found[0], near[0]
    return Nearest(rows, distances, uncertified)


def rank(
    queries: Float32[Tensor, "q d"],
    full: Float32[Tensor, "n d"],
    candidates: Int64[Tensor, "q c"],
    k: int,
    order: Int64[Tensor, " n"],
) -> tuple[Int64[Tensor, "q k"], Float64[Tensor, "q k"]]:
    """Return the nearest k of each query's own candidates, by differences in float64.

    Args:
        queries: (q, d).
        full: the vectors (n, d).
        candidates: rows of vectors; -1 is none, at distance infinity.
        k: how many.
        order: of equally near ones, those with the lowest come first.
    """
    distances = torch.empty(candidates.shape, dtype=torch.float64)
    step_c = max(1, min(candidates.shape[1], _DIFFERENCES // full.shape[1]))
    step_q = max(1, _DIFFERENCES // (step_c * full.shape[1]))
    for q in range(0, len(queries), step_q):
        point = queries[q : q + step_q, None].double()
        for c in range(0, candidates.shape[1], step_c):
            some = candidates[q : q + step_q, c : c + step_c]
            difference = full[some.clamp(min=0)].double().sub_(point)
            distances[q : q + step_q, c : c + step_c] = difference.square_().sum(-1)
    distances.masked_fill_(candidates < 0, torch.inf)
    by_order = (
        order[candidates.clamp(min=0)]
        .masked_fill(candidates < 0, torch.iinfo(torch.int64).max)
        .argsort(1)
    )
    # Sorted by `order` first: the stable sort by distance then leaves ties in that order.
    distances, candidates = distances.gather(1, by_order), candidates.gather(1, by_order)
    best = distances.argsort(dim=1, stable=True)[:, :k]
    return candidates.gather(1, best), distances.gather(1, best)


def _candidates(
    queries: Float32[Tensor, "q d"], among: Vectors, k: int, rounded: bool
) -> tuple[Int64[Tensor, "q c"], Float64[Tensor, " q"]]:
    """Find the rows with the lowest scores of each query.

    The second array is a limit for each query: the score of no other vector truly lies below it.
    """
    n = among.full.shape[0]
    count = min(n, k + (among.spare if rounded else SPARE))
    rows = torch.empty(len(queries), count, dtype=torch.int64)
    worst = torch.empty(len(queries), dtype=torch.float64)
    shift = _shift(queries, among) if rounded else torch.zeros(len(queries))
    step_q = 256
    for q in range(0, len(queries), step_q):
        some = queries[q : q + step_q]
        step_n = max(count, _SCORES // len(some))
        values, places = [], []
        points = widened(some, -shift[q : q + step_q]) if rounded else some
        for at in range(0, n, step_n):
            part = _lowest(_scores(points, among, range(at, min(n, at + step_n))), count)
            values.append(part[0])
            places.append(part[1] + at)
        # The lowest of all are among the lowest of the parts, so no part's scores are kept.
        best = torch.cat(values, 1).topk(count, largest=False, sorted=False)
        rows[q : q + step_q] = torch.cat(places, 1).gather(1, best.indices)
        worst[q : q + step_q] = best.values.amax(1)
    # What was left out scored at least `worst`; its true score may be lower by the errors.
    limit = (
        worst
        - shift
        - _error(queries, among)
        - (_rounding_error(queries, among, worst, shift) if rounded else 0.0)
    )
    return rows, limit if count < n else torch.full_like(limit, torch.inf)


def _fewer(
    queries: Float32[Tensor, "q d"],
    among: Vectors,
    k: int,
    candidates: Int64[Tensor, "q c"],
    limit: Float64[Tensor, " q"],
) -> tuple[Int64[Tensor, "q few"], Float64[Tensor, " q"]]:
    """Keep those candidates that have the lowest scores in float32.

    The limits are lowered to what these scores are sure of.
    """
    q, c = candidates.shape
    if c <= k + SPARE:
        return candidates, limit
    scores = torch.empty(q, c)
    step = max(1, _GATHERED // (c * queries.shape[1]))
    for at in range(0, q, step):
        some = candidates[at : at + step]
        products = torch.bmm(among.full[some], queries[at : at + step, :, None])[:, :, 0]
        scores[at : at + step] = among.half_norms[some] - products
    best = scores.topk(k + SPARE, largest=False, sorted=False)
    return candidates.gather(1, best.indices), limit.minimum(
        best.values.amax(1) - _error(queries, among)
    )


def widened(
    vectors: Float32[Tensor, "n d"], last: float | Float32[Tensor, " n"] = 1.0
) -> BFloat16[Tensor, "n wide"]:
    """Make the vectors bfloat16 with one more component.

    Zeros fill them up to a width that processors multiply fast.
    """
    n, d = vectors.shape
    wide = torch.zeros(n, (d // 8 + 1) * 8, dtype=torch.bfloat16)
    wide[:, :d] = vectors
    wide[:, d] = last
    return wide


def _shift(queries: Float32[Tensor, "q d"], among: Vectors) -> Float32[Tensor, " q"]:
    """Return about the product of each query with vectors near to it, a number of bfloat16.

    A product is rounded to bfloat16 when it is done, the less the smaller it is. With this
    subtracted before, which the further component does, those that matter are small.
    """
    n = len(among.full)
    some = torch.arange(0, n, max(1, n // _SAMPLE))
    products = queries @ among.full[some].T
    best = (among.half_norms[some] - products).argmin(1, keepdim=True)
    return products.gather(1, best)[:, 0].bfloat16().float()


def _scores(queries: Tensor, among: Vectors, part: range) -> Float32[Tensor, "q part"]:
    """Return `|v|^2 / 2 - q.v` for a part of the vectors, in bfloat16 if the queries are.

    Infinities fill it up to a multiple of `_GROUP`.
    """
    scores = torch.empty(len(queries), -(-len(part) // _GROUP) * _GROUP)
    scores[:, len(part) :] = torch.inf
    for at in range(0, len(part), _BLOCK):
        some = slice(part.start + at, min(part.start + at + _BLOCK, part.stop))
        block = scores[:, at : some.stop - part.start]
        if among.rounded is not None and queries.dtype == torch.bfloat16:
            torch.sub(among.half_norms[some], queries @ among.rounded[some].T, out=block)
        else:
            torch.addmm(among.half_norms[some], queries, among.full[some].T, alpha=-1, out=block)
    return scores


def _lowest(
    scores: Float32[Tensor, "q n"], count: int
) -> tuple[Float32[Tensor, "q c"], Int64[Tensor, "q c"]]:
    """Find the `count` lowest of each row (all, if there are fewer) and where they are.

    Only the groups whose lowest number is among the lowest are looked at.
    """
    groups = scores.view(len(scores), -1, _GROUP)
    if groups.shape[1] <= count:
        top = scores.topk(min(count, scores.shape[1]), largest=False, sorted=False)
        return top.values, top.indices
    # A group that holds one of the `count` lowest numbers is among the `count` groups with the
    # lowest minima, so the others need no sorting.
    best = groups.amin(2).topk(count, largest=False, sorted=False).indices
    some = groups.gather(1, best[:, :, None].expand(-1, -1, _GROUP)).flatten(1)
    top = some.topk(count, largest=False, sorted=False)
    return top.values, best.gather(1, top.indices // _GROUP) * _GROUP + top.indices % _GROUP


def _error(queries: Float32[Tensor, "q d"], among: Vectors) -> Float64[Tensor, " q"]:
    """Return how far a score can be from the true one by the sums in float32, in any order."""
    length = queries.double().square().sum(1).sqrt()
    terms = queries.shape[1] + 8
    return 2 * terms * (_UNIT * (length * among.longest + among.longest**2) + _SMALLEST)


def _rounding_error(
    queries: Float32[Tensor, "q d"],
    among: Vectors,
    worst: Float64[Tensor, " q"],
    shift: Float32[Tensor, " q"],
) -> Float64[Tensor, " q"]:
    """Return how far bfloat16's rounding can put a score of at least `worst` above the true one.

    A product less its shift is half a squared length less its score, so a positive one is at most
    the largest half less `worst`. A negative one is no larger than its own score, and takes the
    more off the higher that is: it counts as at `worst`.
    """
    length = queries.double().square().sum(1).sqrt()
    off = (queries.double() - queries.bfloat16().double()).square().sum(1).sqrt()
    product = torch.maximum(among.longest**2 / 2 - worst, worst.abs())
    sums = 2 * (queries.shape[1] + 8) * _UNIT * shift.double().abs()
    return (
        length * among.rounding
        + off * (among.longest + among.rounding)
        + 2 * _UNIT_BFLOAT16 * product
        + sums
    )


def _possible(
    query: Float32[Tensor, "1 d"], among: Vectors, distance: float
) -> Int64[Tensor, " c"]:
    """Return every row that may be as near as this squared distance."""
    limit = distance / 2 - float(query.double().square().sum()) / 2 + float(_error(query, among))
    parts = []
    n = among.full.shape[0]
    for at in range(0, n, _SCORES):
        scores = _scores(query, among, range(at, min(n, at + _SCORES)))
        parts.append((scores[0].double() <= limit).nonzero()[:, 0] + at)
    return torch.cat(parts)


def fast_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 faster than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def as_answer(
    ids: Int64[np.ndarray, " n"], found: Nearest, k: int
) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
    """Return ids and float32 distances of exactly k columns: -1 and infinity where there are fewer.

    Args:
        ids: the id of each row.
        found: rows and distances.
        k: how many columns.
    """
    count, width = found.rows.shape
    answer = np.full((count, k), -1, np.int64)
    distances = np.full((count, k), np.inf, np.float32)
    there = np.isfinite(found.distances.numpy())
    answer[:, :width] = np.where(there, ids[found.rows.numpy()] if len(ids) else -1, -1)
    distances[:, :width] = found.distances.numpy()
    return answer, distances
