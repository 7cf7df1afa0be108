"""Validation of a model with a likelihood during training.

The whole validation split is scored, and a part of the training split; some texts are sampled.
"""

from __future__ import annotations

from inklings.evaluation.likelihood.evaluate import evaluate, finite
from inklings.generation.generate import generate
from inklings.generation.inference import in_step
from inklings.generation.sampling import SamplingConfig
from inklings.models.contract import SequenceModel
from inklings.text.store import TokenStore
from inklings.training.objectives.base import Scores
from inklings.world import ALONE, World

TRAIN_TARGETS = 20_000
"""Most targets of the training split that are scored beside the validation split: enough to see the
gap.
"""
FORWARD = 1 / 3
"""Share of a step's time that scoring as many tokens takes: it has no backward pass."""
SAMPLE_TOKENS = 160


def scored_targets(store: TokenStore) -> int:
    """Return how many targets each evaluation of a run scores, of both splits together."""
    validation = store.split("validation").n_targets
    return validation + min(TRAIN_TARGETS, validation)


class LikelihoodValidation:
    """Nats per token on the whole validation split, and on a fixed part of the training split."""

    def __init__(
        self,
        model: SequenceModel,
        store: TokenStore,
        *,
        seed: int,
        world: World = ALONE,
    ) -> None:
        self._world = world
        self._model, self._tokenizer = model, store.tokenizer
        self._split, self._lossless = store.split("validation"), store.lossless("validation")
        self._train_part = store.split("train").sample(
            min(TRAIN_TARGETS, self._split.n_targets), seed=seed
        )

    def score(self) -> Scores:
        """Score both in float32, whatever the precision of training is."""
        found, known = (
            evaluate(self._model, split, lossless=lossless, world=self._world)
            for split, lossless in ((self._split, self._lossless), (self._train_part, False))
        )
        figures = {name: value for name, value in found.metrics.items() if name != "loss"} | {
            "train_loss": known.loss,
            "train_accuracy": known.accuracy,
        }
        return Scores(found.loss, figures={name: finite(value) for name, value in figures.items()})

    def texts(self, samples: int, seed: int) -> list[str]:
        """Write texts from an empty prompt; processes share them out."""
        if samples == 0:
            return []
        share = -(-samples // self._world.size)
        first = min(self._world.rank * share, samples)
        count = min(share, samples - first)
        with in_step(self._model, self._world):
            made = (
                generate(
                    self._model,
                    self._tokenizer,
                    "",
                    max_new_tokens=SAMPLE_TOKENS,
                    sampling=SamplingConfig(seed=seed),
                    samples=count,
                    first=first,
                )
                if count
                else []
            )
        shares = self._world.gathered([generation.text for generation in made])
        return [text for texts in shares for text in texts]
