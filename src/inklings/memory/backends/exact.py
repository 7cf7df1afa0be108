"""The backend `exact`: the true nearest neighbours, the reference of the other backends."""

from __future__ import annotations

from copy import copy
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from inklings.memory.backends.nearest import (
    SPARE_BFLOAT16,
    Nearest,
    Vectors,
    as_answer,
    fast_bfloat16,
    half_norms,
    nearest,
    rank,
    widened,
)
from inklings.memory.rows import Rows

FEW = 4096
"""With at most this many vectors, products in bfloat16 are not worth a second look at the
candidates.
"""

DOUBTED = 32
"""If more than one query in this many has to be searched twice, more candidates are taken: even one
costs another pass.
"""

PART = 2048
"""Vectors that are looked at at once, so that they stay in the cache."""


class Exact:
    """Vectors in one array that grows by doubling; a removed one is replaced by the last.

    Args:
        dimension: the size of a vector.
        capacity: how many vectors there will be at most, if that is known: no room is made for more
            until they come.
        products: how candidates are found: `float32`, `bfloat16` (half as much memory again, the
            same answers) or `auto`, which takes `bfloat16` where the processor is made for it.
    """

    name = "exact"
    ready = True

    def __init__(
        self,
        dimension: int,
        *,
        capacity: int | None = None,
        products: Literal["auto", "float32", "bfloat16"] = "auto",
    ) -> None:
        self.dimension = dimension
        self._capacity = capacity
        self._rows = Rows()
        self._full: Float32[Tensor, "size d"] = torch.empty(0, dimension)
        self._half_norms: Float32[Tensor, " size"] = torch.empty(0)
        bfloat16 = products == "bfloat16" or (products == "auto" and fast_bfloat16())
        self._rounded: Tensor | None = widened(self._full) if bfloat16 else None
        self._settled = True
        self._spares: tuple[int, ...] = SPARE_BFLOAT16
        """How many candidates may be enough; none when products in bfloat16 have turned out to be
        of no use.
        """
        self._doubt = 0
        """How often a query had to be searched twice, beyond one in `DOUBTED`."""
        self._longest = self._rounding = 0.0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def ids(self) -> Int64[np.ndarray, " n"]:
        """The id of every vector in the order of `everything`, a view."""
        return self._rows.ids

    @property
    def everything(self) -> Float32[np.ndarray, "n d"]:
        """A view of all vectors."""
        return self._full[: len(self)].numpy()

    def add(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Take in new vectors under new ids.

        Raises:
            InputError: an id is there already; nothing was added.
        """
        self._settle()
        part = self._rows.add(ids)
        if part.stop > len(self._full):
            double = 2 * part.start
            self._grow(
                part.start,
                max(part.stop, double if self._capacity is None else min(double, self._capacity)),
            )
        self._full[part] = torch.from_numpy(vectors)
        self._note(part)

    def update(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Put other vectors under known ids.

        Raises:
            InputError: an id is unknown or given twice; nothing was changed.
        """
        self._settle()
        rows = torch.from_numpy(self._rows.find_each(ids))
        self._full[rows] = torch.from_numpy(vectors)
        self._note(rows)

    def remove(self, ids: Int64[np.ndarray, " n"]) -> None:
        """Remove vectors.

        Raises:
            InputError: an id is unknown or given twice; nothing was removed.
        """
        self._settle()
        holes, movers = (torch.from_numpy(rows) for rows in self._rows.remove(ids))
        for array in (self._full, self._half_norms, self._rounded):
            if array is not None:
                array[holes] = array[movers]

    def search(
        self, queries: Float32[np.ndarray, "q d"], k: int
    ) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
        """Return ids and squared distances of the nearest k, equally near ones by id.

        Missing ones are -1 at distance infinity.
        """
        found = nearest(torch.from_numpy(queries), self._among(), k, torch.from_numpy(self.ids))
        if self._among().rounded is not None:
            self._doubt = max(0, self._doubt + DOUBTED * found.uncertified - len(queries))
            if self._doubt > DOUBTED * 8:
                self._spares, self._doubt = self._spares[1:], 0
        return as_answer(self.ids, found, k)

    def rank(
        self, queries: Float32[np.ndarray, "q d"], candidates: Int64[np.ndarray, "q c"], k: int
    ) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
        """Rank each query's own candidates and return the nearest k, to the bits of `search`.

        Args:
            queries: (q, d).
            candidates: ids, -1 for none.
            k: how many are returned.
        """
        rows = torch.from_numpy(
            self._rows.find_known(candidates.reshape(-1)).reshape(candidates.shape)
        )
        places, distances = rank(
            torch.from_numpy(queries), self._full[: len(self)], rows, k, torch.from_numpy(self.ids)
        )
        return as_answer(self.ids, Nearest(places, distances, 0), k)

    def vectors(self, ids: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n d"]:
        """Return the vectors under these ids, as they were added.

        Raises:
            InputError: an id is unknown.
        """
        found: Float32[np.ndarray, "n d"] = self.everything[self._rows.find(ids)]
        return found

    def copy(self) -> Exact:
        """Return the same vectors and answers, to be changed on its own."""
        other = copy(self)
        other.compact()
        return other

    def compact(self) -> None:
        """Move what is kept into arrays that have room for no more."""
        count = len(self)
        self._rows = self._rows.copy()
        self._full, self._half_norms = self._full[:count].clone(), self._half_norms[:count].clone()
        self._rounded = None if self._rounded is None else self._rounded[:count].clone()

    def state(self) -> dict[str, np.ndarray]:
        """Return an empty state: only the vectors decide the answers."""
        return {}

    def restore(
        self,
        ids: Int64[np.ndarray, " n"],
        vectors: Float32[np.ndarray, "n d"],
        state: dict[str, np.ndarray],
    ) -> None:
        """Load what was saved into an empty index.

        Args:
            ids: of the vectors.
            vectors: one for each id; the array itself is kept, not copied.
            state: not used.
        """
        self._full = torch.from_numpy(vectors)
        self._rows.add(ids)
        self._settled = False

    def _settle(self) -> None:
        """Look at the vectors once after a restore.

        This waits until they are needed, so that opening a memory is fast.
        """
        if not self._settled:
            self._grow(0, len(self), keep_full=True)
            self._note(slice(0, len(self)))
            self._settled = True

    def _among(self) -> Vectors:
        self._settle()
        n = len(self)
        if self._rounded is None or not self._spares or n <= FEW:
            return Vectors(self._full[:n], self._half_norms[:n], self._longest)
        return Vectors(
            self._full[:n],
            self._half_norms[:n],
            self._longest,
            self._rounded[:n],
            self._rounding,
            self._spares[0],
        )

    def _grow(self, used: int, size: int, *, keep_full: bool = False) -> None:
        def grown(array: Tensor) -> Tensor:
            larger = array.new_empty((size, *array.shape[1:]))
            larger[:used] = array[:used]
            return larger

        if not keep_full:
            self._full = grown(self._full)
        self._half_norms = grown(self._half_norms)
        self._rounded = None if self._rounded is None else grown(self._rounded)
        self._spares = SPARE_BFLOAT16

    def _note(self, rows: slice | Int64[Tensor, " n"]) -> None:
        """Bring what is kept beside the vectors of these rows up to date, a part at a time."""
        count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        for at in range(0, count, PART):
            some = (
                slice(rows.start + at, min(rows.start + at + PART, rows.stop))
                if isinstance(rows, slice)
                else rows[at : at + PART]
            )
            part = self._full[some]
            self._half_norms[some] = norms = half_norms(part)
            self._longest = max(self._longest, 1.001 * float(norms.max() * 2) ** 0.5)
            if self._rounded is not None:
                self._rounded[some] = rounded = widened(part)
                off = torch.linalg.vector_norm(part - rounded[:, : self.dimension].float(), dim=1)
                self._rounding = max(self._rounding, 1.001 * float(off.max()))
