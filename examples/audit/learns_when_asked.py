"""A scorer that learns from its own predictions, each time that it is asked for one.

Self-training at test time, with the update in `predict`. The figure then depends on how often the
evaluation loop happens to ask: twice for a token, for logging, and it is another model.
"""

import numpy as np
from counting import Counting


class Scorer(Counting):
    """Counts what it thinks likely as if it had been seen."""

    def predict(self) -> np.ndarray:
        """Return the prediction, and believe it."""
        prediction = super().predict()
        for context in self.contexts():
            counts = self.counts.setdefault(context, np.zeros(self.vocab_size))
            counts += 0.2 * np.exp(prediction)
        return prediction
