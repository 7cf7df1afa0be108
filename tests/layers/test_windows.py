from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from inklings.layers.windows import context_windows, last_tokens, tokens_before

BOUNDARY = 0


def slow_windows(tokens: list[int], past: list[int], starts: list[bool]) -> list[list[int]]:
    """One row, position by position."""
    history, windows = list(past), []
    for token, start in zip(tokens, starts, strict=True):
        if start:
            history = [BOUNDARY] * len(past)
        windows.append([*history, token])
        history = windows[-1][1:]
    return windows


@st.composite
def rows(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    batch_size, length, reach = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 9)),
        draw(st.integers(0, 6)),
    )
    token = st.integers(0, 4)

    def table(
        width: int, values: st.SearchStrategy[int] | st.SearchStrategy[bool], kind: torch.dtype
    ) -> torch.Tensor:
        row = st.lists(values, min_size=width, max_size=width)
        return torch.tensor(
            draw(st.lists(row, min_size=batch_size, max_size=batch_size)), dtype=kind
        ).view(batch_size, width)

    return (
        table(length, token, torch.long),
        table(reach, token, torch.long),
        table(length, st.booleans(), torch.bool),
    )


@given(rows())
def test_windows_equal_a_loop_over_positions(
    case: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    tokens, past, starts = case
    expected = [
        slow_windows(t, p, s)
        for t, p, s in zip(tokens.tolist(), past.tolist(), starts.tolist(), strict=True)
    ]
    assert context_windows(tokens, past, starts, BOUNDARY).tolist() == expected


@given(rows())
def test_no_starts_are_starts_that_are_all_false(
    case: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    tokens, past, starts = case
    none = context_windows(tokens, past, None, BOUNDARY)
    assert torch.equal(none, context_windows(tokens, past, torch.zeros_like(starts), BOUNDARY))


@given(rows(), st.integers(1, 8))
def test_any_two_pieces_give_the_windows_of_the_whole(
    case: tuple[torch.Tensor, torch.Tensor, torch.Tensor], cut: int
) -> None:
    tokens, past, starts = case
    cut = min(cut, tokens.shape[1])
    whole = context_windows(tokens, past, starts, BOUNDARY)
    first = context_windows(tokens[:, :cut], past, starts[:, :cut], BOUNDARY)
    pieces = [first]
    if cut < tokens.shape[1]:
        pieces.append(context_windows(tokens[:, cut:], first[:, -1, 1:], starts[:, cut:], BOUNDARY))
    assert torch.equal(torch.cat(pieces, dim=1), whole)


@given(rows(), st.integers(0, 5))
def test_tokens_before_counts_from_the_latest_start(
    case: tuple[torch.Tensor, torch.Tensor, torch.Tensor], before: int
) -> None:
    _, _, starts = case
    counted = tokens_before(torch.full((len(starts),), before), starts, starts.shape[1])
    for row, flags in enumerate(starts.tolist()):
        so_far = before
        for position, start in enumerate(flags):
            so_far = 0 if start else so_far
            assert counted[row, position] == so_far
            so_far += 1


def test_last_tokens_cuts_and_pads_on_the_left() -> None:
    context = torch.tensor([[1, 2, 3], [4, 5, 6]])
    assert last_tokens(context, 2, BOUNDARY).tolist() == [[2, 3], [5, 6]]
    assert last_tokens(context, 5, BOUNDARY).tolist() == [[0, 0, 1, 2, 3], [0, 0, 4, 5, 6]]
    assert last_tokens(context, 0, BOUNDARY).shape == (2, 0)
    assert last_tokens(context[:, :0], 1, 7).tolist() == [[7], [7]]
