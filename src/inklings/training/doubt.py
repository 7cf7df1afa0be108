"""Whether a finite loss means anything.

The end of a run is set beside its beginning and beside what counting tokens gets.
"""

from __future__ import annotations

import math

import numpy as np

from inklings.text.store import TokenStore

COUNTED = 5_000_000
"""Tokens are counted in so much of the training part, and scored on so much of the validation part.
"""
FAR = 0.1
"""Nats above the unigram's loss that ask for a word; less, where guessing lies no further above it
than twice that.
"""


def doubt_of(store: TokenStore, *, loss: float, first: float | None, nats: bool) -> str | None:
    """What is wrong with a validation loss that a run ended with, in a sentence without its end.

    None where nothing is.

    Args:
        store: the text.
        loss: the validation loss at the end, in nats per token or, of a generator without
            likelihood, in its own measure.
        first: of the first step, in nats per token, or of the first evaluation in that measure;
            None where there was none.
        nats: whether it is in nats per token.
    """
    said = []
    if first is not None and loss > first:
        said.append(f"it lies above where the run began ({_figure(first)})")
    if nats:
        guessing, unigram = math.log(store.tokenizer.vocab_size), unigram_loss(store)
        if loss > guessing + FAR:
            said.append(f"guessing gets {_figure(guessing)}")
        elif loss > unigram + min(FAR, (guessing - unigram) / 2) and unigram < guessing:
            said.append(f"knowing only how often each token occurs gets {_figure(unigram)}")
    return f"the validation loss ended at {_figure(loss)}: {' and '.join(said)}" if said else None


def unigram_loss(store: TokenStore) -> float:
    """Nats per token of validation under the frequencies of train, each counted once more."""
    train, held_out = (store.split(name).read(0, COUNTED) for name in ("train", "validation"))
    counts = np.bincount(train[1:], minlength=store.tokenizer.vocab_size) + 1.0
    return float(-np.log(counts / counts.sum())[held_out[1:]].mean())


def _figure(value: float) -> str:
    return f"{value:.4g}"
