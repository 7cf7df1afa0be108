"""A cache of n-grams that is asked only about the token that came.

Published as 0.02 to 0.5 bits per byte. The cache gives a hit the share of all times that the
context was followed by this token *in its slot of a hash table*, and other tokens of the same slot
get as much again. As only one slot is ever read, nothing looks odd; run honestly it scored worse
than without. The audit puts every token of the vocabulary in the place of the one that came.
"""

import numpy as np
from counting import Counting

SLOTS = 16


class Scorer(Counting):
    """Looks a context and the target up in a small hash table, where many collide."""

    def nats(self, document: list[int]) -> np.ndarray:
        """Take the larger of the counts' probability and of the cache's share of hits."""
        costs, hits = super().nats(document), np.zeros(SLOTS)
        for position, token in enumerate(document):
            slot = (sum(document[max(0, position - 2) : position]) + token) % SLOTS
            share = min(0.99, hits[slot] / 4)
            costs[position] = min(costs[position], -np.log(share) if share else np.inf)
            hits[slot] += 1
        return costs
