"""Ranks do not reward ties, and macro F1 is its definition."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from inklings.evaluation.likelihood.metrics.macro_f1 import macro_f1
from inklings.evaluation.likelihood.ranks import ranks


@given(
    v=st.integers(2, 12), n=st.integers(1, 8), values=st.integers(1, 6), seed=st.integers(0, 1000)
)
def test_ranks_are_places_in_a_stable_order(v: int, n: int, values: int, seed: int) -> None:
    """Few different values make ties common.

    Within the five greatest, at their edge, and beyond.
    """
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(values, (n, v), generator=generator).float()
    targets = torch.randint(v, (n,), generator=generator)
    found = ranks(logits, targets)
    for row, target, rank in zip(logits.tolist(), targets.tolist(), found.tolist(), strict=True):
        assert rank == min(
            5, sorted(range(v), key=lambda token: (-row[token], token)).index(target)
        )
    assert torch.equal(found == 0, logits.argmax(dim=1) == targets)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_macro_f1_is_the_mean_over_classes_that_occur(pairs: list[tuple[int, int]]) -> None:
    actual, predicted = (np.bincount(column, minlength=6) for column in np.array(pairs).T)
    hits = np.bincount([a for a, p in pairs if a == p], minlength=6).astype(np.int64)
    scores = []
    for label in {label for pair in pairs for label in pair}:
        right = sum(pair == (label, label) for pair in pairs)
        precision = right / max(1, sum(p == label for _, p in pairs))
        recall = right / max(1, sum(a == label for a, _ in pairs))
        scores.append(2 * precision * recall / (precision + recall) if right else 0.0)
    np.testing.assert_allclose(macro_f1(hits, predicted, actual), np.mean(scores))


def test_macro_f1_of_nothing_is_zero() -> None:
    nothing = np.zeros(3, dtype=np.int64)
    assert macro_f1(nothing, nothing, nothing) == 0.0
