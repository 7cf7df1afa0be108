"""What callers give a memory, checked and in the form that it keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import DTypeLike, NDArray

from inklings.errors import InputError

LONGEST = 1e15
"""Longer vectors are refused: squared distances between them would leave the range of float32."""


def checked_vectors(vectors: NDArray[Any], dimension: int, what: str) -> Float32[np.ndarray, "n d"]:
    """Vectors as float32, copied.

    Raises:
        InputError: another shape than (n, dimension), or components that are not finite or too large.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise InputError(f"{what} have the shape {vectors.shape}; this memory takes (n, {dimension}).")
    with np.errstate(over="ignore"):
        plain = np.array(vectors, np.float32, order="C")
    bad = np.flatnonzero(~(lengths(plain) <= LONGEST))
    if len(bad):
        raise InputError(f"{what}[{bad[0]}] has NaN, infinite or too large components ({len(bad)} of {len(plain)} have); nothing was done.")
    return plain


def lengths(vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, " n"]:
    """The L2 length of each vector; not a number or infinite where a component is, or where it is beyond float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        squared: Float32[np.ndarray, " n"] = np.einsum("nd,nd->n", vectors, vectors)
        return squared ** np.float32(0.5)


def checked_ids(ids: NDArray[Any]) -> Int64[np.ndarray, " n"]:
    """Ids as int64, flat, copied.

    Raises:
        InputError: they are not whole numbers.
    """
    given = np.asarray(ids)
    if given.size and not np.issubdtype(given.dtype, np.integer):
        raise InputError(f"the ids are of {given.dtype}; they must be whole numbers, as int64.")
    return given.astype(np.int64).reshape(-1)


def checked_column(name: str, given: NDArray[Any], count: int, dtype: DTypeLike) -> NDArray[Any]:
    """One number for each entry or query, copied.

    Raises:
        InputError: another shape than (count,), fractions where whole numbers are kept, or numbers that are not finite.
    """
    if given.shape != (count,):
        raise InputError(f"{name} has the shape {given.shape}; there are {count} vectors: give ({count},).")
    if np.issubdtype(dtype, np.integer) and not np.issubdtype(given.dtype, np.integer):
        raise InputError(f"{name} is of {given.dtype}; it must be of whole numbers, as int64.")
    if not np.isfinite(given).all():
        raise InputError(f"{name} has NaN or infinite numbers; nothing was done.")
    return given.astype(dtype)
