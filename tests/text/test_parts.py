from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.text.store import TokenSplit


def split_of(lengths: list[int]) -> TokenSplit:
    tokens = [
        token for number, length in enumerate(lengths) for token in (0, *[number + 1] * length)
    ]
    offsets = np.concatenate([[0], np.cumsum([length + 1 for length in lengths])]).astype(np.int64)
    return TokenSplit(
        np.array([*tokens, 0], dtype=np.uint16),
        offsets,
        np.array([2 * length for length in lengths], dtype=np.int64),
        0,
    )


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 200), st.integers(0, 3)
)
def test_a_part_has_the_size_asked_for_and_documents_of_the_whole(
    lengths: list[int], targets: int, seed: int
) -> None:
    split = split_of(lengths)
    part = split.sample(targets, seed=seed)
    assert part.n_targets == min(targets, split.n_targets)
    assert np.array_equal(part.tokens[part.offsets], np.zeros(part.n_documents + 1))
    assert part.offsets[-1] == len(part.tokens) - 1
    documents = {int(split.document(i)[0]): split.document(i) for i in range(split.n_documents)}
    found = [part.document(i) for i in range(part.n_documents)]
    for index, document in enumerate(found):
        if len(document):
            whole = documents[int(document[0])]
            assert np.array_equal(document, whole[: len(document)])
            assert index == len(found) - 1 or len(document) == len(whole)
    assert np.array_equal(split.sample(targets, seed=seed).tokens, part.tokens)


def test_another_seed_draws_other_documents() -> None:
    split = split_of([5] * 200)
    drawn = {tuple(split.sample(60, seed=seed).tokens.tolist()) for seed in range(5)}
    assert len(drawn) == 5


def test_bytes_of_a_cut_document_are_in_proportion() -> None:
    part = split_of([99]).sample(50, seed=0)
    assert part.n_bytes == pytest.approx(99, abs=1)
