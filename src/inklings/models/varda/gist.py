"""The gist of what was read, which keys may carry beside the vector of their own position.

A hidden vector knows best what comes next, and little of whom a sentence is about: in a small model
two facts that end in the same words have nearly the same vector. A fading mean of the vectors so
far keeps them apart.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def with_gist(
    keys: Float[Tensor, "B T D"],
    gist: Float[Tensor, "B D"],
    starts: Bool[Tensor, "B T"] | None,
    *,
    weight: float,
    length: int,
) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B D"]]:
    """Return unit keys with the gist of their document in them, and the gist after the last.

    A gist is the sum of the keys of a document up to a position, each weighing less the further
    back it is. It is made a unit vector before it is added.

    Args:
        keys: unit vectors.
        gist: what the pass before has left; zeros at the beginning.
        starts: marks the first tokens of documents, where a gist begins anew.
        weight: of the gist, where a position's own key has 1.
        length: tokens after which the weight of a key has fallen to about a third.
    """
    positions = torch.arange(keys.shape[1], device=keys.device)
    fading = 1 - 1 / length
    back = positions[:, None] - positions
    weights = torch.where(back >= 0, fading ** back.clamp(min=0), 0.0)
    carried = fading ** (positions + 1.0)
    if starts is None:
        gists = weights @ keys + carried[:, None] * gist[:, None]
    else:
        document = starts.long().cumsum(1)
        same = document[:, :, None] == document[:, None, :]
        left = carried * (document == 0)
        gists = (weights * same) @ keys + left[..., None] * gist[:, None]
    return F.normalize(keys + weight * F.normalize(gists, dim=-1), dim=-1), gists[:, -1].detach()
