"""A causal map over documents that share a row, for forms that cannot begin anew inside one.

A convolution by Fourier transform, or a scan in one call, reads a row from end to end. Here each
document becomes a row of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def by_document(
    read: Callable[[Tensor], Tensor],
    x: Float[Tensor, "B T C"],
    starts: Bool[Tensor, "B T"] | None,
) -> Float[Tensor, "B T D"]:
    """Apply a causal map (N, L, C) -> (N, L, D) to each document by itself.

    Args:
        read: the map; row n of its result depends on row n alone, and on nothing later. Shorter
            documents are followed by zeros.
        x: (B, T, C) what is read.
        starts: (B, T) marks the first position of each document; None where each row is one.
    """
    if starts is None or not bool(starts[:, 1:].any()):
        return read(x)
    rows, length, _ = x.shape
    begins = starts.clone()
    begins[:, 0] = True
    position = torch.arange(rows * length, device=x.device)
    document = begins.flatten().cumsum(0) - 1
    place = position - position[begins.flatten()][document]
    cut = x.new_zeros(int(document[-1]) + 1, int(place.max()) + 1, x.shape[2])
    cut[document, place] = x.flatten(0, 1)
    out: Tensor = read(cut)[document, place].unflatten(0, (rows, length))
    return out


def in_last_document(starts: Bool[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
    """Return which positions belong to the document that each row ends in.

    What a state keeps of a row is what stands there.
    """
    later = starts.flip(1).cumsum(1).flip(1) - starts.int()
    return later.eq(0)
