from __future__ import annotations

import torch
import torch.nn.functional as F

from inklings.layers.squared_relu import squared_relu


def test_value_and_gradient_are_those_of_the_plain_formula() -> None:
    x = torch.cat((torch.randn(50, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)))
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    gradient = torch.randn_like(x)
    found, expected = squared_relu(one), F.relu(other).square()
    found.backward(gradient)
    expected.backward(gradient)
    assert torch.equal(found, expected)
    torch.testing.assert_close(one.grad, other.grad)
    assert torch.equal(squared_relu(x), expected)
