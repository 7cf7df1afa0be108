"""FAISS, loaded when it is first needed: an extra, which `exact` does without."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from inklings.errors import import_extra


def library(backend: str) -> Any:
    """Import the module `faiss`.

    Raises:
        MissingExtraError: it is not installed; the message names the backend and the extra.
    """
    with warnings.catch_warnings():
        # the generated bindings warn about types without a module; nothing of ours is concerned
        warnings.simplefilter("ignore", DeprecationWarning)
        return import_extra("faiss", f"the memory's backend {backend!r}", "memory")


@contextlib.contextmanager
def one_thread(faiss: Any) -> Iterator[None]:
    """Build with one thread.

    Sums in k-means and links in a graph then come in one order, the same every time.
    """
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def answer(
    faiss_index: Any, queries: Float32[np.ndarray, "q d"], k: int, **settings: Any
) -> tuple[Float32[np.ndarray, "q k"], Int64[np.ndarray, "q k"]]:
    """Search a FAISS index; return distances and labels, label -1 where there are fewer than k.

    Args:
        faiss_index: the index.
        queries: (q, d).
        k: how many.
        **settings: of the search.
    """
    distances, labels = faiss_index.search(queries, k, **settings)
    return distances, labels
