"""Penalties on the slope of a critic, so that its scores are worth following.

A critic reads rows by a linear map, so lines between rows are lines between what it reads, and a
slope h there has the squared length h gram h^T in the rows (`Critic.gram`): nothing of the size of
the vocabulary is computed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from inklings.world import ALONE, World

Judge = Callable[[Tensor], Tensor]


def slopes(
    judge: Judge, read: Float[Tensor, "N T E"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N T E"]]:
    """Return the scores of what was read, and their gradient with respect to it.

    Both can be differentiated with respect to the critic's weights.
    """
    if not read.requires_grad:
        read = read.detach().requires_grad_()
    scores = judge(read)
    (gradient,) = torch.autograd.grad(scores.sum(), read, create_graph=True)
    return scores, gradient


def between(
    real: Float[Tensor, "N T E"], made: Float[Tensor, "N T E"], world: World = ALONE
) -> Float[Tensor, "N T E"]:
    """Return a random point on the line between each pair, uniform, from torch's generator.

    Args:
        real: one end of each line.
        made: the other.
        world: the processes that share the pairs, and draw alike.
    """
    pairs = real.shape[0] * world.size
    share = torch.rand(pairs, 1, 1)[world.rows(pairs)].to(real.device)
    return made + share * (real - made)


def squared_lengths(
    gradient: Float[Tensor, "N T E"], gram: Float[Tensor, "E E"] | None = None
) -> Float[Tensor, " N"]:
    """Return |gradient|^2 of each text, measured in the rows if `gram` is given."""
    other = gradient if gram is None else gradient @ gram
    return (gradient * other).sum((1, 2))


def gradient_penalty(
    judge: Judge, read: Float[Tensor, "N T E"], gram: Float[Tensor, "E E"] | None = None
) -> Float[Tensor, ""]:
    """Return the penalty on slopes other than one: the mean of (|gradient| - 1)^2.

    Gulrajani et al. 2017, equation 3.

    Args:
        judge: the critic's score of what it reads, (N, T, E) to (N,).
        read: what it reads of N texts.
        gram: the Gram matrix of its linear map; None measures the slope in what is read.
    """
    lengths = (
        squared_lengths(slopes(judge, read)[1], gram) + 1e-12
    ).sqrt()  # a root has no derivative at zero
    penalty: Tensor = (lengths - 1).square().mean()
    return penalty


def zero_centred(
    gradient: Float[Tensor, "N T E"], gram: Float[Tensor, "E E"] | None = None
) -> Float[Tensor, ""]:
    """Return half the mean of |gradient|^2: R1 on real rows, R2 on generated ones.

    Mescheder et al. 2018, equation 9.
    """
    return squared_lengths(gradient, gram).mean() / 2
