"""What is measured on the way.

The whole validation split, a part of the training split, and some samples.
"""

from __future__ import annotations

import math

import numpy as np

from inklings.evaluation.likelihood.evaluate import evaluate
from inklings.generation.generate import generate
from inklings.generation.sampling import SamplingConfig
from inklings.models.contract import Architecture, SequenceModel
from inklings.models.from_noise import SampleModel
from inklings.text.store import TokenSplit, TokenStore
from inklings.training.objectives.sample_validation import SampleValidation
from inklings.training.objectives.scores import Scores

TRAIN_TARGETS = 20_000
"""At most so many targets of the training split are scored beside the validation split: enough to
see the gap.
"""
SAMPLE_TOKENS = 160
FIGURES = ("perplexity", "bits_per_byte", "accuracy", "top5_accuracy", "macro_f1")
"""Of the validation split, in the events, beside the loss."""


class LikelihoodValidation:
    """Nats per token on the whole validation split, and on a fixed part of the training split."""

    def __init__(self, model: SequenceModel, store: TokenStore, *, seed: int) -> None:
        self._model, self._tokenizer = model, store.tokenizer
        self._split, self._lossless = store.split("validation"), store.lossless("validation")
        self._train_part = part_of(
            store.split("train"), min(TRAIN_TARGETS, self._split.n_targets), seed=seed
        )

    def score(self) -> Scores:
        """Score both, in float32, whatever the precision of training is."""
        found = evaluate(self._model, self._split, lossless=self._lossless)
        known = evaluate(self._model, self._train_part, lossless=False)
        figures = {name: getattr(found, name) for name in FIGURES} | {
            "train_loss": known.loss,
            "train_accuracy": known.accuracy,
        }
        return Scores(
            found.loss,
            figures={
                name: value if value is not None and math.isfinite(value) else None
                for name, value in figures.items()
            },
        )

    def texts(self, samples: int, seed: int) -> list[str]:
        """Texts from an empty prompt."""
        if samples == 0:
            return []
        sampling = SamplingConfig(seed=seed)
        made = generate(
            self._model,
            self._tokenizer,
            "",
            max_new_tokens=SAMPLE_TOKENS,
            sampling=sampling,
            samples=samples,
        )
        return [generation.text for generation in made]


def validation_of(
    model: Architecture, store: TokenStore, *, seed: int
) -> LikelihoodValidation | SampleValidation:
    """The way that a model of this kind is measured."""
    if isinstance(model, SampleModel):
        return SampleValidation(model, store, seed=seed)
    assert isinstance(model, SequenceModel), "an architecture is one of the two"
    return LikelihoodValidation(model, store, seed=seed)


def part_of(split: TokenSplit, targets: int, *, seed: int) -> TokenSplit:
    """Documents drawn from a split until they hold `targets` targets, the last one cut short.

    A function of the seed.

    The bytes of a document that was cut are in proportion to what is left of it.
    """
    if split.n_targets <= targets:
        return split
    lengths = np.diff(split.offsets)
    order = np.random.default_rng([seed, split.n_documents]).permutation(split.n_documents)
    taken, left = [], targets
    for document in order:
        if left <= 0:
            break
        start, kept = int(split.offsets[document]), min(int(lengths[document]), left)
        tokens = split.read(start, start + kept)
        taken.append(
            (tokens, kept, int(split.document_bytes[document]) * kept // int(lengths[document]))
        )
        left -= kept
    boundary = np.array([split.boundary], dtype=split.tokens.dtype)
    return TokenSplit(
        tokens=np.concatenate([*(tokens for tokens, _, _ in taken), boundary]),
        offsets=np.concatenate([[0], np.cumsum([kept for _, kept, _ in taken])]).astype(np.int64),
        document_bytes=np.array([size for _, _, size in taken], dtype=np.int64),
        boundary=split.boundary,
    )
