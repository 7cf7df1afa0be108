"""Every target of an epoch is scored once.

With its target one token on, and a batch depends on (seed, step) alone.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import InputError
from inklings.text.batches import Batch, positions, streams, windows
from inklings.text.store import TokenSplit

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=25)
SEEDS = st.integers(0, 5)
SIZES = st.integers(1, 7)
ROWS = st.integers(1, 24)


def split_of(lengths: list[int]) -> TokenSplit:
    """Documents of these lengths in which every token but the boundary, 0, occurs once."""
    tokens, offsets = [0], [0]
    fresh = iter(range(1, 10**6))
    for length in lengths:
        tokens += [next(fresh) for _ in range(length)] + [0]
        offsets.append(len(tokens) - 1)
    return TokenSplit(np.array(tokens, np.uint32), np.array(offsets), np.array(lengths), 0)


def places(split: TokenSplit, batch: Batch) -> np.ndarray:
    """Where each position of a batch is in the split.

    A token and its target occur together once.
    """
    pairs = {
        pair: place
        for place, pair in enumerate(
            zip(split.tokens[:-1].tolist(), split.tokens[1:].tolist(), strict=True)
        )
    }
    found = [
        [pairs[pair] for pair in zip(*row, strict=True)]
        for row in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True)
    ]
    return np.array(found)


def scored(split: TokenSplit, batches: list[Batch]) -> np.ndarray:
    """How often each target is scored."""
    counts = np.zeros(split.n_targets)
    for batch in batches:
        np.add.at(counts, places(split, batch), batch.weights.numpy())
    return counts


def same(a: Batch, b: Batch) -> bool:
    fields = [
        (getattr(a, name), getattr(b, name))
        for name in ("tokens", "targets", "weights", "starts", "context")
    ]
    return all(torch.equal(x, y) if x is not None and y is not None else x is y for x, y in fields)


def fits(split: TokenSplit, row: int) -> bool:
    return split.n_targets >= row


@given(LENGTHS, SIZES, ROWS, st.integers(0, 6), SEEDS, st.integers(0, 3))
def test_an_epoch_of_windows_scores_every_target_once(
    lengths: list[int], batch_size: int, length: int, lead: int, seed: int, epoch: int
) -> None:
    split = split_of(lengths)
    if not fits(split, length + lead):
        return
    made = windows(split, batch_size=batch_size, length=length, lead=lead, seed=seed)
    steps = range(epoch * made.steps_per_epoch, (epoch + 1) * made.steps_per_epoch)
    batches = [made.batch(step) for step in steps]
    assert (scored(split, batches) == 1).all()
    for batch in batches:
        assert (
            batch.tokens.shape
            == batch.targets.shape
            == batch.weights.shape
            == (batch_size, lead + length)
        )
        assert (
            np.diff(places(split, batch), axis=1) % split.n_targets == 1 % split.n_targets
        ).all()
        assert not batch.weights[:, :lead].any()


@given(LENGTHS, SIZES, ROWS, SEEDS)
def test_windows_never_cut_the_front_of_a_short_document(
    lengths: list[int], batch_size: int, length: int, seed: int
) -> None:
    split = split_of(lengths)
    if not fits(split, length):
        return
    made = windows(split, batch_size=batch_size, length=length, seed=seed)
    for step in range(2 * made.steps_per_epoch):
        batch = made.batch(step)
        for row, weights in zip(places(split, batch), batch.weights.numpy(), strict=True):
            for column in np.flatnonzero(weights):
                document = np.searchsorted(split.offsets, row[column], side="right") - 1
                if lengths[document] <= length / 4:
                    assert split.offsets[document] in row[: column + 1]


@given(LENGTHS, SIZES, ROWS, st.integers(1, 6), SEEDS)
def test_which_targets_a_step_scores_does_not_depend_on_the_lead(
    lengths: list[int], batch_size: int, length: int, lead: int, seed: int
) -> None:
    split = split_of(lengths)
    if not fits(split, length + lead):
        return
    plain = windows(split, batch_size=batch_size, length=length, seed=seed)
    led = windows(split, batch_size=batch_size, length=length, lead=lead, seed=seed)
    for step in range(plain.steps_per_epoch):
        a, b = plain.batch(step), led.batch(step)
        assert torch.equal(a.weights, b.weights[:, lead:])
        assert torch.equal(a.tokens, b.tokens[:, lead:])


@given(LENGTHS, SIZES, ROWS, SEEDS)
def test_rows_are_dealt_evenly_over_an_epoch(
    lengths: list[int], batch_size: int, length: int, seed: int
) -> None:
    split = split_of(lengths)
    if not fits(split, length):
        return
    made = windows(split, batch_size=batch_size, length=length, seed=seed)
    filled = [int(made.batch(step).weights.any(1).sum()) for step in range(made.steps_per_epoch)]
    assert max(filled) - min(filled) <= 1
    assert max(filled) >= batch_size - 1 or made.steps_per_epoch <= 2


@given(LENGTHS, SIZES, ROWS, SEEDS, st.integers(0, 3))
def test_an_epoch_of_streams_scores_every_target_once_and_rows_go_on(
    lengths: list[int], batch_size: int, length: int, seed: int, epoch: int
) -> None:
    split = split_of(lengths)
    if not fits(split, batch_size):
        return
    made = streams(split, batch_size, length, seed)
    batches = [
        made.batch(epoch * made.steps_per_epoch + step) for step in range(made.steps_per_epoch)
    ]
    assert (scored(split, batches) == 1).all()
    joined = np.concatenate([places(split, batch) for batch in batches], axis=1)
    goes_on = np.diff(joined, axis=1) == 1
    next_document = np.isin(joined[:, :-1] + 1, split.offsets[1:]) & np.isin(
        joined[:, 1:], split.offsets[:-1]
    )
    assert (goes_on | next_document).all()
    assert batches[0].starts is not None
    assert batches[0].starts[:, 0].all()
    for batch in batches:
        expected = batch.tokens == 0
        if batch is batches[0]:
            expected[:, 0] = True
        assert (batch.starts is None) == (not expected.any())
        if batch.starts is not None:
            assert torch.equal(batch.starts, expected)


@given(LENGTHS, SIZES, ROWS, SEEDS, st.integers(1, 12))
def test_streams_know_which_documents_each_row_has_read(
    lengths: list[int], batch_size: int, length: int, seed: int, steps: int
) -> None:
    split = split_of(lengths)
    if not fits(split, batch_size):
        return
    made = streams(split, batch_size, length, seed)
    begun = (steps - 1) // made.steps_per_epoch * made.steps_per_epoch
    batches = [made.batch(step) for step in range(begun, steps)]
    for row, read in enumerate(made.documents_read(steps)):
        at = np.concatenate([places(split, batch)[row] for batch in batches])
        opens = np.isin(at, split.offsets[:-1])
        opens[0] = True
        documents = np.searchsorted(split.offsets, at[opens], side="right") - 1
        begins = at[opens] - split.offsets[documents]
        assert read == list(zip(documents.tolist(), begins.tolist(), strict=True))


def test_streams_meet_the_documents_in_another_order_every_epoch() -> None:
    split = split_of([2] * 50)
    made = streams(split, 1, 150, 0)
    orders = [places(split, made.batch(epoch))[0, ::3].tolist() for epoch in (0, 1)]
    assert sorted(place // 3 for place in orders[0]) == list(range(50))
    assert orders[0] != orders[1]
    assert not (np.diff(orders[0]) == 3).all()


@given(LENGTHS, SIZES, ROWS, SEEDS)
def test_starts_of_windows_are_left_out_only_if_no_document_opens_inside_a_row(
    lengths: list[int], batch_size: int, length: int, seed: int
) -> None:
    split = split_of(lengths)
    if not fits(split, length):
        return
    batch = windows(split, batch_size=batch_size, length=length, seed=seed).batch(1)
    opens = batch.tokens == 0
    if opens[:, 1:].any():
        assert batch.starts is not None
        assert torch.equal(batch.starts, opens)
    else:
        assert batch.starts is None


@given(LENGTHS, st.integers(1, 20), st.integers(1, 12), SEEDS)
def test_positions_have_the_past_that_their_document_gives_them(
    lengths: list[int], batch_size: int, context_length: int, seed: int
) -> None:
    split = split_of(lengths)
    batch = positions(split, batch_size, context_length, seed).batch(3)
    assert batch.tokens.shape == (batch_size, 1)
    assert batch.context is not None
    assert batch.context.shape == (batch_size, context_length - 1)
    assert batch.weights.all()
    for place, context in zip(
        places(split, batch)[:, 0].tolist(), batch.context.tolist(), strict=True
    ):
        opening = max(offset for offset in split.offsets.tolist() if offset <= place)
        past = split.tokens[max(opening, place - context_length + 1) : place].tolist()
        assert context == [0] * (context_length - 1 - len(past)) + past
    opens = batch.tokens == 0
    assert (batch.starts is not None) == bool(opens.any())


def test_wherever_an_epoch_begins_its_rows_fit_into_its_steps() -> None:
    split = split_of([3, 1, 4, 2, 2, 4, 1] * 9)
    for length in (16, 17, 18, 19):
        made = windows(split, batch_size=1, length=length)
        for epoch in range(12):
            batches = [
                made.batch(epoch * made.steps_per_epoch + step)
                for step in range(made.steps_per_epoch)
            ]
            assert (scored(split, batches) == 1).all()


def test_rows_come_in_another_order_in_every_epoch() -> None:
    split = split_of([2000])
    made = windows(split, batch_size=1, length=20)
    epochs = []
    for epoch in range(2):
        batches = [
            made.batch(epoch * made.steps_per_epoch + step) for step in range(made.steps_per_epoch)
        ]
        found = [int(places(split, batch)[0, 0]) for batch in batches if batch.weights.any()]
        epochs.append(np.argsort(found).tolist())
        rising = sum(a < b for a, b in itertools.pairwise(found))
        assert 0.25 < rising / len(found) < 0.75
    assert epochs[0] != epochs[1]


def test_positions_are_drawn_uniformly() -> None:
    split = split_of([3, 1, 9, 2])
    made = positions(split, 1000, 4, 0)
    counts = scored(split, [made.batch(step) for step in range(20)])
    assert (abs(counts / counts.mean() - 1) < 0.15).all()


@pytest.mark.parametrize("order", ["windows", "streams", "positions"])
def test_a_batch_depends_on_seed_and_step_alone(order: str) -> None:
    split = split_of([5, 1, 40, 2, 17, 3, 30] * 4)

    def make(seed: int):  # type: ignore[no-untyped-def]
        if order == "windows":
            return windows(split, batch_size=4, length=16, lead=3, seed=seed)
        return streams(split, 4, 16, seed) if order == "streams" else positions(split, 4, 16, seed)

    forwards, backwards, other = make(7), make(7), make(8)
    n = 3 * forwards.steps_per_epoch
    first = [forwards.batch(step) for step in range(n)]
    second = [backwards.batch(step) for step in reversed(range(n))][::-1]
    assert all(same(a, b) for a, b in zip(first, second, strict=True))
    assert not all(same(a, other.batch(step)) for step, a in enumerate(first))
    epoch = forwards.steps_per_epoch
    assert not all(same(a, b) for a, b in zip(first[:epoch], first[epoch : 2 * epoch], strict=True))


def test_tensors_are_what_a_loop_expects() -> None:
    batch = windows(split_of([30, 30]), batch_size=2, length=8).batch(0)
    assert batch.tokens.dtype == batch.targets.dtype == torch.int64
    assert batch.weights.dtype == torch.float32
    assert batch.context is None


@pytest.mark.parametrize(
    ("make", "needed"),
    [
        (lambda split: windows(split, batch_size=1, length=10, lead=2, seed=0), "needs 12"),
        (lambda split: streams(split, 12, 4), "needs 12"),
    ],
)
def test_a_split_that_is_too_short_is_refused_with_numbers(make, needed: str) -> None:  # type: ignore[no-untyped-def]
    make(split_of([11]))
    with pytest.raises(InputError, match=f"11 tokens to predict.*{needed}"):
        make(split_of([10]))
