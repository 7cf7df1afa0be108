from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from inklings.layers.dropout import Dropout, dropout


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.5, 0.9])
def test_rate_and_scale(rate: float) -> None:
    torch.manual_seed(1)
    count = 400_003  # not a multiple of the numbers a draw makes
    dropped = dropout(torch.ones(count), rate)
    zeros = int((dropped == 0).sum())
    assert abs(zeros - rate * count) <= 4.5 * (rate * (1 - rate) * count) ** 0.5 + count / 2**16
    torch.testing.assert_close(
        dropped[dropped != 0], torch.full((count - zeros,), 1 / (1 - rate)), rtol=1e-3, atol=0
    )


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(2)
    zero = (dropout(torch.ones(400_000), 0.5) == 0).float() - 0.5
    for lag in range(1, 9):
        assert abs(float((zero[:-lag] * zero[lag:]).mean())) < 5 * 0.25 / 400_000**0.5


def test_the_mask_follows_from_the_seed_and_changes_from_call_to_call() -> None:
    x = torch.randn(7, 11)
    torch.manual_seed(3)
    first, second = dropout(x, 0.4), dropout(x, 0.4)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.4), first)
    assert not torch.equal(first, second)


def test_the_gradient_passes_where_numbers_passed() -> None:
    x = torch.rand(5, 40).add(1).requires_grad_()
    out = dropout(x, 0.25)
    out.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, out.detach() / x.detach())
    assert bool((x.grad == 0).any())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_type_stays(dtype: torch.dtype) -> None:
    assert dropout(torch.ones(9, dtype=dtype), 0.3).dtype == dtype


def test_nothing_happens_in_evaluation() -> None:
    layer, x = Dropout(0.5), torch.randn(100)
    assert not torch.equal(layer(x), x)
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.slow
def test_the_mask_is_the_same_in_compiled_code() -> None:
    """In a process of its own.

    A compiler cannot see through the checks of shapes that the tests put around every function.
    """
    code = """
import torch
from inklings.layers.dropout import dropout
x = torch.randn(6, 10)
compiled = torch.compile(lambda x: dropout(x, 0.3), backend="aot_eager", fullgraph=True)
torch.manual_seed(5)
expected = dropout(x, 0.3)
torch.manual_seed(5)
torch.testing.assert_close(compiled(x), expected)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
