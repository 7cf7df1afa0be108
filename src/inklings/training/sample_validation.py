"""What is measured on the way of a generator without likelihood: how far its texts are from held-out ones, and whether it collapsed."""

from __future__ import annotations

import numpy as np

from inklings.evaluation.collapse import collapse
from inklings.evaluation.divergence import js_divergence
from inklings.evaluation.diversity import share_unique
from inklings.evaluation.drawing import draw
from inklings.evaluation.sample_sets import SampleSet, documents_of, windows_of
from inklings.generation.from_noise import write
from inklings.models.from_noise import SampleModel
from inklings.text.store import TokenSplit, TokenStore
from inklings.training.scores import Scores

SAMPLES = 1000
"""At most so many texts are drawn at an evaluation: as many as are held out, or fewer."""
REAL_TOKENS = 200_000
"""Of the training split, at most, that the alarm compares with."""
ORDERS = (1, 2, 3, 4)


class SampleValidation:
    """The mean Jensen-Shannon divergence of the 1- to 4-grams of some texts and the validation split, in bits."""

    def __init__(self, model: SampleModel, store: TokenStore, *, seed: int) -> None:
        self._model, self._tokenizer, self._seed = model, store.tokenizer, seed
        self._held_out = self._texts_of(store.split("validation"), None)
        self._real = self._texts_of(store.split("train"), REAL_TOKENS)

    def _texts_of(self, split: TokenSplit, most_tokens: int | None) -> SampleSet:
        length, vocab_size = self._model.config.context_length, self._model.config.vocab_size
        if self._model.reads == "windows":
            return windows_of(split, length, vocab_size=vocab_size, most_tokens=most_tokens)
        return documents_of(split, vocab_size=vocab_size, max_length=length - 1, most_tokens=most_tokens)

    def score(self) -> Scores:
        """The same noise at every evaluation: what changes is the model."""
        n = min(SAMPLES, len(self._held_out))
        length = self._model.config.context_length
        windows = length if self._model.reads == "windows" else None
        made = draw(self._model, self._tokenizer, n, max_length=length - 1, windows=windows, seed=self._seed)
        divergences = [js_divergence(made, self._held_out, order).estimate for order in ORDERS]
        figures = {
            "divergences": divergences,
            "share_unique": share_unique(made).estimate,
            "mean_length": float(made.lengths.mean()),
            "alarm": collapse(made, self._real, self._tokenizer),
        }
        return Scores(float(np.mean(divergences)), "bits of divergence", figures)

    def texts(self, samples: int, seed: int) -> list[str]:
        """Texts from the same noise at every evaluation."""
        return [made.text for made in write(self._model, self._tokenizer, samples, seed=seed)]
