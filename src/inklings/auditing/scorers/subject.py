"""A scorer as a subject of the audit, with the documents that it is replayed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from inklings.auditing.scorers.protocol import (
    MakeScorer,
    Scorer,
    Tokens,
    encode,
    prediction_of,
    vocab_size_of,
)
from inklings.text.documents import SplitName
from inklings.text.store import TokenStore

TOKENS = 384
"""Most tokens of all documents on which a scorer is replayed; a replay is made many times."""
LONGEST = 160
"""Most tokens of one of them."""
NUMBERS = 1 << 23
"""Most log-probabilities that one replay keeps: with a large vocabulary fewer tokens are read."""
RELATIVE = 1e-6
"""By how much two predictions of the same may be apart, of their size and in nats."""

Predictions = Float64[np.ndarray, "T V"]


@dataclass(frozen=True, kw_only=True)
class ScorerSubject:
    """A scorer that can be made anew, and texts to read to it."""

    kind: ClassVar[str] = "scorer"

    label: str
    make: MakeScorer
    texts: tuple[str, ...] | None = None
    """Documents of a real text; without one, random tokens are read."""

    @property
    def is_trained(self) -> bool:
        """A scorer is judged as it is."""
        return True

    @property
    def has_text(self) -> bool:
        """Whether real documents are read."""
        return self.texts is not None

    @cached_property
    def vocab_size(self) -> int:
        """V, the number of tokens that the scorer knows."""
        return vocab_size_of(self.make())

    @cached_property
    def documents(self) -> list[Tokens]:
        """The documents that are read, at least two, each of at least one token."""
        size = self.vocab_size
        total = max(24, min(TOKENS, NUMBERS // size))
        longest = min(LONGEST, total // 2)
        if self.texts is None:
            draw = np.random.default_rng(0)
            return [draw.integers(0, size, longest).tolist() for _ in range(2)]
        scorer, documents, left = self.make(), [], total
        for text in self.texts:
            # a token has at least one byte, so that so many characters hold enough of them
            tokens = encode(scorer, text[: 8 * longest])[: min(longest, left)]
            if tokens:
                documents.append(tokens)
                left -= len(tokens)
            if left <= 0:
                break
        if len(documents) == 1:
            middle = max(1, len(documents[0]) // 2)
            documents = [documents[0][:middle], documents[0][middle:] or documents[0]]
        return documents

    @property
    def longest(self) -> Tokens:
        """The longest of the documents."""
        return max(self.documents, key=len)


def scorer_subject(
    label: str, make: MakeScorer, store: TokenStore | None, *, split: SplitName = "validation"
) -> ScorerSubject:
    """Make a subject of a scorer and the held-out documents of a text.

    Args:
        label: its name in the audit.
        make: gives a scorer that has observed nothing.
        store: the text, tokenised in whatever way loses nothing.
        split: the held-out text.

    Raises:
        RunError: the store is damaged.
    """
    texts = None
    if store is not None:
        held_out = store.split(split).spread(64 * TOKENS)
        texts = tuple(
            store.tokenizer.decode(held_out.document(index))
            for index in range(min(held_out.n_documents, TOKENS))
        )
    return ScorerSubject(label=label, make=make, texts=texts)


def replay(scorer: Scorer, document: Sequence[int], *, begin: bool = True) -> Predictions:
    """Return the prediction before each token of a document, each asked for before it is told.

    Args:
        scorer: is left as it is after the last token.
        document: tokens.
        begin: whether it is told that a document begins.
    """
    if begin:
        scorer.begin()
    predictions = np.empty((len(document), vocab_size_of(scorer)))
    for position, token in enumerate(document):
        predictions[position] = prediction_of(scorer)
        scorer.observe(int(token))
    return predictions


def nats_of(predictions: Predictions, document: Sequence[int]) -> Float64[np.ndarray, " T"]:
    """Return what each token costs by the prediction before it."""
    chosen: np.ndarray = predictions[np.arange(len(document)), np.asarray(document)]
    return -chosen


def first_difference(
    found: np.ndarray, expected: np.ndarray, tolerance: float = RELATIVE
) -> int | None:
    """Return the first position where two predictions of the same differ by more than rounding.

    Args:
        found: predictions, the positions first.
        expected: those that should be the same.
        tolerance: in nats, and as a share of larger numbers.
    """
    apart = gaps(found, expected)
    allowed = tolerance * (1 + np.where(np.isfinite(expected), np.abs(expected), 0.0))
    wrong = (apart > allowed).reshape(len(expected), -1).any(axis=1)
    return int(wrong.argmax()) if wrong.any() else None


def gaps(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return how far values are apart, 0 where both are the same infinity and inf for NaN."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(found - expected)
    return np.asarray(
        np.where(found == expected, 0.0, np.nan_to_num(apart, nan=np.inf, posinf=np.inf))
    )


def with_other_tokens(document: Tokens, first: int, vocab_size: int) -> Tokens:
    """Return the document with other tokens from a position on.

    Args:
        document: the tokens.
        first: position of the first token that becomes another.
        vocab_size: V, below which all tokens are.
    """
    draw = np.random.default_rng(first)
    shifts = draw.integers(1, max(2, vocab_size), len(document) - first)
    changed = [
        (token + int(shift)) % vocab_size
        for token, shift in zip(document[first:], shifts, strict=True)
    ]
    return document[:first] + changed
