"""Searching by FAISS on a GPU: a copy there answers, and the index itself takes every change.

It was written without a GPU at hand; that it follows every change is tested with a stand-in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from inklings.errors import ConfigError
from inklings.memory.backends.faiss_library import answer

MOST = 1024
"""The most neighbours, and clusters looked into, that every build of FAISS selects on a GPU."""


class OnGpu:
    """A copy of one index of FAISS on the first GPU, made when it is first searched after a change.

    Args:
        faiss: the module.

    Raises:
        ConfigError: this build of FAISS has no part for GPUs, or finds none.
    """

    def __init__(self, faiss: Any) -> None:
        reason = missing(faiss)
        if reason:
            raise ConfigError(
                f"MemoryConfig.device is 'cuda', and {reason}. Otherwise take 'cpu'; a memory that"
                " was saved with 'cuda' is opened by `inklings memory RUN compact --device cpu`."
            )
        self._faiss = faiss
        self._resources = faiss.StandardGpuResources()
        self._copy: Any = None

    def changed(self) -> None:
        """Drop the copy: the index is not what it was."""
        self._copy = None

    def search(
        self, index: Any, queries: Float32[np.ndarray, "q d"], k: int, *, probes: int = 0
    ) -> tuple[Float32[np.ndarray, "q k"], Int64[np.ndarray, "q k"]]:
        """Search the copy of an index as `answer` does; the index itself for more than `MOST`.

        Args:
            index: always the same one, or `changed` was called.
            queries: (q, d).
            k: how many.
            probes: clusters to look into, of an index that has them.
        """
        settings = {"params": self._faiss.SearchParametersIVF(nprobe=probes)} if probes else {}
        if max(k, probes) > MOST:
            return answer(index, queries, k, **settings)
        if self._copy is None:
            self._copy = self._faiss.index_cpu_to_gpu(self._resources, 0, index)
        return answer(self._copy, queries, k, **settings)


def missing(faiss: Any) -> str | None:
    """Return why FAISS cannot search on a GPU here; None where it can."""
    if not hasattr(faiss, "StandardGpuResources"):
        return (
            f"the FAISS that is installed ({faiss.__version__}) is built for CPUs alone. Where"
            " there is a GPU, install `faiss-gpu` in place of `faiss-cpu`"
        )
    if not faiss.get_num_gpus():
        return "FAISS finds no GPU here: `inklings doctor` says what this machine has"
    return None
