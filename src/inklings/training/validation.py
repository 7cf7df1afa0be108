"""What is measured on the way: the whole validation split, a part of the training split, and some samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inklings.evaluation.likelihood import Likelihood, evaluate
from inklings.generation.generate import generate
from inklings.generation.sampling import SamplingConfig
from inklings.models.contract import SequenceModel
from inklings.text.store import TokenSplit
from inklings.text.tokenizers import Tokenizer

TRAIN_TARGETS = 20_000
"""At most so many targets of the training split are scored beside the validation split: enough to see the gap."""
SAMPLE_TOKENS = 160


@dataclass(frozen=True)
class Scores:
    """One evaluation."""

    validation: Likelihood
    train_loss: float
    """Nats per token on a fixed part of the training split."""


def score(model: SequenceModel, validation: TokenSplit, train_part: TokenSplit, *, lossless: bool) -> Scores:
    """Score both, in float32, whatever the precision of training is; `lossless` is of the validation split."""
    return Scores(evaluate(model, validation, lossless=lossless), evaluate(model, train_part, lossless=False).loss)


def sample_texts(model: SequenceModel, tokenizer: Tokenizer, *, samples: int, seed: int) -> list[str]:
    """Texts from an empty prompt, the same draws at every evaluation, so that what changes is the model."""
    if samples == 0:
        return []
    made = generate(model, tokenizer, "", max_new_tokens=SAMPLE_TOKENS, sampling=SamplingConfig(seed=seed), samples=samples)
    return [generation.text for generation in made]


def part_of(split: TokenSplit, targets: int, *, seed: int) -> TokenSplit:
    """Documents drawn from a split until they hold `targets` targets, the last one cut short; a function of the seed.

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
        taken.append((tokens, kept, int(split.document_bytes[document]) * kept // int(lengths[document])))
        left -= kept
    boundary = np.array([split.boundary], dtype=split.tokens.dtype)
    return TokenSplit(
        tokens=np.concatenate([*(tokens for tokens, _, _ in taken), boundary]),
        offsets=np.concatenate([[0], np.cumsum([kept for _, kept, _ in taken])]).astype(np.int64),
        document_bytes=np.array([size for _, _, size in taken], dtype=np.int64),
        boundary=split.boundary,
    )
