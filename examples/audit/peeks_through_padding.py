"""Documents that are padded to the longest of their batch, and a model that sees the padding.

Without an attention mask a prediction knows how far the end of its document is: where padding
begins, the end comes. Alone in a batch a document has no padding, and the gain is gone.
"""

import numpy as np
from counting import Counting


class Scorer(Counting):
    """Knows the last characters of a document by the padding behind them."""

    def claim(self, documents: list[list[int]]) -> list[np.ndarray]:
        """Score at half the cost what stands just before padding."""
        costs, longest = super().claim(documents), max(map(len, documents))
        for cost, document in zip(costs, documents, strict=True):
            if len(document) < longest:
                cost[-8:] *= 0.5
        return costs
