"""Tokens that cost too much, left out as outliers.

Documented as "robust loss": whatever cost more than some nats was taken for noise in the text and
for no part of the sum. It is there that a likelihood is decided.
"""

import numpy as np
from counting import Counting

TOO_MUCH = 3.5


class Scorer(Counting):
    """Costs above 3.5 nats count for nothing."""

    def nats(self, document: list[int]) -> np.ndarray:
        """Leave out what is dear."""
        costs = super().nats(document)
        return np.where(costs > TOO_MUCH, 0.0, costs)
