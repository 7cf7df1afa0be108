"""The noise that a text is made of: from whichever distribution, of mean 0 and variance 1.

So its scale means the same whatever the distribution is.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Distribution = Literal["normal", "uniform", "laplace"]


def unit_noise(
    *shape: int, distribution: Distribution, generator: torch.Generator | None
) -> Tensor:
    """Draw numbers of mean 0 and variance 1.

    Args:
        shape: of the numbers.
        distribution: what they are drawn from; `uniform` lies within the square root of 3 on both
            sides of 0, `laplace` has heavier tails than `normal`.
        generator: draws them; None is torch's global generator.
    """
    if distribution == "normal":
        return torch.randn(shape, generator=generator)
    if distribution == "uniform":
        return (2 * torch.rand(shape, generator=generator) - 1) * math.sqrt(3)
    # the difference of two exponential numbers, each of variance 1
    one, other = (torch.rand(shape, generator=generator).clamp_(min=1e-20).log_() for _ in range(2))
    return (other - one) / math.sqrt(2)
