"""Cutting of a split for scoring: every target has its context, whatever the batch size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

SHORTEST_WARM_UP = 512
"""Least tokens of context of a lane's first target, where the document has as many."""

LANE_OF_WARM_UPS = 8
"""Targets of a lane as a multiple of the warm-up: an eighth more is read than scored."""


def warm_up(context_length: int) -> int:
    """Return how many tokens are read, unscored, before a lane that begins within a document."""
    return max(SHORTEST_WARM_UP, context_length)


@dataclass(frozen=True)
class Lanes:
    """Stretches of a split's tokens, each scored as one row.

    Every target is scored in exactly one.
    """

    document: Int[np.ndarray, " n"]
    """Number of the document."""
    begin: Int[np.ndarray, " n"]
    """Index, in the split's tokens, of the first token that is read."""
    scored: Int[np.ndarray, " n"]
    """Index of the first token whose successor is scored."""
    end: Int[np.ndarray, " n"]
    """Index after the last token that is read: a target itself, but never an input of this lane."""

    def __len__(self) -> int:
        return len(self.begin)

    def select(self, rows: Int[np.ndarray, " m"]) -> Lanes:
        """Return some of the lanes, in the given order."""
        return Lanes(self.document[rows], self.begin[rows], self.scored[rows], self.end[rows])

    @property
    def lengths(self) -> Int[np.ndarray, " n"]:
        """How many tokens each lane reads."""
        lengths: np.ndarray = self.end - self.begin
        return lengths


def cut_lanes(offsets: Int[np.ndarray, " D1"], *, warm_up: int) -> Lanes:
    """Cut documents of more than `LANE_OF_WARM_UPS * warm_up` targets into lanes of that many.

    A shorter one is one lane. A lane reads `warm_up` tokens before its first scored one, less at
    the document's start and never those of another document. `offsets` are the D + 1 places of the
    boundaries in the split's tokens.
    """
    longest = LANE_OF_WARM_UPS * warm_up
    starts, ends = offsets[:-1].astype(np.int64), offsets[1:].astype(np.int64)
    counts = -(-(ends - starts) // longest)
    document = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
    scored = starts[document] + number * longest
    return Lanes(
        document,
        np.maximum(starts[document], scored - warm_up),
        scored,
        np.minimum(scored + longest, ends[document]),
    )
