"""What keeps a critic's slope in bounds, so that its scores are worth following.

A critic reads rows by a linear map, so lines between rows are lines between what was read, and a
slope h in what was read has the squared length h gram h^T in the rows (`Critic.gram`): the
vocabulary need not be gone through.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Judge = Callable[[Tensor], Tensor]


def slopes(
    judge: Judge, read: Float[Tensor, "N T E"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N T E"]]:
    """Scores of what was read, and their gradient in it.

    Both can be differentiated in the critic's weights.
    """
    if not read.requires_grad:
        read = read.detach().requires_grad_()
    scores = judge(read)
    (gradient,) = torch.autograd.grad(scores.sum(), read, create_graph=True)
    return scores, gradient


def between(real: Float[Tensor, "N T E"], made: Float[Tensor, "N T E"]) -> Float[Tensor, "N T E"]:
    """For each pair a place on the line between, drawn evenly from torch's generator."""
    share = torch.rand(real.shape[0], 1, 1).to(real.device)
    return made + share * (real - made)


def squared_lengths(
    gradient: Float[Tensor, "N T E"], gram: Float[Tensor, "E E"] | None = None
) -> Float[Tensor, " N"]:
    """|gradient|^2 of each text, in the rows if `gram` is given."""
    other = gradient if gram is None else gradient @ gram
    return (gradient * other).sum((1, 2))


def gradient_penalty(
    judge: Judge, read: Float[Tensor, "N T E"], gram: Float[Tensor, "E E"] | None = None
) -> Float[Tensor, ""]:
    """How far the critic's slope is from one.

    Mean of (|gradient| - 1)^2 (Gulrajani et al. 2017, equation 3).
    """
    lengths = (
        squared_lengths(slopes(judge, read)[1], gram) + 1e-12
    ).sqrt()  # a root has no derivative at zero
    penalty: Tensor = (lengths - 1).square().mean()
    return penalty


def zero_centred(
    gradient: Float[Tensor, "N T E"], gram: Float[Tensor, "E E"] | None = None
) -> Float[Tensor, ""]:
    """R1 on real rows, R2 on made ones.

    Half the mean of |gradient|^2 (Mescheder et al. 2018, equation 9).
    """
    return squared_lengths(gradient, gram).mean() / 2
