"""Diversity: whether samples differ from each other, and from the training text."""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Int, UInt64

from inklings.evaluation.samples.ngrams import ngrams
from inklings.evaluation.samples.sample_set import SampleSet
from inklings.evaluation.statistics import Interval, group_jackknife, groups, mean_interval


def distinct(samples: SampleSet, n: int) -> Interval:
    """Return the number of different n-grams over all n-grams of the samples (Li et al. 2016).

    End marks are included; it is 0 if there are no n-grams. It falls with the number of samples:
    compare between sets of one size. The interval is a delete-group jackknife over documents; on
    names, over 300 independent sets of 1,000 names from a bigram sampler, it covered the mean value
    in 94%, 98%, 95% and 95% of them for n = 1, 2, 3, 4.
    """
    codes, documents = ngrams(samples, n)
    return _share_distinct(codes, np.searchsorted(documents, groups(len(samples))), len(samples))


def share_unique(samples: SampleSet) -> Interval:
    """Return the number of different samples over all samples.

    The interval is made as that of `distinct`; it covered in 96% there.
    """
    return _share_distinct(samples.fingerprints(), groups(len(samples)), len(samples))


def _share_distinct(
    codes: Int[np.ndarray, " G"] | UInt64[np.ndarray, " G"], cuts: Int[np.ndarray, " C"], n: int
) -> Interval:
    """Return the share of different codes, and that share with each group left out.

    A group reaches from one cut to the next.
    """
    place = np.unique(codes, return_inverse=True)[1].reshape(-1)
    total = np.bincount(place)
    without = []
    for begin, end in itertools.pairwise(cuts):
        things, counts = np.unique(place[begin:end], return_counts=True)
        gone = int((total[things] == counts).sum())
        without.append(_over(len(total) - gone, len(place) - int(end - begin)))
    return group_jackknife(_over(len(total), len(place)), without, n)


def _over(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def share_novel(samples: SampleSet, known: UInt64[np.ndarray, " K"]) -> Interval:
    """Return the share of samples that are none of the known texts, given by fingerprint.

    The known texts of documents are the training documents; those of windows are all spans of the
    training text that are as long (`SampleSet.spans`), wherever they begin. Student's interval over
    samples, which has no width where all samples are alike.
    """
    return mean_interval(1.0 - np.isin(samples.fingerprints(), known))


def share_copied(samples: SampleSet, known: UInt64[np.ndarray, " K"]) -> Interval:
    """Return the share of samples that are one of the known texts: 1 less the novel share."""
    return mean_interval(1.0 * np.isin(samples.fingerprints(), known))
