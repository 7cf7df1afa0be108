from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inklings.layers.rotary import Rotary, StandardRotary, rotate, rotate_plainly


def turned(rotary: Rotary | StandardRotary, x: torch.Tensor, position: int) -> torch.Tensor:
    return rotate(x, rotary(torch.tensor([[position]])))


@given(
    window=st.integers(1, 100),
    size=st.sampled_from([2, 4, 16]),
    distance=st.integers(0, 99),
    position=st.one_of(st.integers(0, 200), st.integers(10**6, 10**15)),
    base=st.sampled_from([None, 100.0, 10000.0]),
)
def test_products_depend_on_the_distance_alone(
    window: int, size: int, distance: int, position: int, base: float | None
) -> None:
    rotary = Rotary(size, window) if base is None else StandardRotary(size, base)
    query, key = torch.randn(
        2, 1, 1, 1, size, generator=torch.Generator().manual_seed(size)
    ).unbind()
    here = (turned(rotary, query, distance) * turned(rotary, key, 0)).sum()
    there = (turned(rotary, query, position + distance) * turned(rotary, key, position)).sum()
    torch.testing.assert_close(here, there, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("size", "window"), [(2, 64), (32, 64), (64, 1024)])
def test_every_distance_within_a_window_looks_different(size: int, window: int) -> None:
    turns = Rotary(size, window).table.flatten(1).double()
    gaps = torch.cdist(turns[:window], turns[:1])[1:]
    assert gaps.min() > 1e-3


def test_a_turn_keeps_the_length_and_is_what_real_arithmetic_gives() -> None:
    rotary = Rotary(8, 32)
    x = torch.randn(2, 5, 3, 8)
    turns = rotary(torch.arange(5)[None])
    found = rotate(x, turns)
    torch.testing.assert_close(found.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(found, rotate_plainly(x, turns))
    torch.testing.assert_close(rotate(x.double(), turns), rotate_plainly(x.double(), turns))
    angle = math.atan2(float(rotary.table[3, 0, 1]), float(rotary.table[3, 0, 0]))
    expected = float(x[1, 3, 2, 0]) * math.cos(angle) - float(x[1, 3, 2, 1]) * math.sin(angle)
    assert abs(float(found[1, 3, 2, 0]) - expected) < 1e-5


def test_frequencies_run_from_about_a_radian_a_token_to_one_turn_in_eight_windows() -> None:
    table = Rotary(16, 64).table[1].double()
    angles = torch.atan2(table[:, 1], table[:, 0])
    assert abs(float(angles[0]) - 1) < 0.02
    assert abs(float(angles[-1]) - 2 * math.pi / (8 * 64)) < 1e-6
    assert bool((angles.diff() < 0).all())


PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")


@given(
    size=st.sampled_from([2, 16, 64]),
    base=st.sampled_from([1.5, 10000.0, 1e6]),
    position=st.one_of(st.integers(0, 5000), st.integers(10**6, 10**9)),
)
def test_standard_turns_are_those_of_exact_arithmetic(
    size: int, base: float, position: int
) -> None:
    found = StandardRotary(size, base)(torch.tensor([[position]]))[0, 0, 0]
    with localcontext(prec=60):
        steps = [Decimal(base) ** (Decimal(-2 * pair) / size) for pair in range(size // 2)]
        angles = [float(step * position % (2 * PI)) for step in steps]
    expected = torch.tensor([[math.cos(angle), math.sin(angle)] for angle in angles])
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)
