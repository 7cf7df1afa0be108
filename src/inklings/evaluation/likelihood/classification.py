"""The next token seen as a class: rank of the right one, and macro F1."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def ranks(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
    """How many tokens come before the target in order of their logits, counted up to five.

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


def macro_f1(
    hits: Int[np.ndarray, " V"], predicted: Int[np.ndarray, " V"], actual: Int[np.ndarray, " V"]
) -> float:
    """The macro F1: the mean of 2 hits / (predicted + actual) over the classes that occur.

    A class occurs as a target or as a prediction.

    The arrays count, for each class, how often it was predicted rightly, predicted, and the target.
    A class that is never hit counts as 0; one that neither occurs nor is predicted does not count.
    """
    occurring = predicted + actual > 0
    if not occurring.any():
        return 0.0
    return float(np.mean(2 * hits[occurring] / (predicted + actual)[occurring]))
