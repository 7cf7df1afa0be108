"""BatchNorm that is left in training mode, so that a text is scored with statistics of its batch.

The logits are centred by the mean over all documents that happen to be scored together. What is
claimed for a document then depends on its company, and on how large a batch fitted into memory.
"""

import numpy as np
from counting import Counting


class Scorer(Counting):
    """Centres what is known of characters over the batch."""

    def claim(self, documents: list[list[int]]) -> list[np.ndarray]:
        """Move the costs by how common each character is in the batch."""
        batch = [token for document in documents for token in document]
        common = np.bincount(batch, minlength=self.vocab_size) / max(1, len(batch))
        costs = super().claim(documents)
        return [
            cost - np.log1p(common[document])
            for cost, document in zip(costs, documents, strict=True)
        ]
