"""The next token seen as a class: the macro F1."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from inklings.evaluation.likelihood.likelihood_metric import LikelihoodMetric, Sums, Totals
from inklings.evaluation.likelihood.scoring import Scored


def macro_f1(
    hits: Int[np.ndarray, " V"], predicted: Int[np.ndarray, " V"], actual: Int[np.ndarray, " V"]
) -> float:
    """Return the macro F1: the mean of 2 hits / (predicted + actual) over the classes that occur.

    A class occurs as a target or as a prediction. One that is never hit counts as 0.

    Args:
        hits: how often each class was predicted rightly.
        predicted: how often it was predicted.
        actual: how often it was the target.
    """
    occurring = predicted + actual > 0
    if not occurring.any():
        return 0.0
    return float(np.mean(2 * hits[occurring] / (predicted + actual)[occurring]))


def count(scored: Scored, vocab_size: int) -> Sums:
    """Return how often each token was predicted rightly, predicted, and the target: (3, V)."""
    hits = scored.target[scored.rank == 0]
    return np.stack(
        [
            np.bincount(tokens, minlength=vocab_size)
            for tokens in (hits, scored.prediction, scored.target)
        ]
    )


def finish(sums: Sums, _: Totals) -> float:
    """Return the macro F1 of what was counted."""
    hits, predicted, actual = sums
    return macro_f1(hits, predicted, actual)


MACRO_F1 = LikelihoodMetric(
    name="macro_f1",
    title="macro F1",
    form="{:.4f}",
    better="higher",
    count=count,
    finish=finish,
)
