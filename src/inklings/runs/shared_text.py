"""Text that stands in training and in a held-out part: whole documents, and spans of tokens.

A loss on such text tests memory, not prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt64

from inklings.runs.own_text import known_documents
from inklings.text.store import TokenSplit
from inklings.text.token_bytes import OF_LETTERS
from inklings.text.tokenizers import Tokenizer

TRAIN_TARGETS = 5_000_000
"""Targets of the training text that are looked at, at most."""
HELD_OUT_TARGETS = 1_000_000
"""Targets of each held-out split that are looked at, at most."""
MOST = 0.01
"""Overlaps and repetitions above this share are worth a warning."""
LONG_OF_LETTERS = 50
"""Tokens of a span that two texts hardly share by chance, where they are characters or bytes."""
LONG_OF_PIECES = 13
"""The same where they are larger."""


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
    spans, length, many = shared_spans(train, split, tokenizer)
    return Remembered(
        documents=found, spans=spans, span=length, flatters=found > MOST * split.n_documents or many
    )


def shared_spans(
    known: TokenSplit, split: TokenSplit, tokenizer: Tokenizer
) -> tuple[float | None, int, bool]:
    """Return the share of a split's spans that stand elsewhere, their length, and if it is much.

    Where few documents are as long as a span, the few spans there are weigh little in a loss: those
    that are known must be more than `MOST` of the targets.

    Args:
        known: where they are looked for, as far as `TRAIN_TARGETS`.
        split: the held-out text, as far as `HELD_OUT_TARGETS`.
        tokenizer: of both.
    """
    length, head = span_length(tokenizer), split.head(HELD_OUT_TARGETS)
    spans, there = spans_of(head, length), np.sort(spans_of(known.head(TRAIN_TARGETS), length))
    if not len(spans) or not len(there):
        return None, length, False
    found = int(occur(spans, there).sum())
    return found / len(spans), length, found > MOST * head.n_targets


def span_length(tokenizer: Tokenizer) -> int:
    """Return tokens of a span that two texts hardly share by chance, for this tokenizer."""
    return LONG_OF_LETTERS if tokenizer.kind in OF_LETTERS else LONG_OF_PIECES


def spans_of(split: TokenSplit, length: int) -> UInt64[np.ndarray, " n"]:
    """Return a hash of every span of `length` tokens that has no boundary in it.

    Those of equal spans are equal.

    Of the form sum of x_i B^(length - i) modulo 2^64, whose values for twice as many tokens follow
    from those for as many.
    """
    tokens = split.read(0, len(split.tokens))
    if len(tokens) < length:
        return np.zeros(0, dtype=np.uint64)
    values = (tokens.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    values ^= values >> np.uint64(29)
    n = len(tokens) - length + 1
    hashes, done, width = np.zeros(n, dtype=np.uint64), 0, 1
    while done < length:  # `values` are those of spans of `width` tokens, `hashes` of `done`
        power = np.uint64(pow(0xBF58476D1CE4E5B9, width, 2**64))
        if length & width:
            hashes = hashes * power + values[done : done + n]
            done += width
        values = values[:-width] * power + values[width:]
        width *= 2
    boundaries = np.append(0, np.cumsum(tokens == split.boundary))
    unbroken: Bool[np.ndarray, " m"] = boundaries[length:] == boundaries[:-length]
    return np.compress(unbroken, hashes)


def occur(
    hashes: UInt64[np.ndarray, " n"], known: UInt64[np.ndarray, " m"]
) -> Bool[np.ndarray, " n"]:
    """Return which of the hashes (ascending) are among the known ones (ascending too)."""
    hashes = np.sort(hashes)  # searching in order is several times faster
    found: Bool[np.ndarray, " n"] = (
        known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
    )
    return found
