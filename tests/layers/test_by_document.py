"""Documents of a row are read as rows of their own, and a state keeps the last one."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from inklings.layers.by_document import by_document, in_last_document


def running_sum(x: Tensor) -> Tensor:
    return x.cumsum(1)


@given(st.integers(1, 3), st.integers(1, 8), st.data())
def test_each_document_is_read_by_itself(rows: int, length: int, data: st.DataObject) -> None:
    marks = data.draw(st.lists(st.booleans(), min_size=rows * length, max_size=rows * length))
    starts = torch.tensor(marks).view(rows, length)
    x = torch.randn(rows, length, 2)
    found = by_document(running_sum, x, starts)
    kept = in_last_document(starts)
    for row in range(rows):
        total, last = torch.zeros(2), 0
        for place in range(length):
            if starts[row, place]:
                total, last = torch.zeros(2), place
            total = total + x[row, place]
            torch.testing.assert_close(found[row, place], total)
        assert kept[row].tolist() == [place >= last for place in range(length)]


def test_a_row_that_is_one_document_is_read_as_it_is() -> None:
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(by_document(running_sum, x, None), x.cumsum(1))
