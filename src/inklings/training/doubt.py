"""Doubts about a finite loss: does it mean that the model learned anything?

The end of a run is compared with its beginning, and with what counting tokens gets.
"""

from __future__ import annotations

import math

import numpy as np

from inklings.text.store import TokenStore

COUNTED = 5_000_000
"""Most tokens of the training part that are counted, and of the validation part that are scored."""
FAR = 0.1
"""Nats above the unigram's loss from which a doubt is raised. Where uniform guessing is near, half
the distance to it.
"""


def doubt_of(
    store: TokenStore, *, loss: float, first: float | None, likelihood: bool
) -> str | None:
    """Return what is wrong with the last validation loss of a run; None where nothing is.

    It is a sentence without its full stop.

    Args:
        store: the text.
        loss: the validation loss at the end, in the unit of the objective.
        first: a likelihood's of the first step, any other loss of the first evaluation; None where
            there was none.
        likelihood: whether it is one: nats per token.
    """
    said = []
    if first is not None and loss > first:
        said.append(f"it lies above where the run began ({_figure(first)})")
    if likelihood:
        guessing, unigram = math.log(store.tokenizer.vocab_size), unigram_loss(store)
        if loss > guessing + FAR:
            said.append(f"guessing gets {_figure(guessing)}")
        elif loss > unigram + min(FAR, (guessing - unigram) / 2) and unigram < guessing:
            said.append(f"knowing only how often each token occurs gets {_figure(unigram)}")
    return f"the validation loss ended at {_figure(loss)}: {' and '.join(said)}" if said else None


def unigram_loss(store: TokenStore) -> float:
    """Return nats per token of validation under add-one smoothed token frequencies of train."""
    train, held_out = (store.split(name).read(0, COUNTED) for name in ("train", "validation"))
    counts = np.bincount(train[1:], minlength=store.tokenizer.vocab_size) + 1.0
    return float(-np.log(counts / counts.sum())[held_out[1:]].mean())


def _figure(value: float) -> str:
    return f"{value:.4g}"
