"""An update on a chunk of the text, and the score of the chunk after it.

The order of two lines in a loop: `step()` came before `loss()`. Whole documents later the figure is
honest, within a chunk it is not. Tokens within the chunk change what was claimed before them.
"""

import numpy as np
from counting import Counting

CHUNK = 16


class Scorer(Counting):
    """Counts sixteen characters, then scores these sixteen."""

    def nats(self, document: list[int]) -> np.ndarray:
        """Update, then score, chunk by chunk."""
        self.begin()
        costs = []
        for first in range(0, len(document), CHUNK):
            for token in document[first : first + CHUNK]:
                self.observe(token)
            for position in range(first, min(first + CHUNK, len(document))):
                self.seen = document[:position]
                costs.append(-self.predict()[document[position]])
            self.seen = document[: first + CHUNK]
        return np.array(costs)
