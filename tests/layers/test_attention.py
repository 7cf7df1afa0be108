from __future__ import annotations

import contextlib
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from inklings.layers import attention
from inklings.layers.attention import KeyValueCache, attend, empty_caches, place

HEADS, SIZE = 2, 4


def naive(q: Tensor, k: Tensor, v: Tensor, documents: Tensor, window: int) -> Tensor:
    """Attention over whole rows (B, T, H, D), one query at a time.

    From nothing but the definition.
    """
    out = torch.zeros_like(q)
    for row in range(q.shape[0]):
        for t in range(q.shape[1]):
            seen = [
                s for s in range(t + 1) if t - s < window and documents[row, s] == documents[row, t]
            ]
            for head in range(q.shape[2]):
                weights = (
                    torch.stack([q[row, t, head] @ k[row, s, head] for s in seen])
                    .div(SIZE**0.5)
                    .softmax(0)
                )
                out[row, t, head] = sum(
                    w * v[row, s, head] for w, s in zip(weights, seen, strict=True)
                )
    return out.flatten(2)


def streamed(
    q: Tensor, k: Tensor, v: Tensor, starts: Tensor | None, window: int, pieces: list[int]
) -> Tensor:
    """The same through a cache, in pieces of the given lengths."""
    (cache,) = empty_caches(1, q.shape[0], window, HEADS, SIZE, like=q)
    past, at, outputs = torch.zeros(q.shape[0], dtype=torch.int64), 0, []
    for length in pieces:
        span = slice(at, at + length)
        piece = place(
            length,
            window,
            past=past,
            starts=None if starts is None else starts[:, span],
            device=q.device,
        )
        outputs.append(attend(q[:, span], k[:, span], v[:, span], piece, cache))
        past, at = (piece.positions[:, -1] + 1).expand(q.shape[0]).clone(), at + length
    return torch.cat(outputs, dim=1)


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, list[int], float, int]:
    pieces = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    return (
        draw(st.integers(1, 6)),
        pieces,
        draw(st.sampled_from([0.0, 0.1, 0.4])),
        draw(st.integers(0, 2**16)),
    )


@given(case=cases(), gradient=st.booleans(), told=st.booleans())
def test_parallel_and_streamed_attention_are_the_definition(
    case: tuple[int, list[int], float, int], gradient: bool, told: bool
) -> None:
    """Whether the host is told how much the rows have read, or would have to wait for it."""
    window, pieces, share_of_starts, seed = case
    generator = torch.Generator().manual_seed(seed)
    length = sum(pieces)
    q, k, v = torch.randn(3, 3, length, HEADS, SIZE, generator=generator).unbind()
    starts = torch.rand(3, length, generator=generator) < share_of_starts
    expected = naive(q, k, v, starts.cumsum(1), window)
    given_starts = starts if share_of_starts else None
    untold = contextlib.nullcontext() if told else patch.object(attention, "_fewest_and_most")
    with torch.set_grad_enabled(gradient), untold as fewest_and_most:
        if fewest_and_most is not None:
            fewest_and_most.return_value = None
        parallel = attend(
            q, k, v, place(length, window, starts=given_starts, device=q.device), None
        )
        torch.testing.assert_close(parallel, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            streamed(q, k, v, given_starts, window, pieces), expected, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("length", [1, 3, 9])
def test_rows_may_have_read_different_amounts(length: int) -> None:
    window, pasts = 4, [0, 2, 4, 7]
    q, k, v = torch.randn(3, len(pasts), max(pasts) + length, HEADS, SIZE).unbind()
    (cache,) = empty_caches(1, len(pasts), window, HEADS, SIZE, like=q)
    expected = []
    with torch.no_grad():
        for row, past in enumerate(
            pasts
        ):  # each row reads its past by itself, then all go on together
            alone = KeyValueCache(cache.keys[row : row + 1], cache.values[row : row + 1])
            line = slice(row, row + 1)
            if past:
                piece = place(past, window, past=torch.zeros(1, dtype=torch.int64), device=q.device)
                attend(q[line, :past], k[line, :past], v[line, :past], piece, alone)
                cache.keys[line], cache.values[line] = alone.keys, alone.values
            end = past + length
            expected.append(
                naive(q[line, :end], k[line, :end], v[line, :end], torch.zeros(1, end), window)[
                    :, past:
                ]
            )
        new = [
            torch.stack([x[row, past : past + length] for row, past in enumerate(pasts)])
            for x in (q, k, v)
        ]
        query, key, value = new
        piece = place(length, window, past=torch.tensor(pasts), device=q.device)
        found = attend(query, key, value, piece, cache)
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_a_step_attends_to_the_filled_places_only() -> None:
    for past, places in [(0, 1), (3, 4), (7, 8), (8, 8), (100, 8)]:
        piece = place(1, 8, past=torch.tensor([past, past]), device=torch.device("cpu"))
        assert piece.cached == places
        assert piece.blocks[0].mask is None


def test_a_long_piece_costs_two_windows_per_token() -> None:
    piece = place(64, 8, past=torch.tensor([20]), device=torch.device("cpu"))
    assert max(block.keys.stop - block.keys.start for block in piece.blocks) <= 16


def test_the_cache_is_written_in_place_without_gradients_and_only_then() -> None:
    new = torch.randn(2, HEADS, 1, SIZE)
    piece = place(1, 4, past=torch.tensor([1, 2]), device=new.device)
    for gradient in (False, True):
        (cache,) = empty_caches(1, 2, 4, HEADS, SIZE, like=new)
        before = cache.keys
        with torch.set_grad_enabled(gradient):
            cache.extend(piece, new, new)
        assert (cache.keys is before) is not gradient
        assert bool(before.any()) is not gradient


def test_gradients_flow_through_the_cache() -> None:
    q, k, v = torch.randn(3, 1, 5, HEADS, SIZE).unbind()
    k.requires_grad_()
    streamed(q, k, v, None, 4, [2, 1, 2])[:, -1].sum().backward()
    assert k.grad is not None
    touched = k.grad.abs().sum(dim=(0, 2, 3)) > 0
    assert touched.tolist() == [False, True, True, True, True]


@pytest.mark.parametrize("length", [3, 6])
def test_dropout_takes_weights_out_and_keeps_their_mean(length: int) -> None:
    q, k, v = torch.randn(3, 2, length, HEADS, SIZE).unbind()
    piece = place(length, 4, device=q.device)
    whole = attend(q, k, v, piece, None)
    # a rate that rounds to nothing takes the road of dropout and must arrive at the same place
    torch.testing.assert_close(
        attend(q, k, v, piece, None, dropout_rate=1e-9), whole, atol=1e-6, rtol=1e-5
    )
    torch.manual_seed(0)
    draws = torch.stack([attend(q, k, v, piece, None, dropout_rate=0.3) for _ in range(800)])
    error = (draws.mean(0) - whole).abs() / (draws.std(0) / 800**0.5)
    assert error.max() < 5
    assert draws.std(0).min() > 0
