"""The memory of one row of a batch: written by one state at a time, copied when it is shared.

It is a part of checkpoints.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields

import numpy as np
import torch

from inklings.errors import ConfigError
from inklings.memory.backends.index import LocalIndex
from inklings.memory.entries import Entries
from inklings.memory.settings import MemoryConfig
from inklings.memory.store import Memory

_numbers = itertools.count(1)


def on_cpu() -> AbstractContextManager[object]:
    """Keep memories on the CPU, whatever the default device is.

    Where the CPU is the default anyway, no operation asks.
    """
    return (
        contextlib.nullcontext()
        if torch.get_default_device().type == "cpu"
        else torch.device("cpu")
    )


@dataclass(eq=False)
class Stream:
    """A memory, the number that states know it by, and how often it was written to."""

    memory: Memory
    number: int
    version: int = 0
    shared: bool = False
    """Whether another state refers to this store too; see `models.contract.Store`."""

    @classmethod
    def new(cls, config: MemoryConfig) -> Stream:
        """Make an empty store.

        Raises:
            ConfigError: the backend is a database, which many share.
        """
        if config.backend == "pgvector":
            raise ConfigError(
                "'pgvector' is a database that many share, but every row has a memory of its own."
                " Use exact, flat, ivf, ivfpq or hnsw."
            )
        return cls(Memory(config), next(_numbers))

    def copy(self) -> Stream:
        """Return a copy that can be written to while this one stays."""
        return Stream(self.memory.copy(), next(_numbers), self.version)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give all that the store is, as named arrays."""
        memory = self.memory
        assert isinstance(memory.index, LocalIndex)
        columns = {
            f"entries.{field.name}": getattr(memory.entries(), field.name)
            for field in fields(Entries)
        }
        counts = np.array([memory.clock, memory.next_id, self.version])
        index = {f"index.{name}": array for name, array in memory.index.state().items()}
        return {
            "vectors": memory.vectors(),
            "lengths": memory.lengths,
            "counts": counts,
            **columns,
            **index,
        }

    @classmethod
    def from_arrays(cls, config: MemoryConfig, arrays: Mapping[str, np.ndarray]) -> Stream:
        """Return what `to_arrays` wrote down, under a new number."""
        stream = cls.new(config)
        assert isinstance(stream.memory.index, LocalIndex)
        entries = Entries(*(arrays[f"entries.{field.name}"] for field in fields(Entries)))
        state = {
            name.removeprefix("index."): array
            for name, array in arrays.items()
            if name.startswith("index.")
        }
        stream.memory.index.restore(entries.ids, arrays["vectors"].copy(), state)
        clock, next_id, stream.version = (int(count) for count in arrays["counts"])
        stream.memory.fill(entries, arrays["lengths"], clock=clock, next_id=next_id)
        return stream
