"""Sets of documents hold what they were cut from, and their fingerprints tell documents apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import ConfigError, SourceError
from inklings.evaluation.samples.sample_set import SampleSet, documents_of, sample_set, windows_of
from inklings.text.store import TokenSplit

V = 11
MakeSplit = Callable[..., TokenSplit]
DOCUMENTS = st.lists(
    st.tuples(st.lists(st.integers(1, 3), max_size=8), st.booleans()), min_size=1, max_size=12
)


def make(documents: list[tuple[list[int], bool]]) -> SampleSet:
    return sample_set(
        [tokens for tokens, _ in documents],
        [ended for _, ended in documents],
        boundary=0,
        vocab_size=V,
    )


@given(DOCUMENTS)
def test_rows_come_back_and_fingerprints_are_equal_for_equal_documents_only(
    documents: list[tuple[list[int], bool]],
) -> None:
    samples = make(documents)
    assert [samples.document(i).tolist() for i in range(len(samples))] == [
        tokens for tokens, _ in documents
    ]
    assert samples.lengths.tolist() == [len(tokens) for tokens, _ in documents]
    prints = samples.fingerprints()
    for i, one in enumerate(documents):
        for j, other in enumerate(documents):
            assert (prints[i] == prints[j]) == (one == other)


@given(DOCUMENTS)
def test_selecting_keeps_documents_whole(documents: list[tuple[list[int], bool]]) -> None:
    rows = np.random.default_rng(len(documents)).integers(len(documents), size=7)
    chosen = make(documents).select(rows)
    assert [(chosen.document(i).tolist(), bool(chosen.ended[i])) for i in range(7)] == [
        documents[row] for row in rows
    ]


@given(DOCUMENTS, st.integers(1, 4))
def test_spans_are_those_of_a_loop(documents: list[tuple[list[int], bool]], width: int) -> None:
    spans = [
        tokens[at : at + width] for tokens, _ in documents for at in range(len(tokens) - width + 1)
    ]
    expected = (
        make([(span, False) for span in spans]).fingerprints()
        if spans
        else np.zeros(0, dtype=np.uint64)
    )
    assert make(documents).spans(width).tolist() == expected.tolist()


def test_a_stream_has_a_boundary_around_every_document() -> None:
    assert make([([1, 2], True), ([3], False), ([], True)]).stream().tolist() == [
        0,
        1,
        2,
        0,
        3,
        0,
        0,
    ]


def test_documents_of_a_split_are_all_there_and_cut_where_too_long(split_of: MakeSplit) -> None:
    found = documents_of(split_of([[1, 2, 3], [4], [], [5, 6]]), vocab_size=V, max_length=2, seed=3)
    assert sorted((found.document(i).tolist(), bool(found.ended[i])) for i in range(4)) == [
        ([], True),
        ([1, 2], False),
        ([4], True),
        ([5, 6], True),
    ]
    assert found.tokens[found.offsets[1:][found.ended] - 1].tolist() == [0, 0, 0]


def test_the_seed_decides_the_order_and_a_limit_takes_the_first(split_of: MakeSplit) -> None:
    split = split_of([[1 + i % 9] * (1 + i % 3) for i in range(40)])
    one, same, other = (
        documents_of(split, vocab_size=V, max_length=9, seed=seed) for seed in (1, 1, 2)
    )
    assert one.tokens.tolist() == same.tokens.tolist() != other.tokens.tolist()
    few = documents_of(split, vocab_size=V, max_length=9, seed=1, most_tokens=20)
    assert len(few.tokens) <= 20 < len(few.tokens) + 4
    assert few.tokens.tolist() == one.tokens[: len(few.tokens)].tolist()


def test_windows_lie_within_documents_one_after_another(split_of: MakeSplit) -> None:
    found = windows_of(split_of([[1, 2, 3, 4, 5], [6, 7], [8]]), 2, vocab_size=V)
    assert sorted(found.document(i).tolist() for i in range(len(found))) == [[1, 2], [3, 4], [6, 7]]
    assert not found.ended.any() and 0 not in found.tokens


def test_what_cannot_be_cut_says_so(split_of: MakeSplit) -> None:
    with pytest.raises(ConfigError, match="max_length is 0"):
        documents_of(split_of([[1]]), vocab_size=V, max_length=0)
    with pytest.raises(ConfigError, match="windows of 1 tokens"):
        windows_of(split_of([[1, 2]]), 1, vocab_size=V)
    with pytest.raises(SourceError, match="the longest has 3; ask for narrower windows"):
        windows_of(split_of([[1, 2, 3]]), 4, vocab_size=V)
    with pytest.raises(SourceError, match="no documents"):
        documents_of(split_of([]), vocab_size=V, max_length=3)
