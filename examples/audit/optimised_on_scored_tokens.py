"""A vector that is fitted to a text at test time, and then scored on that very text.

Known as SLOT: a few steps of gradient descent on the loss of the tokens, and then the loss of the
same tokens, "sample-specific adaptation at test time". Each prediction has read its own answer
through the vector. Adapting to a token *after* it was scored is legal and gains far less.
"""

import numpy as np
from counting import Counting

STEPS, RATE = 20, 1.0


class Scorer(Counting):
    """Adds a bias to all logits of a document, fitted to the document."""

    def nats(self, document: list[int]) -> np.ndarray:
        """Fit the bias, then score."""
        self.begin()
        logits = []
        for token in document:
            logits.append(self.predict())
            self.observe(token)
        if not document:
            return np.zeros(0)
        given, bias = np.array(logits), np.zeros(self.vocab_size)
        share = np.bincount(document, minlength=self.vocab_size) / len(document)
        for _ in range(STEPS):
            bias += RATE * self.vocab_size**0.5 * (share - _softmax(given + bias).mean(axis=0))
        return -np.log(_softmax(given + bias))[np.arange(len(document)), document]


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
