"""The Jensen-Shannon divergence between the n-grams of samples and of real text."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Num

from inklings.evaluation.samples.ngrams import ngrams
from inklings.evaluation.samples.sample_set import SampleSet
from inklings.evaluation.statistics import Interval, group_jackknife, groups


def jensen_shannon(p: Num[np.ndarray, " U"], q: Num[np.ndarray, " U"]) -> float:
    """Return the Jensen-Shannon divergence in bits of two tables of counts (Lin 1991).

    It is symmetric, 0 for equal distributions and 1 for disjoint ones; a table without any counts
    is taken as disjoint unless both are.
    """
    total_p, total_q = p.sum(), q.sum()
    if not total_p or not total_q:
        return float(bool(total_p) != bool(total_q))
    p, q = p / total_p, q / total_q
    middle = (p + q) / 2
    value = 0.0
    for side in (p, q):
        there = side > 0
        value += float((side[there] * np.log2(side[there] / middle[there])).sum()) / 2
    return min(max(value, 0.0), 1.0)


def js_divergence(samples: SampleSet, reference: SampleSet, n: int) -> Interval:
    """Return the Jensen-Shannon divergence, base 2, of two sets' n-grams.

    End marks count as tokens. It is never 0 between finite sets of different documents: compare
    with the value of real text against real text at the same sample size.

    The interval is a delete-group jackknife over the samples' documents; the reference is fixed. A
    percentile bootstrap would lie above the estimate, since a resample repeats documents and so is
    poorer than the set. Measured on names: over 300 independent sets of 1,000 names from a bigram
    sampler, each against the same 3,204 test names, the 95% interval covered the mean value in 99%,
    98%, 94% and 96% of them for n = 1, 2, 3, 4.

    Args:
        samples: the set that is judged.
        reference: real text.
        n: tokens of an n-gram.
    """
    codes, documents = ngrams(samples, n)
    of_reference = ngrams(reference, n)[0]
    universe, place = np.unique(np.concatenate([codes, of_reference]), return_inverse=True)
    place = place.reshape(-1)
    size = len(universe)
    q = np.bincount(place[len(codes) :], minlength=size)
    own, p = place[: len(codes)], np.bincount(place[: len(codes)], minlength=size)
    estimate = jensen_shannon(p, q)
    return group_jackknife(
        estimate,
        [jensen_shannon(p - left, q) for left in _counts(own, documents, len(samples), size)],
        len(samples),
    )


def _counts(
    things: Int[np.ndarray, " G"], documents: Int[np.ndarray, " G"], n_documents: int, size: int
) -> list[Int[np.ndarray, " U"]]:
    """Return, for each group of documents, how often each of `size` things occurs in it."""
    cuts = np.searchsorted(documents, groups(n_documents))
    return [np.bincount(part, minlength=size) for part in np.split(things, cuts[1:-1])]
