"""Sets of token sequences, real or sampled, in the form that every sample metric reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Int64, Integer, UInt64

from inklings.errors import ConfigError, SourceError
from inklings.text.store import TokenSplit

_ODD = np.array([0x9E3779B97F4A7C15], dtype=np.uint64)
_INVERSE = np.array([pow(0x9E3779B97F4A7C15, -1, 2**64)], dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class SampleSet:
    """Documents, or windows of documents, in one array.

    A document that ended has the boundary as its last token, its end mark; one that was cut, or a
    window, has none.
    """

    tokens: Int64[np.ndarray, " T"]
    """Tokens of all documents, end marks included."""
    offsets: Int64[np.ndarray, " N1"]
    """First token of each document, and the end of the last."""
    ended: Bool[np.ndarray, " N"]
    boundary: int
    vocab_size: int

    def __len__(self) -> int:
        return len(self.ended)

    @property
    def sizes(self) -> Int64[np.ndarray, " N"]:
        """How many tokens each document has, its end mark included."""
        return np.diff(self.offsets)

    @property
    def lengths(self) -> Int64[np.ndarray, " N"]:
        """How many tokens each document has, without its end mark."""
        lengths: np.ndarray = self.sizes - self.ended
        return lengths

    @property
    def documents(self) -> Int64[np.ndarray, " T"]:
        """The number of the document that each token belongs to."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def document(self, index: int) -> Int64[np.ndarray, " L"]:
        """Return the tokens of one document, without its end mark."""
        return self.tokens[self.offsets[index] : self.offsets[index] + self.lengths[index]]

    def select(self, rows: Integer[np.ndarray, " M"]) -> SampleSet:
        """Return some of the documents, in the given order; they may repeat."""
        sizes = self.sizes[rows]
        return SampleSet(
            self.tokens[ragged(self.offsets[rows], sizes)],
            _offsets(sizes),
            self.ended[rows],
            self.boundary,
            self.vocab_size,
        )

    def fingerprints(self) -> UInt64[np.ndarray, " N"]:
        """Return a number for each document, equal for equal ones."""
        return fingerprints(self.tokens, self.offsets[:-1], self.sizes)

    def spans(self, width: int) -> UInt64[np.ndarray, " S"]:
        """Fingerprint every span of `width` tokens within a document, end marks left out."""
        counts = np.maximum(self.lengths - width + 1, 0)
        starts = ragged(self.offsets[:-1], counts)
        return fingerprints(self.tokens, starts, np.full(len(starts), width))

    def stream(self) -> Int64[np.ndarray, " S"]:
        """Join all documents into one text, as counting models read it.

        A boundary stands before, between and after them.
        """
        sizes = self.lengths + 1
        stream = np.full(int(sizes.sum()) + 1, self.boundary)
        stream[ragged(1 + _offsets(sizes)[:-1], self.lengths)] = self.tokens[
            ragged(self.offsets[:-1], self.lengths)
        ]
        return stream


def ragged(starts: Int[np.ndarray, " N"], sizes: Int[np.ndarray, " N"]) -> Int64[np.ndarray, " T"]:
    """Concatenate `start, start + 1, ...` of each row, as many as its size says."""
    shift = starts - (np.cumsum(sizes) - sizes)
    places: np.ndarray = np.repeat(shift, sizes) + np.arange(int(sizes.sum()))
    return places


def fingerprints(
    tokens: Int64[np.ndarray, " T"], starts: Int64[np.ndarray, " S"], sizes: Int64[np.ndarray, " S"]
) -> UInt64[np.ndarray, " S"]:
    """Return a number for each span of tokens, equal for equal spans.

    The polynomial hash of Karp and Rabin 1987, modulo 2^64 over scrambled tokens. Two given spans
    that differ have the same number once in about 2^64 times; a million spans hold such a pair with
    probability 3e-8.

    Args:
        tokens: (T,).
        starts: where each span begins.
        sizes: how long it is.
    """
    powers = np.cumprod(np.repeat(_ODD, len(tokens) + 1))
    back = np.cumprod(np.repeat(_INVERSE, len(tokens) + 1))
    prefix = np.concatenate(
        [
            np.zeros(1, dtype=np.uint64),
            np.cumsum(_scrambled(tokens.astype(np.uint64)) * powers[: len(tokens)]),
        ]
    )
    sums = (prefix[starts + sizes] - prefix[starts]) * back[starts]
    return _scrambled(sums + sizes.astype(np.uint64))


def _scrambled(values: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Return the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = values + _ODD
    values = (values ^ (values >> np.uint64(30))) * np.array([0xBF58476D1CE4E5B9], dtype=np.uint64)
    values = (values ^ (values >> np.uint64(27))) * np.array([0x94D049BB133111EB], dtype=np.uint64)
    scrambled: np.ndarray = values ^ (values >> np.uint64(31))
    return scrambled


def sample_set(
    rows: Sequence[Sequence[int]], ended: Sequence[bool], *, boundary: int, vocab_size: int
) -> SampleSet:
    """Make a set of documents, which are given without end marks.

    Args:
        rows: tokens of each document.
        ended: whether it ended, and gets an end mark.
        boundary: the token of the end mark.
        vocab_size: of the tokenizer.
    """
    assert len(rows) == len(ended)
    flat = [
        token
        for row, end in zip(rows, ended, strict=True)
        for token in ([*row, boundary] if end else row)
    ]
    sizes = np.array([len(row) + end for row, end in zip(rows, ended, strict=True)], dtype=np.int64)
    return SampleSet(
        np.array(flat, dtype=np.int64),
        _offsets(sizes),
        np.array(ended, dtype=bool),
        boundary,
        vocab_size,
    )


def documents_of(
    split: TokenSplit,
    *,
    vocab_size: int,
    max_length: int,
    seed: int = 0,
    most_tokens: int | None = None,
) -> SampleSet:
    """Take a split's documents in random order, cut at `max_length` tokens.

    Args:
        split: the text.
        vocab_size: of the tokenizer.
        max_length: tokens at which documents are cut.
        seed: of the order.
        most_tokens: take only as many documents as have this many tokens together, at least one.

    Raises:
        ConfigError: the length is below 1.
        SourceError: the split has no documents.
    """
    if max_length < 1:
        raise ConfigError(
            f"max_length is {max_length}; a document needs room for at least 1 token."
        )
    return _chosen(
        split,
        split.offsets[:-1] + 1,
        np.diff(split.offsets) - 1,
        max_length,
        vocab_size,
        seed,
        most_tokens,
    )


def windows_of(
    split: TokenSplit, width: int, *, vocab_size: int, seed: int = 0, most_tokens: int | None = None
) -> SampleSet:
    """Take windows within the documents of a split, in random order, without end marks.

    What is left of a document after its last whole window is not used.

    Args:
        split: the text.
        width: tokens of a window.
        vocab_size: of the tokenizer.
        seed: of the order.
        most_tokens: take only as many windows as have this many tokens together.

    Raises:
        ConfigError: the width is below 2.
        SourceError: no document is as long as a window.
    """
    starts = cut_windows(split.offsets[:-1] + 1, np.diff(split.offsets) - 1, width)
    if not len(starts):
        longest = int(np.diff(split.offsets).max(initial=1)) - 1
        raise SourceError(
            f"no document of the split has {width} tokens, the longest has {longest}; ask for"
            " narrower windows, or for none."
        )
    # A window is a document that was cut: it has no end mark even where the document ends with it.
    chosen = _chosen(
        split, starts, np.full(len(starts), width + 1), width, vocab_size, seed, most_tokens
    )
    assert not chosen.ended.any()
    return chosen


def cut_windows(
    starts: Int[np.ndarray, " N"], lengths: Int[np.ndarray, " N"], width: int
) -> Int64[np.ndarray, " W"]:
    """Cut documents into windows; return where each begins.

    Args:
        starts: where each document begins.
        lengths: how long it is.
        width: tokens of a window.

    Raises:
        ConfigError: the width is below 2.
    """
    if width < 2:
        raise ConfigError(f"windows of {width} tokens; a window needs at least 2.")
    counts = lengths // width
    within = ragged(np.zeros_like(counts), counts)
    begins: np.ndarray = np.repeat(starts, counts) + width * within
    return begins


def _chosen(
    split: TokenSplit,
    starts: Int64[np.ndarray, " N"],
    lengths: Int64[np.ndarray, " N"],
    max_length: int,
    vocab_size: int,
    seed: int,
    most_tokens: int | None,
) -> SampleSet:
    if not len(starts):
        raise SourceError(
            "the split has no documents, so there is nothing to compare samples with; give more"
            " text or another split."
        )
    order = np.random.default_rng(seed).permutation(len(starts))
    ended = lengths <= max_length
    sizes = np.where(ended, lengths + 1, max_length)
    if most_tokens is not None:
        order = order[
            : max(1, int(np.searchsorted(np.cumsum(sizes[order]), most_tokens, side="right")))
        ]
    starts, sizes, ended = starts[order], sizes[order], ended[order]
    tokens = split.read(0, len(split.tokens))[ragged(starts, sizes)]
    return SampleSet(tokens.astype(np.int64), _offsets(sizes), ended, split.boundary, vocab_size)


def _offsets(sizes: Int[np.ndarray, " N"]) -> Int64[np.ndarray, " N1"]:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes, dtype=np.int64)])
