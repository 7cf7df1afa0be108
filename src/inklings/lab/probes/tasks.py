"""Probe tasks: sequences that only one ability can continue (copying, induction, recall).

A row opens with the boundary. Of its targets only those count that the ability decides: all others
are chance. A task shows every symbol that an answer may be, so the choice of symbols in a row gives
nothing away; what is left without the ability is to guess among those that are not yet used up.
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

GROWN = 0.6
"""Share of the steps after which a lesson is as long as what is scored."""

ProbeName = Literal["copying", "induction", "associative recall"]


class ProbeTask(ABC):
    """A probe task: random rows of one length, with the positions that the ability decides."""

    name: ProbeName
    vocab_size: int
    chance: float
    """What guessing among the symbols that an answer may still be gets right."""

    @abstractmethod
    def rows(self, random: np.random.Generator, count: int) -> TaskRows:
        """Make the rows that are scored."""

    @abstractmethod
    def lesson(self, random: np.random.Generator, count: int, share: float) -> TaskRows:
        """Make the rows that are trained on at a moment of the training.

        Shorter rows come first, without which a few hundred steps teach nothing.

        Args:
            random: the generator.
            count: how many rows.
            share: share of the steps that is over.
        """


@dataclass(frozen=True)
class TaskRows:
    """Sequences of one length, and the tokens that the ability decides.

    The same positions are decided in every row.
    """

    tokens: Int64[np.ndarray, "B L"]
    decided: Bool[np.ndarray, " L"]


@dataclass(frozen=True)
class Copying(ProbeTask):
    """A random string, a separator, the string again: every symbol of the second one is decided.

    The string always has the same length: the answer is the symbol at a fixed distance, whatever it
    is.
    """

    length: int = 16
    symbols: int = 16
    name: ProbeName = "copying"

    @property
    def vocab_size(self) -> int:  # type: ignore[override]  # follows from the sizes
        """The number of tokens: boundary, separator, symbols."""
        return FIRST + self.symbols

    @property
    def chance(self) -> float:  # type: ignore[override]
        """The symbols are drawn with replacement, so that none is ever used up."""
        return 1 / self.symbols

    def rows(self, random: np.random.Generator, count: int) -> TaskRows:
        """Make rows of random symbols that are copied."""
        string = FIRST + random.integers(self.symbols, size=(count, self.length))
        tokens = np.hstack([_column(count, BOUNDARY), string, _column(count, SEPARATOR), string])
        return TaskRows(tokens, np.arange(tokens.shape[1]) > 1 + self.length)

    def lesson(self, random: np.random.Generator, count: int, share: float) -> TaskRows:
        """Return the same rows from the start.

        This is learned soon, and other lengths would teach other distances.
        """
        return self.rows(random, count)


@dataclass(frozen=True)
class Induction(ProbeTask):
    """Induction: ... A B ... A -> B.

    A row is all symbols in random order, then some of its pairs of neighbours again; the second of
    each pair is decided. Any symbol may be the first or the second of a pair, and its distance is
    another in every row: the answer is what stood behind the same symbol. Source: Olsson et al.,
    "In-context Learning and Induction Heads", 2022.
    """

    symbols: int = 16
    queries: int = 4
    name: ProbeName = "induction"

    @property
    def vocab_size(self) -> int:  # type: ignore[override]
        """The number of tokens: boundary, separator, symbols."""
        return FIRST + self.symbols

    @property
    def chance(self) -> float:  # type: ignore[override]
        """No symbol is asked for or answered with twice.

        Before the answer to query j, 2 j + 1 of them are out.
        """
        return float(np.mean([1 / (self.symbols - 2 * query - 1) for query in range(self.queries)]))

    def rows(self, random: np.random.Generator, count: int) -> TaskRows:
        """Make rows in which pairs of neighbours come again."""
        return self._rows(random, count, self.symbols)

    def lesson(self, random: np.random.Generator, count: int, share: float) -> TaskRows:
        """Return the order has some of the symbols, four at first."""
        return self._rows(random, count, _grown(4, self.symbols, share))

    def _rows(self, random: np.random.Generator, count: int, length: int) -> TaskRows:
        queries = min(self.queries, length // 2)
        shown = FIRST + _permutations(random, count, self.symbols)[:, :length]
        # Pairs that share no symbol: choose among fewer places, then move each up by the pairs
        # before it.
        places = np.sort(
            _permutations(random, count, length - queries)[:, :queries], axis=1
        ) + np.arange(queries)
        places = random.permuted(places, axis=1)
        return _asked(shown, _at(shown, places), _at(shown, places + 1))


@dataclass(frozen=True)
class AssociativeRecall(ProbeTask):
    """Key, value, key, value, ..., then some keys again, each followed by its value.

    Those values are decided. Keys and values are different symbols, as in the multi-query task of
    Arora et al., "Zoology", 2023.
    """

    pairs: int = 8
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

    def rows(self, random: np.random.Generator, count: int) -> TaskRows:
        """Make rows of keys and values, some asked for again."""
        keys = FIRST + _permutations(random, count, self.pairs)
        values = FIRST + self.pairs + _permutations(random, count, self.pairs)
        asked = _permutations(random, count, self.pairs)[:, : self.queries]
        return _asked(
            np.stack([keys, values], axis=2).reshape(count, -1),
            _at(keys, asked),
            _at(values, asked),
        )

    def lesson(self, random: np.random.Generator, count: int, share: float) -> TaskRows:
        """Begin with induction over the same symbols, of which this task is a part.

        From nothing, even transformers take thousands of steps.
        """
        if share < GROWN:
            return Induction(2 * self.pairs, self.queries).lesson(random, count, share)
        return self.rows(random, count)


TASKS: tuple[ProbeTask, ...] = (Copying(), Induction(), AssociativeRecall())


@dataclass(frozen=True)
class TaskBatches:
    """Fresh rows for every step: a pure function of (seed, step)."""

    task: ProbeTask
    batch_size: int
    steps: int
    seed: int

    def batch(self, step: int) -> Batch:
        """Return the lesson of a step, in which only what the ability decides has weight."""
        return as_batch(
            self.task.lesson(
                np.random.default_rng((self.seed, step)), self.batch_size, (step + 1) / self.steps
            )
        )


def as_batch(rows: TaskRows) -> Batch:
    """Return the rows with their targets, of which those weigh that the ability decides."""
    count, length = rows.tokens.shape
    weights = np.broadcast_to(rows.decided[1:].astype(np.float32), (count, length - 1)).copy()
    return Batch(
        torch.from_numpy(rows.tokens[:, :-1]),
        torch.from_numpy(rows.tokens[:, 1:]),
        torch.from_numpy(weights),
        None,
    )


def _asked(
    shown: Int64[np.ndarray, "B N"],
    questions: Int64[np.ndarray, "B Q"],
    answers: Int64[np.ndarray, "B Q"],
) -> TaskRows:
    """Return what is shown, a separator, and each question with its answer, which is decided."""
    count, queries = questions.shape
    pairs = np.stack([questions, answers], axis=2).reshape(count, -1)
    tokens = np.hstack([_column(count, BOUNDARY), shown, _column(count, SEPARATOR), pairs])
    behind = tokens.shape[1] - 1 - np.arange(tokens.shape[1])
    return TaskRows(tokens, (behind < 2 * queries) & (behind % 2 == 0))


def _at(of: Int64[np.ndarray, "B N"], places: Int64[np.ndarray, "B Q"]) -> Int64[np.ndarray, "B Q"]:
    """Return the tokens at places of each row."""
    return np.take_along_axis(of, places, axis=1)


def _grown(least: int, most: int, share: float) -> int:
    """Return a size that has grown up when `GROWN` of the steps are over."""
    return max(least, min(most, round(most * share / GROWN)))


def _column(count: int, token: int) -> Int64[np.ndarray, "B 1"]:
    return np.full((count, 1), token)


def _permutations(random: np.random.Generator, count: int, size: int) -> Int64[np.ndarray, "B N"]:
    """Draw independent orders of 0 .. size - 1."""
    return random.permuted(np.tile(np.arange(size), (count, 1)), axis=1)
