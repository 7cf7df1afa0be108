"""Splits: which documents are learned from, and which are held out."""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from inklings.errors import ConfigError, SourceError
from inklings.text.documents import FEWEST_DOCUMENTS, Source, SplitName, TextPiece

SPLITS: tuple[SplitName, SplitName, SplitName] = ("train", "validation", "test")
DEFAULT_SHARES = (0.8, 0.1, 0.1)

Shares = tuple[float, float, float]
Method = Literal["documents", "parts", "fixed", "hash"]


@dataclass(frozen=True, eq=False)
class SplitPlan:
    """A source with every document assigned; made by `plan_splits`."""

    source: Source
    method: Method
    """`documents`: shuffled and dealt; `parts`: each is cut into contiguous parts; `fixed`: by the
    source; `hash`: by the hash of its text.
    """
    shares: Shares | None
    """Shares of train, validation and test; None where the source fixes the splits."""
    seed: int
    """Seed of the shuffle or the hash; `parts` and `fixed` do not depend on it."""
    overlap: dict[SplitName, float] | None
    """For each held-out split that has documents, the share of them that occur exactly in train;
    None for `parts`. By construction 0 for `hash`, which puts equal documents into the same split.
    """
    assignment: npt.NDArray[np.int8] | None
    """Index into `SPLITS` of each document, for `documents`."""
    lengths: tuple[int, ...] | None
    """Characters of each document, for `parts`."""
    characters: int | None = None
    """Characters of all documents; None where the text was not read for the plan."""

    def pieces(self) -> Iterator[TextPiece]:
        """Read the source: its pieces in order, each with its split.

        Where documents are cut into parts, each part is a document of its own here.

        Raises:
            SourceError: the source changed since the plan was made, or a split that was asked for
                stays empty.
        """
        if self.method == "fixed":
            return self.source.pieces()
        if self.method == "hash":
            return self._by_hash()
        return self._by_part() if self.method == "parts" else self._by_document()

    def _by_document(self) -> Iterator[TextPiece]:
        assert self.assignment is not None
        document = 0
        for text, first, last, _ in self.source.pieces():
            if document == len(self.assignment):
                raise self._changed()
            yield TextPiece(text, first, last, SPLITS[self.assignment[document]])
            document += last
        if document != len(self.assignment):
            raise self._changed()

    def _by_part(self) -> Iterator[TextPiece]:
        assert self.lengths is not None and self.shares is not None
        document = start = 0
        for piece in self.source.pieces():
            if document == len(self.lengths):
                raise self._changed()
            end = start + len(piece.text)
            length = self.lengths[document]
            if end > length or (end == length) != piece.last:
                raise self._changed()
            bounds = (0, *cut_points(length, self.shares), length)
            for split, low, high in zip(SPLITS, bounds[:-1], bounds[1:], strict=True):
                left, right = max(low, start), min(high, end)
                if left < right:
                    yield TextPiece(
                        piece.text[left - start : right - start], left == low, right == high, split
                    )
            start = 0 if piece.last else end
            document += piece.last
        if document != len(self.lengths):
            raise self._changed()

    def _by_hash(self) -> Iterator[TextPiece]:
        assert self.shares is not None
        bounds = cut_points(2**64, self.shares)
        used = [False, False, False]
        held: list[
            TextPiece
        ] = []  # of one document; a remote one was in memory as a whole before it was cut
        for piece in self.source.pieces():
            held.append(piece)
            if piece.last:
                value = int.from_bytes(_digest(held, key=str(self.seed).encode()))
                place = sum(value >= bound for bound in bounds)
                used[place] = True
                for text, first, last, _ in held:
                    yield TextPiece(text, first, last, SPLITS[place])
                held = []
        _refuse_empty(self.source, self.shares, used)

    def _changed(self) -> SourceError:
        return SourceError(
            f"{self.source.name} changed while it was being read. Run the same command again."
        )


def plan_splits(source: Source, *, shares: Shares | None = None, seed: int = 42) -> SplitPlan:
    """Decide where each document of a source belongs.

    Reads a local source once; keeps 16 bytes a document.

    Args:
        source: what is to be split.
        shares: of train, validation and test. None takes what the source fixes or is known by, else
            0.8, 0.1, 0.1.
        seed: of the assignment.

    Documents are shuffled and dealt (`assign`). A source of fewer than 10 documents, or of so few
    that a split would get none, has each document cut into contiguous parts instead. A remote
    source is not read twice for this: its documents are assigned by their hash.

    Raises:
        ConfigError: the shares are not shares.
        SourceError: the source is empty, or too short to be cut.
    """
    if shares is not None:
        check_shares(shares)
    if source.fixed_splits and shares is None:
        splits, lengths, hashes = _survey(source)
        overlap = measure_overlap(hashes, splits)
        return SplitPlan(source, "fixed", None, seed, overlap, None, None, sum(lengths))
    shares = shares or source.default_split or DEFAULT_SHARES
    if source.remote:
        overlap = {
            name: 0.0 for name, share in zip(SPLITS[1:], shares[1:], strict=True) if share > 0
        }
        return SplitPlan(source, "hash", shares, seed, overlap, None, None)
    _, lengths, hashes = _survey(source)
    assignment = assign(len(lengths), shares, seed)
    counts = np.bincount(assignment, minlength=3)
    if len(lengths) >= FEWEST_DOCUMENTS and all(
        count or not share for count, share in zip(counts, shares, strict=True)
    ):
        overlap = measure_overlap(hashes, assignment)
        return SplitPlan(source, "documents", shares, seed, overlap, assignment, None, sum(lengths))
    bounds = [(0, *cut_points(length, shares), length) for length in lengths]
    _refuse_empty(source, shares, [any(b[i] < b[i + 1] for b in bounds) for i in range(3)])
    return SplitPlan(source, "parts", shares, seed, None, None, tuple(lengths), sum(lengths))


def assign(documents: int, shares: Shares, seed: int) -> npt.NDArray[np.int8]:
    """Assign each document to a split: 0 train, 1 validation, 2 test.

    The documents are shuffled by `random.Random(seed)`; the first go to train, the last to test.
    With seed 42 and the default shares this is the split of the makemore lectures
    (`random.seed(42); random.shuffle(words)`).

    Args:
        documents: how many there are.
        shares: of train, validation and test.
        seed: of the shuffle.
    """
    order = array("q", range(documents))
    random.Random(seed).shuffle(order)
    first, second = cut_points(documents, shares)
    assignment = np.full(documents, 2, dtype=np.int8)
    shuffled = np.array(order, dtype=np.int64)
    assignment[shuffled[:second]] = 1
    assignment[shuffled[:first]] = 0
    return assignment


def cut_points(length: int, shares: Shares) -> tuple[int, int]:
    """Return where validation and test begin in something of `length`.

    Exact, so that 0.7 + 0.2 of 10 is 9.
    """
    train, validation, test = (Fraction(repr(float(share))) for share in shares)
    total = train + validation + test
    return int(length * train / total), int(length * (train + validation) / total)


def check_shares(shares: Shares) -> None:
    """Refuse shares that are negative, do not add up to 1, or leave nothing to train on.

    Raises:
        ConfigError: the shares are such.
    """
    if (
        any(not 0 <= share <= 1 for share in shares)
        or abs(sum(shares) - 1) > 1e-6
        or shares[0] == 0
    ):
        given = ", ".join(f"{share:g}" for share in shares)
        raise ConfigError(
            f"the shares of train, validation and test are {given}; they must be 0 or more, the"
            " first more than 0, and add up to 1. Example: 0.9, 0.1, 0."
        )


def _survey(source: Source) -> tuple[npt.NDArray[np.int8], array[int], npt.NDArray[np.uint64]]:
    """Read the text once and look at each document.

    It notes the fixed split (-1: none), the characters, and a hash of 8 bytes.
    """
    splits, lengths, hashes = array("b"), array("q"), array("Q")
    length = 0
    digest = hashlib.blake2b(digest_size=8)
    for piece in source.pieces():
        digest.update(piece.text.encode())
        length += len(piece.text)
        if piece.last:
            splits.append(-1 if piece.split is None else SPLITS.index(piece.split))
            lengths.append(length)
            hashes.append(int.from_bytes(digest.digest()))
            digest, length = hashlib.blake2b(digest_size=8), 0
    if not lengths:
        raise SourceError(f"{source.name} holds no text: it is empty or blank.")
    return np.array(splits, dtype=np.int8), lengths, np.array(hashes, dtype=np.uint64)


def measure_overlap(
    hashes: npt.NDArray[np.uint64], assignment: npt.NDArray[np.int8]
) -> dict[SplitName, float]:
    """Return the share of each held-out split's documents that occur in train.

    Documents are given by their hashes, and by their split as an index into `SPLITS`.
    """
    train = np.unique(hashes[assignment == 0])
    held_out = {name: hashes[assignment == place] for place, name in enumerate(SPLITS) if place}
    return {
        name: float(np.isin(found, train).mean()) for name, found in held_out.items() if len(found)
    }


def _digest(pieces: list[TextPiece], *, key: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=8, key=key)
    for piece in pieces:
        digest.update(piece.text.encode())
    return digest.digest()


def _refuse_empty(source: Source, shares: Shares, used: list[bool]) -> None:
    empty = [
        name for name, share, has in zip(SPLITS, shares, used, strict=True) if share > 0 and not has
    ]
    if empty:
        raise SourceError(
            f"{source.name} is too short to be split: nothing would be left for"
            f" {' and '.join(empty)}. Give more text, or a split of 1, 0, 0 to train on all of it."
        )
