"""The beginning of a split: what is enough to measure on, where the whole would take too long."""

from __future__ import annotations

import numpy as np

from inklings.text.store import TokenSplit


def head_of(split: TokenSplit, targets: int) -> TokenSplit:
    """The first documents of a split.

    As long as they hold at most `targets` targets (at least 2) together.

    Where whole documents would hold less than half of that, the next one is cut, and a boundary put
    after the cut.

    Raises:
        RunError: the file is damaged there.
    """
    if split.n_targets <= targets:
        return split
    whole = int(np.searchsorted(split.offsets, targets, side="right")) - 1
    end = int(split.offsets[whole])
    if 2 * end >= targets:
        return TokenSplit(
            split.read(0, end + 1),
            split.offsets[: whole + 1],
            split.document_bytes[:whole],
            split.boundary,
        )
    tokens = np.append(split.read(0, targets), np.array([split.boundary], dtype=split.tokens.dtype))
    kept = (targets - end) / int(split.offsets[whole + 1] - end)
    n_bytes = np.append(
        split.document_bytes[:whole], round(int(split.document_bytes[whole]) * kept)
    )
    return TokenSplit(
        tokens, np.append(split.offsets[: whole + 1], targets), n_bytes, split.boundary
    )
