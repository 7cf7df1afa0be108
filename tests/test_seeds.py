"""A seed is that of `torch.manual_seed`, and leaves no trace after its block."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inklings.seeds import drawn_from, seed_all


@given(st.integers(0, 2**64 - 1))
def test_draws_are_those_of_torch(seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = torch.rand(5)
        seed_all(seed)
        assert torch.equal(torch.rand(5), expected)


def test_draws_go_on_after_a_block_even_one_that_raised() -> None:
    with torch.random.fork_rng(devices=[]):
        seed_all(1)
        expected = torch.rand(4)
        seed_all(1)
        first = torch.rand(2)
        with pytest.raises(ZeroDivisionError), drawn_from(7):
            assert not torch.equal(torch.rand(2), expected[2:])
            raise ZeroDivisionError
        assert torch.equal(torch.cat([first, torch.rand(2)]), expected)
