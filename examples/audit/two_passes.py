"""A text that is read once to learn, and a second time to be scored.

Published as "test-time training, two epochs". The second epoch scores tokens that the first one has
learned. One pass, the score first and the update then, is what a figure may come from.
"""

import numpy as np
from counting import Counting


class Scorer(Counting):
    """Counts a document, and scores it with the counts."""

    def nats(self, document: list[int]) -> np.ndarray:
        """Read it twice; the second time counts."""
        super().nats(document)
        costs = []
        for position, token in enumerate(document):
            self.seen = document[:position]
            costs.append(-self.predict()[token])
        return np.array(costs)
