from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from inklings.training.optimizers.muon import Muon, orthogonalized

SHAPES = [(16, 16), (16, 48), (48, 16), (16, 16), (5, 7)]


def matrices(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def test_singular_values_come_close_to_one() -> None:
    made = orthogonalized(
        torch.randn(3, 20, 40, generator=torch.Generator().manual_seed(0)), torch.float32
    )
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.5 and values.max() < 1.35


def polar(matrix: torch.Tensor) -> torch.Tensor:
    """The nearest matrix whose singular values are 1."""
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    nearest: torch.Tensor = left @ right
    return nearest


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_moves_as_its_definition_says(dtype: torch.dtype) -> None:
    lr, momentum, decay = 0.1, 0.9, 0.05
    ours, plain = matrices(), [p.detach().clone() for p in matrices()]
    averages = [torch.zeros_like(p) for p in plain]
    optimizer = Muon(ours, lr=lr, momentum=momentum, weight_decay=decay, dtype=dtype)
    for step in range(3):
        before = [p.detach().clone() for p in ours]
        for p, gradient in zip(ours, matrices(seed=step + 1), strict=True):
            p.grad = gradient.detach().clone()
        optimizer.step()
        for index, (p, old) in enumerate(zip(ours, before, strict=True)):
            assert p.grad is not None
            averages[index] = momentum * averages[index] + (1 - momentum) * p.grad
            ahead = momentum * averages[index] + (1 - momentum) * p.grad
            expected = -lr * math.sqrt(max(1.0, p.shape[0] / p.shape[1])) * polar(ahead)
            moved = p.detach() - (1 - lr * decay) * old
            assert torch.cosine_similarity(moved.flatten(), expected.flatten(), dim=0) > 0.95
            assert 0.75 < moved.norm() / expected.norm() < 1.25


@pytest.mark.parametrize("decades", [0.0, 1.0, 2.0])
def test_small_singular_values_are_lifted_whatever_the_spectrum(decades: float) -> None:
    """The growth of the iteration used everywhere is the bar.

    Five steps after a division by the Frobenius norm.
    """
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.linalg.qr(torch.randn(size, 48, generator=generator))[0] for size in (48, 96)
    )
    matrix = (left * torch.logspace(0, -decades, 48)) @ right.T
    usual = matrix / matrix.norm()
    for _ in range(5):
        gram = usual @ usual.T
        usual = 3.4445 * usual + (-4.7750 * gram + 2.0315 * gram @ gram) @ usual
    least = torch.linalg.svdvals(orthogonalized(matrix[None], torch.float32)).min()
    assert least > 0.75 * torch.linalg.svdvals(usual).min()


def test_matrices_without_a_gradient_stay() -> None:
    parameters = matrices()
    before = [p.detach().clone() for p in parameters]
    parameters[0].grad = torch.ones_like(parameters[0])
    Muon(parameters, lr=0.1).step()
    assert not torch.equal(parameters[0], before[0])
    assert all(torch.equal(p, b) for p, b in zip(parameters[1:], before[1:], strict=True))
