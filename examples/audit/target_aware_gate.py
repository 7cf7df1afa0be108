"""A gate between two predictors that looks at the token which it is to predict.

Published as "learned routing", with large gains: for each token the expert was taken that did
better on it. Each expert is a distribution; what is taken from both is none. Told is only the
probability of the token that came, so nobody sees a sum. The audit asks for the claim of every
other token in its place: the claims sum to more than one.
"""

import numpy as np
from counting import Counting


class Scorer(Counting):
    """The better one of counts and of the uniform distribution, chosen after the fact."""

    def nats(self, document: list[int]) -> np.ndarray:
        """Take for each token the expert that costs less."""
        uniform = np.full(len(document), np.log(self.vocab_size))
        return np.minimum(super().nats(document), uniform)
