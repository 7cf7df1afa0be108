from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from inklings.training.muon import Muon, orthogonalized

SHAPES = [(16, 16), (16, 48), (48, 16), (16, 16), (5, 7)]


def matrices(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def test_singular_values_come_close_to_one() -> None:
    made = orthogonalized(torch.randn(3, 20, 40, generator=torch.Generator().manual_seed(0)), torch.float32)
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.5 and values.max() < 1.35


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 0.02), (torch.bfloat16, 0.02)])
def test_it_moves_like_the_one_of_torch(dtype: torch.dtype, tolerance: float) -> None:
    ours, theirs = matrices(), matrices()
    one = Muon(ours, lr=0.1, momentum=0.9, weight_decay=0.05, dtype=dtype)
    other = torch.optim.Muon(theirs, lr=0.1, momentum=0.9, weight_decay=0.05)
    for step in range(3):
        for p, q, gradient in zip(ours, theirs, matrices(seed=step + 1), strict=True):
            p.grad, q.grad = gradient.detach().clone(), gradient.detach().clone()
        one.step()
        other.step()
    for p, q in zip(ours, theirs, strict=True):
        assert (p - q).norm() < tolerance * math.sqrt(p.numel()) * 0.3


def test_matrices_without_a_gradient_stay() -> None:
    parameters = matrices()
    before = [p.detach().clone() for p in parameters]
    parameters[0].grad = torch.ones_like(parameters[0])
    Muon(parameters, lr=0.1).step()
    assert not torch.equal(parameters[0], before[0])
    assert all(torch.equal(p, b) for p, b in zip(parameters[1:], before[1:], strict=True))
