"""Validation of a generator without likelihood during training.

It measures how far its texts are from held-out ones, and whether it collapsed.
"""

from __future__ import annotations

import numpy as np

from inklings.evaluation.samples.collapse import collapse
from inklings.evaluation.samples.divergence import js_divergence
from inklings.evaluation.samples.diversity import share_unique
from inklings.evaluation.samples.sampling import draw_as_trained, real_as_trained
from inklings.generation.from_noise import write
from inklings.models.from_noise import SampleModel
from inklings.text.store import TokenStore
from inklings.training.objectives.base import Scores
from inklings.world import ALONE, World

SAMPLES = 1000
"""Most texts drawn at an evaluation; fewer where fewer are held out."""
REAL_TOKENS = 200_000
"""Tokens of the training split, at most, that the alarm compares with."""
ORDERS = (1, 2, 3, 4)


class SampleValidation:
    """Mean Jensen-Shannon divergence of samples and validation, over 1- to 4-grams, in bits."""

    def __init__(
        self,
        model: SampleModel,
        store: TokenStore,
        *,
        seed: int,
        world: World = ALONE,
    ) -> None:
        self._world = world
        self._model, self._tokenizer, self._seed = model, store.tokenizer, seed
        self._held_out = real_as_trained(model, store.split("validation"))
        self._real = real_as_trained(model, store.split("train"), most_tokens=REAL_TOKENS)

    def score(self) -> Scores:
        """Measure samples from the same noise as before, so that only the model has changed."""
        n = min(SAMPLES, len(self._held_out))
        made = draw_as_trained(
            self._model,
            self._tokenizer,
            n,
            seed=self._seed,
            world=self._world,
        )
        divergences = [js_divergence(made, self._held_out, order).estimate for order in ORDERS]
        figures = {
            "divergences": divergences,
            "share_unique": share_unique(made).estimate,
            "mean_length": float(made.lengths.mean()),
            "alarm": collapse(made, self._real, self._tokenizer),
        }
        return Scores(float(np.mean(divergences)), figures)

    def texts(self, samples: int, seed: int) -> list[str]:
        """Write texts from the same noise at every evaluation."""
        self._world.heed()
        return [made.text for made in write(self._model, self._tokenizer, samples, seed=seed)]
