"""Checks of the arrays that callers give a memory, and their conversion."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import DTypeLike, NDArray

from inklings.errors import InputError

LONGEST = 1e15
"""Longer vectors are refused: squared distances between them would leave the range of float32."""


def checked_vectors(vectors: NDArray[Any], dimension: int, what: str) -> Float32[np.ndarray, "n d"]:
    """Return a copy of vectors as float32, or refuse them.

    Args:
        vectors: (n, dimension).
        dimension: of the memory.
        what: their name in messages.

    Raises:
        InputError: they have another shape, or components that are not real numbers, not finite or
            too large.
    """
    given = _array(vectors, what)
    if given.ndim != 2 or given.shape[1] != dimension:
        raise InputError(
            f"{what} have the shape {given.shape}; this memory takes (n, {dimension})."
        )
    plain = _as_float32(given, what)
    bad = np.flatnonzero(~(lengths(plain) <= LONGEST))
    if len(bad):
        raise InputError(
            f"{what}[{bad[0]}] has NaN, infinite or too large components ({len(bad)} of"
            f" {len(plain)} have); nothing was done."
        )
    return plain


def lengths(vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, " n"]:
    """Return the L2 length of each vector.

    Not a number or infinite where a component is, or where it is beyond float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squared: Float32[np.ndarray, " n"] = np.einsum("nd,nd->n", vectors, vectors)
        return squared ** np.float32(0.5)


def checked_ids(ids: NDArray[Any]) -> Int64[np.ndarray, " n"]:
    """Return a flat copy of ids as int64, or refuse them.

    Raises:
        InputError: they are not whole numbers, or not all of their type fit into int64.
    """
    given = _array(ids, "ids")
    return (_as_int64(given, "ids") if given.size else given.astype(np.int64)).reshape(-1)


def checked_column(name: str, given: NDArray[Any], count: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return a copy of one number for each entry or query, or refuse it.

    Args:
        name: of the column, in messages.
        given: (count,).
        count: how many entries or queries there are.
        dtype: of the copy.

    Raises:
        InputError: it has another shape, fractions where whole numbers are kept, or numbers that
            are not finite in `dtype`.
    """
    plain = _array(given, name)
    if plain.shape != (count,):
        raise InputError(
            f"{name} has the shape {plain.shape}; there are {count} vectors: give ({count},)."
        )
    if np.issubdtype(dtype, np.integer):
        return _as_int64(plain, name)
    column = _as_float32(plain, name)
    if not np.isfinite(column).all():
        raise InputError(
            f"{name} has NaN or infinite numbers, or some beyond {np.finfo(np.float32).max:.1e},"
            " the largest of float32; nothing was done."
        )
    return column


def _array(given: Any, what: str) -> NDArray[Any]:
    try:
        return np.asarray(given)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{what} cannot be read as an array: {error}.") from None


def _as_float32(given: NDArray[Any], what: str) -> Float32[np.ndarray, " ..."]:
    """Return a copy of real numbers as float32; those beyond it become infinite."""
    if given.dtype.kind not in "fiu" or given.dtype == np.uint64:
        raise InputError(
            f"{what} is of {given.dtype}, which float32 cannot hold; give real numbers, as float32"
            " or float64."
        )
    with np.errstate(over="ignore"):
        return np.array(given, np.float32, order="C")


def _as_int64(given: NDArray[Any], what: str) -> Int64[np.ndarray, " ..."]:
    """Return a copy of whole numbers as int64."""
    if given.dtype.kind not in "iu":
        raise InputError(f"{what} is of {given.dtype}; it must be of whole numbers, as int64.")
    if given.dtype == np.uint64:
        raise InputError(
            f"{what} is of uint64, whose larger half int64 would take for negative; give whole"
            " numbers as int64."
        )
    return np.array(given, np.int64, order="C")
