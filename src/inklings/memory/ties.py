"""The order of what is equal but for rounding is that of age, so that rounding decides nothing."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64


def order_of(
    values: Float[np.ndarray, "q n"], ids: Int64[np.ndarray, "q n"], same: float
) -> tuple[Int64[np.ndarray, "q n"], Int64[np.ndarray, "q n"]]:
    """Return the order of each row, the lowest values first, and the group at each place of it.

    Neighbours that differ by no more than `same` are of one group, in which the lowest id comes
    first. Between two infinities, which stand for nothing, no new group begins.

    Args:
        values: the lowest first.
        ids: of what has these values; the oldest has the lowest.
        same: most that two values may differ by to count as equal.
    """
    with np.errstate(invalid="ignore"):  # infinity less infinity
        groups = np.cumsum(np.diff(values, axis=1, prepend=values[:, :1]) > same, axis=1)
    return np.lexsort((ids, groups), axis=1), groups
