"""BLEU of samples against real text, and self-BLEU of samples against each other.

Both are the mean over the samples of sentence BLEU-4 (Papineni et al. 2002): the geometric mean of
the shares of a sample's n-grams, n = 1 to 4, that are in the references, each counted at most as
often as in the one reference that has it most often; times the brevity penalty exp(1 - r/c) for a
sample of c tokens shorter than the reference nearest to it in length, of r tokens (of two as near
the shorter). A share of zero is replaced by 0.1 / (number of n-grams, at least 1), smoothing 1 of
Chen and Cherry 2014; a sample without any token of the references scores 0. End marks are tokens.
Self-BLEU (Zhu et al. 2018) takes all other samples as references. Both depend on how many
references there are: they compare between sets of one size only.
"""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float, Int

from inklings.evaluation.samples.ngrams import ngrams
from inklings.evaluation.samples.sample_set import SampleSet
from inklings.evaluation.statistics import Interval, group_jackknife, groups, mean_interval

ORDER = 4
EPSILON = 0.1

SELF_GROUPS = 20
"""Groups of the jackknife of self-BLEU; each needs a computation of its own."""


def bleu(samples: SampleSet, reference: SampleSet) -> Interval:
    """Mean BLEU-4 of the samples with all of the reference as references.

    Student's interval over samples.

    It covered the mean value in 94% of 300 independent sets of 1,000 names from a bigram sampler,
    against 3,204 test names.
    """
    return mean_interval(bleu_scores(samples, reference))


def self_bleu(samples: SampleSet) -> Interval:
    """Mean BLEU-4 of each sample with all the others as references.

    Near 1, samples repeat each other.

    The interval is a delete-group jackknife, since every sample is a reference of the others too:
    Student's interval over samples covered the mean value in 87% of 300 independent sets of 1,000
    names from a bigram sampler, this one in 96%.
    """
    rows = np.arange(len(samples))
    cuts = groups(len(samples), SELF_GROUPS)
    without = [
        _mean(self_bleu_scores(samples.select(np.delete(rows, rows[a:b]))))
        for a, b in itertools.pairwise(cuts)
    ]
    return group_jackknife(_mean(self_bleu_scores(samples)), without, len(samples))


def _mean(scores: Float[np.ndarray, " N"]) -> float:
    return float(scores.mean()) if len(scores) else 0.0


def bleu_scores(samples: SampleSet, reference: SampleSet) -> Float[np.ndarray, " N"]:
    """Compute BLEU-4 of each sample."""
    matches = np.stack([_matches(samples, reference, n) for n in range(1, ORDER + 1)], axis=1)
    lengths, counts = np.unique(reference.sizes, return_counts=True)
    return _score(matches, samples.sizes, _nearest(samples.sizes, lengths, counts, itself=0))


def self_bleu_scores(samples: SampleSet) -> Float[np.ndarray, " N"]:
    """Return the BLEU-4 of each sample against the others; 0 for a single one."""
    if len(samples) < 2:
        return np.zeros(len(samples))
    matches = np.stack([_matches_of_others(samples, n) for n in range(1, ORDER + 1)], axis=1)
    lengths, counts = np.unique(samples.sizes, return_counts=True)
    return _score(matches, samples.sizes, _nearest(samples.sizes, lengths, counts, itself=1))


def _counted(
    codes: Int[np.ndarray, " G"], documents: Int[np.ndarray, " G"]
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Return each n-gram of each document with its count, by n-gram, the greatest count first."""
    order = np.lexsort((documents, codes))
    codes, documents = codes[order], documents[order]
    new = np.ones(len(codes), dtype=bool)
    new[1:] = (codes[1:] != codes[:-1]) | (documents[1:] != documents[:-1])
    at = np.flatnonzero(new)
    codes, documents, counts = codes[at], documents[at], np.diff(np.append(at, len(new)))
    order = np.lexsort((-counts, codes))
    return codes[order], documents[order], counts[order]


def _matches(samples: SampleSet, reference: SampleSet, n: int) -> Int[np.ndarray, " N"]:
    """Count each sample's n-grams that the references have, clipped to the most in one."""
    codes, documents, counts = _counted(*ngrams(samples, n))
    known, _, most = _counted(*ngrams(reference, n))
    known, first = np.unique(known, return_index=True)
    if not len(known):
        return np.zeros(len(samples), dtype=np.int64)
    place = np.searchsorted(known, codes).clip(max=len(known) - 1)
    clipped = np.where(known[place] == codes, np.minimum(counts, most[first[place]]), 0)
    return np.bincount(documents, weights=clipped, minlength=len(samples)).astype(np.int64)


def _matches_of_others(samples: SampleSet, n: int) -> Int[np.ndarray, " N"]:
    """Count each sample's n-grams that other samples have, clipped to the most in one."""
    codes, documents, counts = _counted(*ngrams(samples, n))
    _, first, holders = np.unique(codes, return_index=True, return_counts=True)
    top = counts[first]
    second = np.zeros_like(top)
    several = holders > 1
    second[several] = counts[first[several] + 1]
    # Whoever has the greatest count is met by the second greatest, which equals it where two have
    # it.
    of_others = np.where(
        counts == np.repeat(top, holders), np.repeat(second, holders), np.repeat(top, holders)
    )
    return np.bincount(
        documents, weights=np.minimum(counts, of_others), minlength=len(samples)
    ).astype(np.int64)


def _nearest(
    sizes: Int[np.ndarray, " N"],
    lengths: Int[np.ndarray, " L"],
    counts: Int[np.ndarray, " L"],
    *,
    itself: int,
) -> Int[np.ndarray, " N"]:
    """Return, for each size, the length of the reference that is nearest to it.

    With `itself`, each size is one of those counted, and is not a reference for itself.
    """
    place = np.searchsorted(lengths, sizes)
    at = place.clip(max=len(lengths) - 1)
    equal = (lengths[at] == sizes) & (counts[at] > itself)
    below = np.where(place > 0, lengths[(place - 1).clip(min=0)], -np.inf)
    up = np.where(lengths[at] == sizes, place + 1, place)
    above = np.where(up < len(lengths), lengths[up.clip(max=len(lengths) - 1)], np.inf)
    nearest = np.where(sizes - below <= above - sizes, below, above)
    return np.where(equal, sizes, nearest).astype(np.int64)


def _score(
    matches: Int[np.ndarray, "N order"],
    sizes: Int[np.ndarray, " N"],
    reference: Int[np.ndarray, " N"],
) -> Float[np.ndarray, " N"]:
    n_grams = np.maximum(sizes[:, None] - np.arange(matches.shape[1]), 1)
    precision = np.where(matches > 0, matches, EPSILON) / n_grams
    brevity = np.exp(np.minimum(0.0, 1 - reference / np.maximum(sizes, 1)))
    return np.where(matches[:, 0] > 0, brevity * np.exp(np.log(precision).mean(axis=1)), 0.0)
