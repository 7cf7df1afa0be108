"""The alarm for a generator that repeats itself; cheap enough for every evaluation in training."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Int, Int64

from inklings.errors import SourceError
from inklings.evaluation.samples.sample_set import SampleSet
from inklings.text.tokenizers import Tokenizer

SHARE = 0.01
"""One sequence, or samples with a run that is too long, are tolerated up to this share."""

RARE_RUN = 0.001
"""A run of one token is long if at most this share of real documents has one as long."""

LOW_ENTROPY = 0.5
"""Entropy per position is low below this share of that of real text."""

POSITIONS = 16
"""How many first positions of the documents are looked at."""

FEWEST = 20
"""A position counts where at least this many documents reach it, of the samples and of real text.
"""

ABOVE_SHARE, ABOVE_REAL = 0.01, 1e-4
"""How improbable a count must be, if the share were `SHARE`, and if it were that in real text."""

SHOWN = 40
"""Characters of a sequence that a message shows."""


def collapse(samples: SampleSet, real: SampleSet, tokenizer: Tokenizer | None = None) -> list[str]:
    """Return why the samples count as collapsed, in words; empty if they do not.

    Args:
        samples: what the generator wrote.
        real: real text in the same form, in a random order, the more the better: that of the
            training split.
        tokenizer: shows sequences as text in the messages instead of as numbers.

    Raises:
        SourceError: there are no samples, or no real text.
    """
    if not len(samples) or not len(real):
        raise SourceError(
            f"{len(samples)} samples and {len(real)} real documents; give at least one of each."
        )
    found = (
        _one_sequence(samples, real, tokenizer),
        _long_runs(samples, real, tokenizer),
        _low_entropy(samples, real),
    )
    return [reason for reason in found if reason is not None]


def _one_sequence(samples: SampleSet, real: SampleSet, tokenizer: Tokenizer | None) -> str | None:
    of_samples = samples.fingerprints()
    prints, first, counts = np.unique(of_samples, return_index=True, return_counts=True)
    place = int(counts.argmax())
    count, count_real = int(counts[place]), int((real.fingerprints() == prints[place]).sum())
    if not _clearly_more(count, len(samples), count_real, len(real)):
        return None
    text = _shown(samples.document(int(first[place])), tokenizer)
    return (
        f"one text, {text}, is {count / len(samples):.1%} of the samples; it is"
        f" {count_real / len(real):.2%} of real text."
    )


def _long_runs(samples: SampleSet, real: SampleSet, tokenizer: Tokenizer | None) -> str | None:
    runs, of_real = longest_runs(samples), longest_runs(real)
    # The shortest run that is long: as many real documents as may have one have shorter ones at
    # most.
    long = max(2, int(np.sort(of_real)[len(of_real) - 1 - math.floor(RARE_RUN * len(of_real))]) + 1)
    count, count_real = int((runs >= long).sum()), int((of_real >= long).sum())
    if not _clearly_more(count, len(samples), count_real, len(real)):
        return None
    example = _shown(samples.document(int(runs.argmax())), tokenizer)
    return (
        f"{count / len(samples):.1%} of the samples hold one token at least {long} times in a row,"
        f" such as {example}; {count_real / len(real):.2%} of real text does."
    )


def longest_runs(samples: SampleSet) -> Int64[np.ndarray, " N"]:
    """Return how often at most each document has one token in a row."""
    longest = np.zeros(len(samples), dtype=np.int64)
    if len(samples.tokens):
        documents = samples.documents
        new = np.ones(len(documents), dtype=bool)
        new[1:] = (samples.tokens[1:] != samples.tokens[:-1]) | (documents[1:] != documents[:-1])
        at = np.flatnonzero(new)
        np.maximum.at(longest, documents[at], np.diff(np.append(at, len(new))))
    return longest


def _low_entropy(samples: SampleSet, real: SampleSet) -> str | None:
    n = min(len(samples), len(real))  # the estimate depends on how many there are
    ours, theirs = entropies(samples.select(np.arange(n))), entropies(real.select(np.arange(n)))
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    if not both.any():
        return None
    entropy, of_real = float(ours[both].mean()), float(theirs[both].mean())
    if entropy >= LOW_ENTROPY * of_real:
        return None
    return (
        f"the samples have {entropy:.2f} bits of entropy per position (the first"
        f" {int(both.sum())}), real text {of_real:.2f}."
    )


def entropies(samples: SampleSet) -> np.ndarray:
    """Return the entropy in bits of the tokens at each of the first positions.

    It is taken over the documents that reach the position, with the correction of Miller 1955 for
    their number; NaN if too few do.
    """
    found = np.full(POSITIONS, np.nan)
    for position in range(POSITIONS):
        reaching = samples.sizes > position
        if (n := int(reaching.sum())) >= FEWEST:
            counts = np.unique(
                samples.tokens[samples.offsets[:-1][reaching] + position], return_counts=True
            )[1]
            found[position] = -(counts / n * np.log2(counts / n)).sum() + (len(counts) - 1) / (
                2 * n * math.log(2)
            )
    return found


def _clearly_more(count: int, n: int, count_real: int, n_real: int) -> bool:
    """Return whether `count` of n are clearly more than the share in real text, and than `SHARE`.

    Clearly is: by more than chance would bring.

    Were the two shares equal, `count` would be binomial among all that were counted on both sides.
    """
    if count <= SHARE * n or not binomial_tail(count, n, SHARE) < ABOVE_SHARE:
        return False
    return (
        count / n > count_real / n_real
        and binomial_tail(count, count + count_real, n / (n + n_real)) < ABOVE_REAL
    )


def binomial_tail(count: int, n: int, p: float) -> float:
    """Return the probability of at least `count` successes in n trials.

    Scipy's takes half a second to import, which training should not pay.

    Args:
        count: of successes.
        n: how many trials.
        p: the probability of a success.
    """
    k: Int[np.ndarray, " k"] = np.arange(count, n + 1)
    log_factorials = np.concatenate([np.zeros(1), np.cumsum(np.log(np.arange(1, n + 1)))])
    terms = (
        log_factorials[n]
        - log_factorials[k]
        - log_factorials[n - k]
        + k * math.log(p)
        + (n - k) * math.log1p(-p)
    )
    return float(np.exp(terms).sum())


def _shown(tokens: Int[np.ndarray, " L"], tokenizer: Tokenizer | None) -> str:
    text = (
        " ".join(map(str, tokens.tolist()))
        if tokenizer is None
        else tokenizer.decode(tokens.tolist())
    )
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")
