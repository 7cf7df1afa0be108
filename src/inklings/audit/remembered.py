"""What of a held-out text stands in the long-term memory that its model reads: that would be a test of memory, not of prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from inklings.audit.data import LONG, LONG_OF_PIECES, MOST, check_overlap
from inklings.text.store import TokenSplit
from inklings.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class Remembered:
    """How much of a split a memory holds, word for word."""

    documents: int
    """How many of its documents are documents of the memory."""
    spans: float | None
    """Share of its spans of `span` tokens that stand in the memory; None where one of the two has no document that long."""
    span: int
    flatters: bool
    """Whether that is enough to make the loss on the split partly a test of memory: any document, or spans as `check_overlap` has it."""


def remembered(documents: Sequence[Int64[np.ndarray, " _"]], split: TokenSplit, tokenizer: Tokenizer) -> Remembered:
    """Compare a split with the documents of a memory, given as tokens from boundary to boundary.

    Whole documents are compared all, spans as far into both as `check_overlap` looks.

    Raises:
        RunError: the split is damaged.
    """
    known = {tokens[1:-1].astype(np.uint32).tobytes() for tokens in documents}
    found = sum(split.document(index).astype(np.uint32).tobytes() in known for index in range(split.n_documents))
    length = LONG.get(tokenizer.kind, LONG_OF_PIECES)
    held_out = check_overlap({"train": _as_split(documents, tokenizer.boundary), "held-out": split}, length=length)
    facts = held_out.evidence.get("splits", {}).get("held-out", {})
    spans = facts.get("spans_in_train")
    many = spans is not None and spans * facts["spans"] > MOST * facts["targets"]
    return Remembered(documents=found, spans=spans, span=length, flatters=found > 0 or many)


def _as_split(documents: Sequence[Int64[np.ndarray, " _"]], boundary: int) -> TokenSplit:
    sizes = [len(tokens) - 1 for tokens in documents]
    return TokenSplit(
        tokens=np.concatenate([*(tokens[:-1] for tokens in documents), [boundary]]).astype(np.uint32),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        document_bytes=np.array(sizes, dtype=np.int64),
        boundary=boundary,
    )
