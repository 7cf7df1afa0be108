"""Sums by document and by block add up, and blocks are as large as they should be."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.evaluation.likelihood.units import BLOCK_BYTES, Tally

DOCUMENTS = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 5 * BLOCK_BYTES)), min_size=1, max_size=6
)


@given(sizes=DOCUMENTS, blocks=st.booleans(), order=st.randoms())
def test_sums_add_up_whatever_the_order_of_adding(
    sizes: list[tuple[int, int]], blocks: bool, order: Random
) -> None:
    targets_of, bytes_of = (np.array(column, dtype=np.int64) for column in zip(*sizes, strict=True))
    document = np.repeat(np.arange(len(sizes)), targets_of)
    place = np.concatenate([np.arange(n) for n in targets_of])
    nats, hits = (
        np.sqrt(np.arange(len(document))),
        (np.arange(len(document)) % 3 == 0).astype(np.int64),
    )
    tally = Tally(targets_of, bytes_of, blocks=blocks)
    rows = list(range(len(document)))
    order.shuffle(rows)
    for part in np.array_split(np.array(rows), 3):
        tally.add(document[part], place[part], nats[part], hits[part])
    sums = tally.sums()
    assert sums.targets.sum() == targets_of.sum()
    assert sums.bytes.sum() == bytes_of.sum()
    assert sums.hits.sum() == hits.sum()
    assert sums.nats.sum() == pytest.approx(nats.sum())
    assert sums.targets.min() >= 1
    if blocks:
        assert len(sums) == sum(max(1, min(n, -(-size // BLOCK_BYTES))) for n, size in sizes)
    else:
        assert np.array_equal(sums.targets, targets_of)
        assert sums.nats == pytest.approx(np.bincount(document, weights=nats))


def test_blocks_are_even_and_in_order() -> None:
    tally = Tally(np.array([10_000]), np.array([10_000]), blocks=True)
    tally.add(
        np.zeros(10_000, dtype=np.int64),
        np.arange(10_000),
        np.arange(10_000.0),
        np.zeros(10_000, dtype=np.int64),
    )
    sums = tally.sums()
    assert sums.targets.tolist() == [2000] * 5 == sums.bytes.tolist()
    assert sums.nats.tolist() == [sum(range(2000 * k, 2000 * (k + 1))) for k in range(5)]
