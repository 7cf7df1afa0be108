"""The rank of the right token among all tokens, by their logits."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def ranks(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
    """Return how many tokens come before the target in order of their logits, counted up to five.

    0 is a hit.

    Of equal logits the smaller token number comes first, as in `argmax`. Counting all equal ones as
    hits would give a model that knows nothing (all logits equal) full marks.
    """
    of_target = logits.gather(1, targets.unsqueeze(1))
    greatest = logits.topk(min(6, logits.shape[1]), dim=1).values
    found = (greatest > of_target).sum(dim=1).clamp(max=5)
    # Where the target is among the five greatest and equals another, two of the six greatest are
    # equal to it.
    tied = ((greatest == of_target).sum(dim=1) > 1).nonzero().squeeze(1)
    numbers = torch.arange(logits.shape[1], device=logits.device)
    equals_before = (logits[tied] == of_target[tied]) & (numbers < targets[tied].unsqueeze(1))
    return found.index_add(0, tied, equals_before.sum(dim=1)).clamp(max=5)
