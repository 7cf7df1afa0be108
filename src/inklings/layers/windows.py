"""Windows of the last n tokens before every prediction, never across the start of a document."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def tokens_before(
    before: Int[Tensor, " B"], starts: Bool[Tensor, "B T"] | None, length: int
) -> Int[Tensor, "B T"]:
    """Count the tokens of the same document before each position.

    Args:
        before: (B,), the count at the first position, as far as no document starts there. It may be
            capped, if no reader looks further back than the cap.
        starts: (B, T), marks the first tokens of documents.
        length: T.
    """
    positions = torch.arange(length, device=before.device)
    counted = before[:, None] + positions
    if starts is None:
        return counted
    latest_start = torch.where(starts, positions, -1).cummax(dim=1).values
    return torch.where(latest_start >= 0, positions - latest_start, counted)


def context_windows(
    tokens: Int[Tensor, "B T"],
    past: Int[Tensor, "B P"],
    starts: Bool[Tensor, "B T"] | None,
    boundary: int,
) -> Int[Tensor, "B T P+1"]:
    """Return the last P + 1 tokens at every position, the current one included and last.

    A window begins with P boundaries at a document's first token. The new past is that of the last
    position: `windows[:, -1, 1:]`.

    Args:
        tokens: (B, T).
        past: the tokens before the first position (B, P).
        starts: (B, T), marks the first tokens of documents.
        boundary: stands in for what lies before the start of a position's document.
    """
    reach = past.shape[1]
    windows = torch.cat([past, tokens], dim=1).unfold(1, reach + 1, 1)
    if starts is None:
        return windows
    available = tokens_before(past.new_full((past.shape[0],), reach), starts, tokens.shape[1])
    look_back = torch.arange(reach, -1, -1, device=tokens.device)
    return windows.where(look_back <= available[:, :, None], boundary)


def last_tokens(context: Int[Tensor, "B N"], count: int, boundary: int) -> Int[Tensor, "B P"]:
    """Return the last tokens of a context, padded on the left.

    Args:
        context: (B, N).
        count: how many tokens are returned.
        boundary: the padding.
    """
    kept = context[:, max(context.shape[1] - count, 0) :]
    missing = kept.new_full((kept.shape[0], count - kept.shape[1]), boundary)
    return torch.cat([missing, kept], dim=1)
