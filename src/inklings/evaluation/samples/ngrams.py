"""The n-grams of a set of documents as numbers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from inklings.evaluation.samples.sample_set import SampleSet

_ODD = 0x9E3779B97F4A7C15


def ngrams(samples: SampleSet, n: int) -> tuple[Int64[np.ndarray, " G"], Int64[np.ndarray, " G"]]:
    """Return all n-grams of tokens within documents, end marks included.

    They are given as (a number for each n-gram, the document that it is of). Equal n-grams, of
    whatever set over the same vocabulary, have equal numbers. Others have others, for certain while
    the vocabulary has fewer than 2^(63/n) tokens (55,108 for n = 4); beyond, but for one pair in
    2^64.
    """
    assert n >= 1
    documents = samples.documents
    n_places = max(len(documents) - n + 1, 0)
    first, last = documents[:n_places], documents[len(documents) - n_places :]
    places = np.flatnonzero(first == last)
    base = samples.vocab_size if samples.vocab_size**n < 2**63 else _ODD
    tokens = samples.tokens.astype(np.uint64)
    codes = np.zeros(len(places), dtype=np.uint64)
    for step in range(n):
        codes = codes * np.uint64(base) + tokens[places + step]
    return codes.view(np.int64), documents[places]
