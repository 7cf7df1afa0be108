"""Logits that are read as log-probabilities.

A `log_softmax` was forgotten, or was taken out because the loss function has one. Large logits then
look like a very small loss, and a negative one raised no eyebrow.
"""

import numpy as np
from counting import Counting


class Scorer(Counting):
    """Predicts logits."""

    def predict(self) -> np.ndarray:
        """Return log-probabilities plus a constant, which a softmax would not mind."""
        return super().predict() + 2.0
