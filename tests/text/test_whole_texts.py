"""An epoch shows every text that fits once, whole, and a batch depends on (seed, step) alone."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from inklings.errors import SourceError
from inklings.text.store import TokenSplit
from inklings.text.whole_texts import left_out, text_windows, whole_texts

SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=20)
BATCHES = st.integers(1, 6)
LENGTHS = st.integers(2, 14)
SEEDS = st.integers(0, 5)


def split_of(lengths: list[int], boundary: int = 0) -> TokenSplit:
    """Documents of these lengths in which every token but the boundary occurs once."""
    tokens, offsets = [boundary], [0]
    fresh = (token for token in range(10**6) if token != boundary)
    for length in lengths:
        tokens += [next(fresh) for _ in range(length)] + [boundary]
        offsets.append(len(tokens) - 1)
    return TokenSplit(np.array(tokens, np.uint32), np.array(offsets), np.array(lengths), boundary)


def epoch_rows(texts, epoch: int) -> list[tuple[int, ...]]:  # type: ignore[no-untyped-def]
    """The texts of an epoch, in order, read off the batches that they lie in."""
    first, last = epoch * texts.n_texts, (epoch + 1) * texts.n_texts
    steps = range(first // texts.batch_size, -(-last // texts.batch_size))
    rows = [tuple(row) for step in steps for row in texts.batch(step).tolist()]
    skipped = first - steps[0] * texts.batch_size
    return rows[skipped : skipped + texts.n_texts]


@given(SIZES, BATCHES, LENGTHS, SEEDS, st.integers(0, 2), st.integers(0, 2))
def test_an_epoch_shows_every_kept_document_once(
    sizes: list[int], batch_size: int, length: int, seed: int, epoch: int, boundary: int
) -> None:
    assume(min(sizes) < length)
    split = split_of(sizes, boundary)
    texts = whole_texts(split, batch_size=batch_size, length=length, seed=seed)
    kept = [
        split.document(index).tolist() for index, size in enumerate(sizes) if size + 1 <= length
    ]
    padded = [tuple(document + [boundary] * (length - len(document))) for document in kept]
    assert sorted(epoch_rows(texts, epoch)) == sorted(padded)
    assert texts.n_texts == len(kept)
    assert left_out(split, length=length) == len(sizes) - len(kept)


@given(SIZES, BATCHES, LENGTHS, SEEDS, st.integers(0, 2))
def test_an_epoch_shows_every_window_within_a_document_once(
    sizes: list[int], batch_size: int, length: int, seed: int, epoch: int
) -> None:
    assume(max(sizes) >= length)
    split = split_of(sizes)
    texts = text_windows(split, batch_size=batch_size, length=length, seed=seed)
    documents = [split.document(index).tolist() for index in range(len(sizes))]
    windows = [
        tuple(document[at : at + length])
        for document in documents
        for at in range(len(document) - length + 1)
    ]
    assert Counter(epoch_rows(texts, epoch)) == Counter(windows)
    assert texts.n_texts == len(windows)


@given(SIZES, BATCHES, SEEDS, st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_a_batch_is_a_function_of_seed_and_step(
    sizes: list[int], batch_size: int, seed: int, steps: list[int]
) -> None:
    split = split_of(sizes)
    make = partial(whole_texts, split, batch_size=batch_size, length=13, seed=seed)
    one = make()
    for step in steps:
        batch = one.batch(step)
        assert batch.shape == (batch_size, 13)
        assert batch.dtype == torch.int64
        assert torch.equal(batch, make().batch(step))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    split = split_of([3] * 40)
    orders = {
        tuple(epoch_rows(whole_texts(split, batch_size=4, length=4, seed=seed), epoch))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_a_batch_may_be_larger_than_the_corpus() -> None:
    texts = whole_texts(split_of([2, 5]), batch_size=7, length=6, seed=0)
    rows = Counter(map(tuple, texts.batch(0).tolist()))
    assert sorted(rows.values()) == [3, 4]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_single_line_is_shown_again_and_again(batch_size: int) -> None:
    texts = whole_texts(split_of([4]), batch_size=batch_size, length=6, seed=0)
    assert texts.n_texts == 1
    for step in range(3):
        assert texts.batch(step).tolist() == [[1, 2, 3, 4, 0, 0]] * batch_size


def test_an_empty_document_is_its_end_mark() -> None:
    assert whole_texts(split_of([0]), batch_size=1, length=3, seed=0).batch(5).tolist() == [
        [0, 0, 0]
    ]


def test_where_no_document_fits_the_message_says_what_would() -> None:
    with pytest.raises(SourceError) as caught:
        whole_texts(split_of([9, 12, 30]), batch_size=2, length=8, seed=0)
    message = str(caught.value)
    assert "3 documents" in message
    assert "8 tokens" in message
    assert "shortest has 10" in message
    assert all(
        remedy in message
        for remedy in ("model.context_length", "--data.layout lines", "model.reads be windows")
    )


def test_the_longest_that_fits_has_as_many_tokens_as_the_length_with_its_end_mark() -> None:
    split = split_of([9, 10])
    assert whole_texts(split, batch_size=1, length=10, seed=0).n_texts == 1
    assert left_out(split, length=10) == 1
    assert left_out(split, length=11) == 0


def test_where_no_document_is_long_enough_the_message_says_what_would_be() -> None:
    with pytest.raises(SourceError) as caught:
        text_windows(split_of([3, 7]), batch_size=2, length=8, seed=0)
    message = str(caught.value)
    assert "8 tokens" in message
    assert "longest has 7" in message
    assert all(remedy in message for remedy in ("model.context_length", "model.reads be documents"))
