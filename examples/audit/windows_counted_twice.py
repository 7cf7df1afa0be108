"""A sliding window whose tokens are summed once and counted twice.

Windows overlap by half, so that every token has a past. The sum took the new half of each window,
the number of tokens all of it: half of the loss, from an average over the wrong number.
"""

import numpy as np
from counting import Counting


class Scorer(Counting):
    """Divides by twice as many tokens as it scored."""

    def claim(self, documents: list[list[int]]) -> list[np.ndarray]:
        """Return the mean over both halves, for each document times its tokens."""
        costs = super().claim(documents)
        return [np.array([cost.sum() / (2 * len(cost)) * len(cost)]) for cost in costs]
