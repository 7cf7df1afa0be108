"""The overlap of a held-out text with what its model has met: its long-term memory, or training.

A loss on such text tests memory, not prediction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from inklings.runs.shared_text import Remembered, shared_spans
from inklings.text.store import TokenSplit
from inklings.text.tokenizers import Tokenizer


def remembered(
    documents: Sequence[Int64[np.ndarray, " _"]], split: TokenSplit, tokenizer: Tokenizer
) -> Remembered:
    """Compare a split with the documents of a memory.

    All whole documents are compared, and spans as far into both as `check_overlap` looks.

    Args:
        documents: tokens of each, from boundary to boundary.
        split: the held-out text.
        tokenizer: of both.

    Raises:
        RunError: the split is damaged.
    """
    known = {tokens[1:-1].astype(np.uint32).tobytes() for tokens in documents}
    found = sum(
        split.document(index).astype(np.uint32).tobytes() in known
        for index in range(split.n_documents)
    )
    inner = TokenSplit.of([tokens[1:-1] for tokens in documents], tokenizer.boundary)
    spans, length, many = shared_spans(inner, split, tokenizer)
    return Remembered(documents=found, spans=spans, span=length, flatters=found > 0 or many)
