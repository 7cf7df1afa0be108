"""An honest scorer: characters by what followed the last two, one, and none of them.

It begins every document knowing nothing and counts what it is told, so it learns while it is
scored. That is legal: the score of a character comes before the character. The others in this
folder begin from it, and each adds what somebody once added to lower a published figure.
"""

from __future__ import annotations

import numpy as np

ORDERS = (0, 1, 2)
PRIOR = 2.0
"""How many observations the shorter context counts for."""


class Counting:
    """Adaptive counts of ASCII characters."""

    vocab_size = 128

    def encode(self, text: str) -> list[int]:
        """Return the codes of the characters."""
        return list(text.encode("ascii"))

    def decode(self, tokens: list[int]) -> bytes:
        """Return the characters."""
        return bytes(tokens)

    def begin(self) -> None:
        """Forget all counts."""
        self.counts: dict[tuple[int, ...], np.ndarray] = {}
        self.seen: list[int] = []

    def contexts(self) -> list[tuple[int, ...]]:
        """Return the last none, one and two characters, as far as there are so many."""
        return [tuple(self.seen[len(self.seen) - n :]) for n in ORDERS if n <= len(self.seen)]

    def probabilities(self) -> np.ndarray:
        """Return the probability of every character, (V,)."""
        mixed = np.full(self.vocab_size, 1 / self.vocab_size)
        for context in self.contexts():
            counts = self.counts.get(context)
            if counts is not None:
                mixed = (counts + PRIOR * mixed) / (counts.sum() + PRIOR)
        return mixed

    def predict(self) -> np.ndarray:
        """Return log-probabilities, (V,)."""
        return np.log(self.probabilities())

    def observe(self, token: int) -> None:
        """Count a character."""
        for context in self.contexts():
            counts = self.counts.setdefault(context, np.zeros(self.vocab_size))
            counts[token] += 1
        self.seen.append(token)

    def claim(self, documents: list[list[int]]) -> list[np.ndarray]:
        """Return the nats of every character of every document."""
        return [self.nats(document) for document in documents]

    def nats(self, document: list[int]) -> np.ndarray:
        """Return what each character costs."""
        self.begin()
        costs = []
        for token in document:
            costs.append(-self.predict()[token])
            self.observe(token)
        return np.array(costs)
