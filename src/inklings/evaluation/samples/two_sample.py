"""The classifier two-sample test: can a simple classifier tell samples from real text?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int64

from inklings.errors import SourceError
from inklings.evaluation.samples.ngrams import ngrams
from inklings.evaluation.samples.sample_set import SampleSet, ragged
from inklings.evaluation.statistics import Interval, mean_interval

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FEATURES = 2**14
"""Number of features that n-grams are hashed to."""
ORDER = 4
LENGTHS = 256
"""Lengths have a feature each up to this one, and one for all beyond."""
PENALTY = 1.0
"""Weight of half the squared coefficients, against the sum of the losses."""


def classifier_accuracy(samples: SampleSet, reference: SampleSet) -> Interval:
    """Return how often a logistic regression tells held-out samples from as many real documents.

    It sees which n-grams of tokens a document has, n = 1 to 4, its beginning and its end counted as
    tokens, hashed, and its length. It is trained on each half and tested on the other. 0.5 is
    indistinguishable, to this classifier; 1 is told apart always. It is deterministic. The interval
    is Student's, over documents.

    Source: Lopez-Paz and Oquab 2017, "Revisiting Classifier Two-Sample Tests".

    Raises:
        SourceError: there are fewer than two documents on a side.
    """
    n = min(len(samples), len(reference))
    if n < 2:
        raise SourceError(
            f"{len(samples)} samples and {len(reference)} real documents; a test that trains on"
            " half of them needs 2 of each."
        )
    from scipy import sparse

    sides = [_features(side.select(np.arange(n))) for side in (samples, reference)]
    right = []
    halves = (slice(0, n // 2), slice(n // 2, n))
    for train, test in (halves, halves[::-1]):
        x = sparse.vstack([side[train] for side in sides], format="csr")
        weights = _fit(x, np.repeat([1.0, -1.0], x.shape[0] // 2))
        # What lies on the line is guessed: half right.
        right += [
            np.heaviside(sign * (side[test] @ weights), 0.5)
            for side, sign in zip(sides, (1, -1), strict=True)
        ]
    return mean_interval(np.concatenate(right))


def _features(samples: SampleSet) -> csr_matrix:
    """Make one row a document: 1 for each feature that it has."""
    from scipy import sparse

    sizes = samples.sizes + 1
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    tokens = np.full(int(offsets[-1]), samples.boundary)
    tokens[ragged(offsets[:-1] + 1, samples.sizes)] = samples.tokens
    opened = SampleSet(tokens, offsets, samples.ended, samples.boundary, samples.vocab_size)
    rows, columns = (
        [np.arange(len(samples))] * 2,
        [
            np.full(len(samples), FEATURES + LENGTHS),
            FEATURES + samples.lengths.clip(max=LENGTHS - 1),
        ],
    )
    for n in range(1, ORDER + 1):
        codes, documents = ngrams(opened, n)
        rows.append(documents)
        columns.append(_hashed(codes, n))
    row, column = np.concatenate(rows), np.concatenate(columns)
    width = FEATURES + LENGTHS + 1
    cells = np.unique(row * width + column)
    return sparse.csr_matrix(
        (np.ones(len(cells)), (cells // width, cells % width)), shape=(len(samples), width)
    )


def _hashed(codes: Int64[np.ndarray, " G"], n: int) -> Int64[np.ndarray, " G"]:
    mixed = (codes.view(np.uint64) + np.uint64(n)) * np.uint64(0x9E3779B97F4A7C15)
    return (
        (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(40)
    ).astype(np.int64) % FEATURES


def _fit(x: csr_matrix, labels: Float[np.ndarray, " n"]) -> Float[np.ndarray, " F"]:
    """Fit the coefficients of the penalised logistic regression; `labels` are 1 and -1."""
    from scipy import optimize, special

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = labels * (x @ weights)
        slopes = -labels * special.expit(-margins)
        return (
            float(np.logaddexp(0, -margins).sum() + PENALTY * (weights @ weights) / 2),
            x.T @ slopes + PENALTY * weights,
        )

    found = optimize.minimize(
        loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 100}
    )
    weights: np.ndarray = found.x
    return weights
