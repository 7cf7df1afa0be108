"""The overlap of a held-out text with what its model has met: its long-term memory, or training.

A loss on such text tests memory, not prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from inklings.auditing.checks.text_overlap import MOST, check_overlap, span_length
from inklings.runs.own_text import known_documents
from inklings.text.store import TokenSplit
from inklings.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class Remembered:
    """The part of a split that a memory or a training part holds, word for word."""

    documents: int
    """How many of its documents are documents there."""
    spans: float | None
    """Share of its spans of `span` tokens that stand there; None where one of the two has no
    document that long.
    """
    span: int
    flatters: bool
    """Whether that is enough to make the loss on the split partly a test of memory; spans as
    `check_overlap` has it.
    """


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
    spans, length, many = _spans(inner, split, tokenizer)
    return Remembered(documents=found, spans=spans, span=length, flatters=found > 0 or many)


def learned(train: TokenSplit, split: TokenSplit, tokenizer: Tokenizer) -> Remembered:
    """Compare a split with a training part in the same tokens.

    All whole documents are compared, and spans as far into both as `check_overlap` looks. Texts of
    short documents share some by chance, so a document or two does not flatter yet.

    Args:
        train: the training part.
        split: the held-out text.
        tokenizer: of both.

    Raises:
        RunError: one of the two is damaged.
    """
    found = known_documents(train, split)
    spans, length, many = _spans(train, split, tokenizer)
    return Remembered(
        documents=found, spans=spans, span=length, flatters=found > MOST * split.n_documents or many
    )


def _spans(
    known: TokenSplit, split: TokenSplit, tokenizer: Tokenizer
) -> tuple[float | None, int, bool]:
    """Return the share of the split's spans that are known, their length, and if it is much."""
    length = span_length(tokenizer)
    held_out = check_overlap({"train": known, "held-out": split}, length=length)
    facts = held_out.evidence.get("splits", {}).get("held-out", {})
    spans = facts.get("spans_in_train")
    return spans, length, spans is not None and spans * facts["spans"] > MOST * facts["targets"]
