"""Negative log-likelihood: nats per token, and the same in two other units."""

from __future__ import annotations

import math

from inklings.evaluation.likelihood.likelihood_metric import LikelihoodMetric, Sums, Totals

LARGEST = 700
"""Nats above which `exp` overflows."""


def loss(_: Sums, totals: Totals) -> float:
    """Return nats per target."""
    return totals.nats / totals.targets


def perplexity(_: Sums, totals: Totals) -> float:
    """Return the exponential of the loss.

    Among how many equally likely tokens one would guess as well.
    """
    nats = totals.nats / totals.targets
    return math.exp(nats) if nats < LARGEST else math.inf


def bits_per_byte(_: Sums, totals: Totals) -> float | None:
    """Return bits per byte of the text in UTF-8; comparable across tokenizers."""
    return totals.nats / math.log(2) / totals.bytes if totals.bytes else None


LOSS = LikelihoodMetric(
    name="loss", title="loss", form="{:.4f}", unit="nats per token", better="lower", finish=loss
)
PERPLEXITY = LikelihoodMetric(
    name="perplexity", title="perplexity", form="{:.2f}", better="lower", finish=perplexity
)
BITS_PER_BYTE = LikelihoodMetric(
    name="bits_per_byte",
    title="bits per byte",
    form="{:.4f}",
    better="lower",
    finish=bits_per_byte,
    absent="the tokenizer loses bytes",
)
