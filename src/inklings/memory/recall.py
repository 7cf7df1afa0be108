"""The recall of a backend: the share of the truly nearest vectors that it finds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int64

from inklings.memory.backends.exact import Exact
from inklings.memory.backends.index import Index

CHUNK = 65_536
"""Vectors compared at once."""


def noisy_keys(
    index: Index, ids: Int64[np.ndarray, " n"], count: int, noise: float, seed: int
) -> Float32[np.ndarray, "q d"]:
    """Return noisy copies of some vectors, to be used as queries.

    Args:
        index: the backend.
        ids: of the vectors to choose from.
        count: how many, at most.
        noise: size of the noise as a multiple of each vector's RMS.
        seed: of choice and noise.
    """
    generator = np.random.default_rng(seed)
    keys = index.vectors(np.sort(generator.choice(ids, min(count, len(ids)), replace=False)))
    size = np.sqrt(np.square(keys).mean(1, keepdims=True))
    moved: Float32[np.ndarray, "q d"] = keys + np.float32(noise) * size * generator.standard_normal(
        keys.shape, np.float32
    )
    return moved


def recall(
    index: Index, ids: Int64[np.ndarray, " n"], queries: Float32[np.ndarray, "q d"], k: int
) -> float:
    """Return the share of the nearest `min(k, n)` that a search for k finds.

    Another one at the same distance as the last of them is as good.

    Args:
        index: the backend.
        ids: of all its vectors.
        queries: (q, d).
        k: how many are searched for.
    """
    k = min(k, len(ids))
    radius = np.sort(
        np.concatenate(
            [
                _distances(index, ids[at : at + CHUNK], queries, k)
                for at in range(0, len(ids), CHUNK)
            ],
            1,
        ),
        1,
    )[:, k - 1]
    found = index.search(queries, k)[0]
    hits = 0
    for query, row, limit in zip(queries, found, radius, strict=True):
        known = row[np.isin(row, ids)]
        if len(known):
            hits += int((_distances(index, known, query[None], len(known)) <= limit).sum())
    return hits / found.size


def _distances(
    index: Index, ids: Int64[np.ndarray, " m"], queries: Float32[np.ndarray, "q d"], k: int
) -> Float32[np.ndarray, "q k"]:
    some = Exact(index.dimension, products="float32")
    some.add(ids, index.vectors(ids))
    return some.search(queries, k)[1]
