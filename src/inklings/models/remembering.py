"""The interface of a model with a memory: entries of a text, queries, and a memory from outside."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int, Int64
from torch import Tensor

from inklings.memory.entries import Hits
from inklings.memory.store import Memory
from inklings.models.contract import State


@dataclass(frozen=True)
class Written:
    """The entries that a model would write of one document, in the order of the text."""

    vectors: Float32[np.ndarray, "n d"]
    values: Int64[np.ndarray, " n"]
    """The token that followed each."""
    positions: Int64[np.ndarray, " n"]
    """The place of each value in the document; the boundary that opens it is at 0."""
    scores: Float32[np.ndarray, " n"]
    """What each is worth to the model, above 0 and up to 1."""


@dataclass(frozen=True)
class Recollection:
    """The hits of every position of one row, and their shares in the predictions."""

    hits: Hits
    """What was found at each position, (T, k)."""
    weights: Float32[np.ndarray, "T k"]
    """The share of each hit in the prediction, from 0 to 1; 0 where there is no hit."""
    outside: np.ndarray
    """(T, k), bool: whether the hit comes from the long-term memory."""


@runtime_checkable
class Remembering(Protocol):
    """A `SequenceModel` that reads from a memory."""

    dimension: int
    """The size of the vectors of its memory."""
    long_term: Memory | None
    """A memory from outside that every row reads and none writes; None where there is none."""

    def written(self, tokens: Int[Tensor, "1 T"]) -> Written:
        """Return the entries that the model would write of a document.

        The document comes with its opening boundary, and with its closing one to keep its end.
        """
        ...

    def recording(self) -> AbstractContextManager[list[list[Recollection]]]:
        """Give a list that gets, for every pass within the block, what each row found."""
        ...

    def queries(self, tokens: Int[Tensor, "1 T"]) -> Float32[np.ndarray, "T d"]:
        """Return the search vectors after each token of a text that begins with the boundary."""
        ...


@runtime_checkable
class Storing(Remembering, Protocol):
    """One that also writes a memory for each row of a batch while it reads."""

    def state_from_tensors(self, tensors: dict[str, Tensor]) -> State:
        """Make the state that a checkpoint has; see `SequenceModel`."""
        ...

    def row_memories(self, state: State) -> list[Memory]:
        """Return the memory of each row; documents are counted from 0 since the state was made."""
        ...
