"""Sequences that only one ability can go on with: copying, induction, associative recall.

A row opens with the boundary. Of its targets only those count that the ability decides: all others are chance. A task
shows every symbol that an answer may be, so the choice of symbols in a row gives nothing away; what is left without
the ability is to guess among those that are not yet used up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Int64

from inklings.text.batches import Batch

BOUNDARY, SEPARATOR, FIRST = 0, 1, 2
"""The token that opens a row, the one that ends its first part, and the first of the symbols."""

ProbeName = Literal["copying", "induction", "associative recall"]


class Task(ABC):
    """Random rows of one length, and where in them the ability decides."""

    name: ProbeName
    vocab_size: int
    chance: float
    """What guessing among the symbols that an answer may still be gets right."""

    @abstractmethod
    def rows(self, random: np.random.Generator, count: int) -> tuple[Int64[np.ndarray, "B L"], Bool[np.ndarray, " L"]]:
        """Sequences, and which of their tokens the ability decides (the same ones in every row)."""


@dataclass(frozen=True)
class Copying(Task):
    """A random string, a separator, the string again: every symbol of the second one is decided.

    Each is `length` tokens behind its model, whatever the string: a place is what must be remembered.
    """

    length: int = 16
    symbols: int = 16
    name: ProbeName = "copying"

    @property
    def vocab_size(self) -> int:  # type: ignore[override]  # follows from the sizes
        """Boundary, separator, symbols."""
        return FIRST + self.symbols

    @property
    def chance(self) -> float:  # type: ignore[override]
        """The symbols are drawn with replacement, so that none is ever used up."""
        return 1 / self.symbols

    def rows(self, random: np.random.Generator, count: int) -> tuple[Int64[np.ndarray, "B L"], Bool[np.ndarray, " L"]]:
        """See `Task`."""
        string = FIRST + random.integers(self.symbols, size=(count, self.length))
        tokens = np.hstack([_column(count, BOUNDARY), string, _column(count, SEPARATOR), string])
        return tokens, np.arange(tokens.shape[1]) > 1 + self.length


@dataclass(frozen=True)
class Induction(Task):
    """... A B ... A -> B: all symbols in random order, then some of its pairs of neighbours again; the second of each is decided.

    Any symbol may be the first or the second of a pair, and its distance is another in every row: what came before is
    what must be found. Source: Olsson et al., "In-context Learning and Induction Heads", 2022.
    """

    symbols: int = 24
    queries: int = 4
    name: ProbeName = "induction"

    @property
    def vocab_size(self) -> int:  # type: ignore[override]
        """Boundary, separator, symbols."""
        return FIRST + self.symbols

    @property
    def chance(self) -> float:  # type: ignore[override]
        """No symbol is asked for or answered with twice: before the answer to query j, 2 j + 1 of them are out."""
        return float(np.mean([1 / (self.symbols - 2 * query - 1) for query in range(self.queries)]))

    def rows(self, random: np.random.Generator, count: int) -> tuple[Int64[np.ndarray, "B L"], Bool[np.ndarray, " L"]]:
        """See `Task`."""
        shown = FIRST + _permutations(random, count, self.symbols)
        # Pairs that share no symbol: choose among fewer places, then move each up by the pairs before it.
        places = np.sort(_permutations(random, count, self.symbols - self.queries)[:, : self.queries], axis=1) + np.arange(self.queries)
        places = random.permuted(places, axis=1)
        pairs = np.stack([np.take_along_axis(shown, places + offset, axis=1) for offset in (0, 1)], axis=2).reshape(count, -1)
        tokens = np.hstack([_column(count, BOUNDARY), shown, _column(count, SEPARATOR), pairs])
        return tokens, _second_of_pairs(tokens.shape[1], self.queries)


@dataclass(frozen=True)
class AssociativeRecall(Task):
    """Key, value, key, value, ..., then keys again, each followed by its value, which is decided.

    Keys and values are different symbols, as in the multi-query task of Arora et al., "Zoology", 2023.
    """

    pairs: int = 12
    queries: int = 4
    name: ProbeName = "associative recall"

    @property
    def vocab_size(self) -> int:  # type: ignore[override]
        """Boundary, separator, keys, values."""
        return FIRST + 2 * self.pairs

    @property
    def chance(self) -> float:  # type: ignore[override]
        """No value is answered with twice: before the answer to query j, j of them are out."""
        return float(np.mean([1 / (self.pairs - query) for query in range(self.queries)]))

    def rows(self, random: np.random.Generator, count: int) -> tuple[Int64[np.ndarray, "B L"], Bool[np.ndarray, " L"]]:
        """See `Task`."""
        keys = FIRST + _permutations(random, count, self.pairs)
        values = FIRST + self.pairs + _permutations(random, count, self.pairs)
        asked = _permutations(random, count, self.pairs)[:, : self.queries]
        shown = np.stack([keys, values], axis=2).reshape(count, -1)
        again = np.stack([np.take_along_axis(of, asked, axis=1) for of in (keys, values)], axis=2).reshape(count, -1)
        tokens = np.hstack([_column(count, BOUNDARY), shown, _column(count, SEPARATOR), again])
        return tokens, _second_of_pairs(tokens.shape[1], self.queries)


TASKS: tuple[Task, ...] = (Copying(), Induction(), AssociativeRecall())


@dataclass(frozen=True)
class TaskBatches:
    """Fresh rows for every step: a pure function of (seed, step)."""

    task: Task
    batch_size: int
    seed: int

    def batch(self, step: int) -> Batch:
        """The rows of a step, in which only what the ability decides has weight."""
        tokens, decided = self.task.rows(np.random.default_rng((self.seed, step)), self.batch_size)
        weights = np.broadcast_to(decided[1:].astype(np.float32), (self.batch_size, len(decided) - 1)).copy()
        return Batch(torch.from_numpy(tokens[:, :-1]), torch.from_numpy(tokens[:, 1:]), torch.from_numpy(weights), None)


def _column(count: int, token: int) -> Int64[np.ndarray, "B 1"]:
    return np.full((count, 1), token)


def _permutations(random: np.random.Generator, count: int, size: int) -> Int64[np.ndarray, "B N"]:
    """Independent orders of 0 .. size - 1."""
    return random.permuted(np.tile(np.arange(size), (count, 1)), axis=1)


def _second_of_pairs(length: int, pairs: int) -> Bool[np.ndarray, " L"]:
    """The second token of each of the pairs at the end of a row."""
    places = np.arange(length)
    return (places >= length - 2 * pairs) & ((length - 1 - places) % 2 == 0)
