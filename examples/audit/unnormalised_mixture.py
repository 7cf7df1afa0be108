"""Predictions of two models added up, and never divided.

Published with "probabilities" that summed to 277 and more, and claims of a fraction of the honest
bits per byte. Whoever returns whole distributions is found out by adding them.
"""

import numpy as np
from counting import Counting


class Scorer(Counting):
    """Adds the probability of a cache of recent characters to that of the counts."""

    def predict(self) -> np.ndarray:
        """Return logarithms of what is no distribution."""
        mixed = self.probabilities()
        for token in self.seen[-20:]:
            mixed[token] += 0.5 * (1 - mixed[token])
        return np.log(mixed)
