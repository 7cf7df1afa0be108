from __future__ import annotations

import torch
import torch.nn.functional as F

from inklings.layers.norm import EPSILON, rms_norm


def test_value_and_gradient_are_those_of_the_plain_formula() -> None:
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    x[0, 0] *= 1e-4  # where the epsilon counts
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = rms_norm(one), F.rms_norm(other, (8,), eps=EPSILON)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn_like(x)
    found.backward(gradient)
    expected.backward(gradient)
    torch.testing.assert_close(one.grad, other.grad)


def test_with_and_without_gradients_agree() -> None:
    x = torch.randn(4, 16)
    torch.testing.assert_close(rms_norm(x.clone().requires_grad_()).detach(), rms_norm(x))


def test_half_precision_is_summed_in_full() -> None:
    x = torch.full((1, 4096), 0.01, dtype=torch.bfloat16, requires_grad=True)
    normed = rms_norm(x)
    assert normed.dtype == torch.bfloat16
    torch.testing.assert_close(normed.float().detach(), torch.ones(1, 4096), rtol=1e-2, atol=1e-2)
    normed.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16
