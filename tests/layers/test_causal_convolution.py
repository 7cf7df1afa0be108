from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from inklings.layers.causal_convolution import Queues, causal_taps, read_one_token

CHANNELS = 3

Case = tuple[int, tuple[int, ...], int, list[tuple[int, list[list[int]]]]]


def taps_by_hand(
    vectors: Tensor, before: Tensor, length: int, taps: int, dilation: int, absent: Tensor
) -> Tensor:
    """One row, position and tap after the other."""
    rows = []
    for row in range(vectors.shape[0]):
        positions = []
        for t in range(length):
            here = vectors.shape[1] - length + t
            seen = []
            for ago in range((taps - 1) * dilation, -1, -dilation):
                there = ago <= int(before[row, t]) and here - ago >= 0
                seen.append(vectors[row, here - ago] if there else absent)
            positions.append(torch.cat(seen))
        rows.append(torch.stack(positions))
    return torch.stack(rows)


@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 6),
    extra=st.integers(0, 9),
    taps=st.integers(1, 4),
    dilation=st.integers(1, 5),
    same_for_all=st.booleans(),
    data=st.data(),
)
def test_taps_are_those_of_a_loop(
    batch: int,
    length: int,
    extra: int,
    taps: int,
    dilation: int,
    same_for_all: bool,
    data: st.DataObject,
) -> None:
    rows, size = 1 if same_for_all else batch, length + extra
    generator = torch.Generator().manual_seed(0)
    vectors, absent = (
        torch.randn(batch, size, CHANNELS, generator=generator),
        torch.randn(CHANNELS, generator=generator),
    )
    few = st.one_of(st.integers(-3, 6), st.sampled_from([-(10**6), 10**6]))
    drawn = data.draw(
        st.lists(st.lists(few, min_size=length, max_size=length), min_size=rows, max_size=rows)
    )
    before = torch.tensor(drawn)
    settings: dict[str, Any] = {
        "length": length,
        "taps": taps,
        "dilation": dilation,
        "absent": absent,
    }
    expected = taps_by_hand(vectors, before.expand(batch, -1), length, taps, dilation, absent)
    assert torch.equal(causal_taps(vectors, before, **settings), expected)
    unlimited = taps_by_hand(
        vectors, torch.full((batch, length), 10**6), length, taps, dilation, absent
    )
    assert torch.equal(causal_taps(vectors, None, **settings), unlimited)


@given(
    length=st.integers(1, 8),
    extra=st.integers(0, 9),
    taps=st.integers(1, 4),
    dilation=st.integers(1, 5),
    limited=st.booleans(),
)
def test_a_linear_map_over_the_taps_is_the_convolution_of_torch(
    length: int, extra: int, taps: int, dilation: int, limited: bool
) -> None:
    torch.manual_seed(0)
    vectors = torch.randn(2, length + extra, CHANNELS, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, CHANNELS, taps, dtype=torch.float64)
    before = torch.arange(extra, extra + length).expand(2, -1) if limited else None
    absent = torch.zeros(CHANNELS, dtype=torch.float64)
    seen = causal_taps(vectors, before, length=length, taps=taps, dilation=dilation, absent=absent)
    found = seen @ weight.transpose(1, 2).flatten(1).T
    padded = F.pad(vectors.transpose(1, 2), ((taps - 1) * dilation, 0))
    expected = F.conv1d(padded, weight, dilation=dilation).transpose(1, 2)[:, extra:]
    torch.testing.assert_close(found, expected)
    along = torch.randn_like(found)
    (gradient,) = torch.autograd.grad((found * along).sum(), vectors)
    (wanted,) = torch.autograd.grad((expected * along).sum(), vectors)
    torch.testing.assert_close(gradient, wanted)


class Lists:
    """The past of every row and layer as a plain list, oldest first.

    A document that begins empties it.
    """

    def __init__(self, rows: int, layers: int) -> None:
        self.past: list[list[list[Tensor]]] = [[[] for _ in range(layers)] for _ in range(rows)]

    def begin(self, row: int) -> None:
        self.past[row] = [[] for _ in self.past[row]]

    def read(self, row: int, vectors: list[Tensor]) -> None:
        for past, vector in zip(self.past[row], vectors, strict=True):
            past.append(vector)

    @property
    def position(self) -> Tensor:
        return torch.tensor([len(row[0]) for row in self.past])


@st.composite
def stacks(draw: st.DrawFn) -> Case:
    """Taps, dilations, rows, and pieces.

    Their lengths, and where in them each row begins documents.
    """
    taps, dilations = (
        draw(st.integers(2, 4)),
        tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))),
    )
    rows, pieces = draw(st.integers(1, 3)), []
    for length in draw(st.lists(st.one_of(st.just(1), st.integers(1, 14)), min_size=1, max_size=8)):
        begins = st.lists(st.integers(0, length - 1), max_size=2)
        pieces.append((length, draw(st.lists(begins, min_size=rows, max_size=rows))))
    return taps, dilations, rows, pieces


def assert_holds(queues: Queues, rings: Tensor, lists: Lists) -> None:
    """Whatever of a document can be looked back on is in order.

    Beyond its start anything may lie.
    """
    for layer, found in enumerate(queues.in_order(rings, lists.position)):
        assert found.shape[1] == queues.reaches[layer]
        for row, vectors in enumerate(found):
            past = lists.past[row][layer][-queues.reaches[layer] :]
            assert torch.equal(
                vectors[len(vectors) - len(past) :], torch.stack(past) if past else vectors[:0]
            )


@given(stacks())
def test_pieces_read_into_the_queues_come_out_in_order(case: Case) -> None:
    taps, dilations, rows, pieces = case
    queues, layers, generator = (
        Queues(taps, dilations),
        len(dilations),
        torch.Generator().manual_seed(0),
    )
    lists, rings = Lists(rows, layers), torch.full((rows, queues.places, CHANNELS), torch.nan)
    for length, begins in pieces:
        inputs = [torch.randn(rows, length, CHANNELS, generator=generator) for _ in range(layers)]
        for row in range(rows):
            for t in range(length):
                if t in begins[row]:
                    lists.begin(row)
                lists.read(row, [layer[row, t] for layer in inputs])
        kept = rings.clone()
        renewed = queues.after(rings, inputs, lists.position)
        assert torch.equal(rings.nan_to_num(7), kept.nan_to_num(7)), (
            "the queues that it was given are another's"
        )
        rings = renewed
        assert_holds(queues, rings, lists)


@given(stacks())
def test_one_token_at_a_time_sees_what_a_list_would_show(case: Case) -> None:
    """In turn with longer pieces.

    So that both ways of writing leave what both ways of reading expect.
    """
    taps, dilations, rows, pieces = case
    queues, layers, generator = (
        Queues(taps, dilations),
        len(dilations),
        torch.Generator().manual_seed(0),
    )
    lists, rings = (
        Lists(rows, layers),
        torch.randn(rows, queues.places, CHANNELS, generator=generator),
    )
    for number, (length, begins) in enumerate(pieces):
        inputs = [torch.randn(rows, length, CHANNELS, generator=generator) for _ in range(layers)]
        in_one = number % 2 == 1
        for t in range(length):
            for row in range(rows):
                if t in begins[row]:
                    lists.begin(row)
            if not in_one:
                step = read_one_token(queues, rings, lists.position)
                assert step.taps.shape == (layers, rows, queues.taps, CHANNELS)
                for layer, dilation in enumerate(queues.dilations):
                    for row in range(rows):
                        past = lists.past[row][layer]
                        for tap in range(queues.taps - 1):
                            ago = (queues.taps - 1 - tap) * dilation
                            expected = past[-ago] if ago <= len(past) else torch.zeros(CHANNELS)
                            assert torch.equal(step.taps[layer, row, tap], expected)
                    step.taps[layer, :, -1] = inputs[layer][:, t]
                step.write()
            for row in range(rows):
                lists.read(row, [layer[row, t] for layer in inputs])
        if in_one:
            rings = queues.after(rings, inputs, lists.position)
        assert_holds(queues, rings, lists)


def test_a_place_for_every_position_that_a_layer_looks_back_on() -> None:
    queues = Queues(3, (1, 2, 4, 1))
    assert queues.reaches == [2, 4, 8, 2]
    assert queues.begins == [0, 2, 6, 14]
    assert queues.places == 16
