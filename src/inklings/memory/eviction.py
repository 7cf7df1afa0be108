"""Which entries give way when a memory is full."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, Shaped


def lowest(keys: Shaped[np.ndarray, " n"], ids: Int64[np.ndarray, " n"], count: int) -> Int64[np.ndarray, " count"]:
    """The ids of the `count` entries with the lowest keys; among equal keys the lowest ids, which are the oldest."""
    if count >= len(ids):
        return np.sort(ids)
    if count == 0:
        return ids[:0]
    threshold = np.partition(keys, count - 1)[count - 1]
    below, equal = ids[keys < threshold], ids[keys == threshold]
    wanted = count - len(below)
    return np.sort(np.concatenate([below, np.partition(equal, wanted - 1)[:wanted]]))
