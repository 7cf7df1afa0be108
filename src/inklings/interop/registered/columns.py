"""Which columns of a batch belong to a text, and where the texts begin.

Rows of different lengths share a batch by padding, which an attention mask marks with zeros. Here
nothing has to be masked: a row begins anew at its first real column, as at the first token of a
document, so what stands before it cannot matter.
"""

from __future__ import annotations

from jaxtyping import Bool, Int, Num
from torch import Tensor

from inklings.errors import ConfigError


def first_columns(
    mask: Num[Tensor, "B S"] | None,
    positions: Int[Tensor, "_ P"] | None,
    *,
    read: int,
    shape: tuple[int, int],
) -> Bool[Tensor, "B T"] | None:
    """Return which of the new columns are first of a text; None where none is but the very first.

    A text begins behind padding, and wherever positions begin again at zero, as in rows of several
    texts.

    Args:
        mask: zero for padding, of all columns, those that were read before included; None if there
            is no padding.
        positions: of the new columns in their texts, for all rows or for each; None if they go on.
        read: how many columns were read before.
        shape: (B, T) of the new ones.

    Raises:
        ConfigError: the mask has another shape, or a gap: padding behind the beginning of a text
            that goes on after it.
    """
    begins = None if positions is None else (positions[:, -shape[1] :] == 0).expand(shape)
    if mask is not None:
        if mask.shape != (shape[0], read + shape[1]):
            raise ConfigError(
                f"an attention mask of shape {tuple(mask.shape)} was given for {shape[0]} rows of"
                f" {read + shape[1]} columns, {read} of which were read before. Allowed: zeros and"
                " ones, one for each column of each row."
            )
        real = mask != 0
        edges = real.clone()
        edges[:, 1:] &= ~real[:, :-1]
        if bool((edges.sum(1) > 1).any()):
            raise ConfigError(
                "the attention mask has padding behind the beginning of a text that goes on after"
                " it. Fill up on the left: tokenizer.padding_side = 'left'."
            )
        edges, real = edges[:, read:], real[:, read:]
        begins = edges if begins is None else edges | (begins & real)
    if begins is None:
        return None
    if read == 0:
        begins = begins.clone()
        begins[:, 0] = False  # there it begins anyway
    return begins if bool(begins.any()) else None
