"""Text into tokens, on all cores, in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from inklings.text.chunks import chunks
from inklings.text.documents import SplitName, TextPiece
from inklings.text.tokenizers import Tokenizer, Tokens

BATCH = 2**19
"""Characters that are encoded in one go: some chunks for every core, and the library's bulky
results stay small.
"""
_ENCODERS = 2
"""Batches that are encoded at a time: while one is turned into arrays, the cores encode the next.
"""


class StoredPart(NamedTuple):
    """What is encoded as one text: a document, or a chunk of one."""

    text: str
    split: SplitName
    first: bool
    last: bool


def parts(pieces: Iterable[TextPiece]) -> Iterator[StoredPart]:
    """Cut pieces further, so that one long document keeps all cores busy."""
    for text, first, last, split in pieces:
        assert split is not None
        begun = 0
        for chunk in chunks(text):
            end = begun + len(chunk)
            yield StoredPart(chunk, split, first and begun == 0, last and end == len(text))
            begun = end


def whole_documents(pieces: Iterable[TextPiece]) -> Iterator[StoredPart]:
    """Put documents together again, for a rule or a tokenizer that must see them whole.

    Memory grows with the longest.
    """
    held: list[str] = []
    for text, _, last, split in pieces:
        assert split is not None
        held.append(text)
        if last:
            yield StoredPart("".join(held), split, True, True)
            held = []


def encoded(
    given: Iterable[StoredPart], tokenizer: Tokenizer
) -> Iterator[tuple[list[StoredPart], list[Tokens]]]:
    """Yield parts in batches with their tokens, in order.

    `_ENCODERS` batches are encoded at a time.
    """
    waiting: deque[tuple[list[StoredPart], Future[list[Tokens]]]] = deque()
    with ThreadPoolExecutor(_ENCODERS) as pool:
        for batch in _batches(given):
            waiting.append(
                (batch, pool.submit(tokenizer.encode_batch, [part.text for part in batch]))
            )
            if len(waiting) > _ENCODERS:
                done, tokens = waiting.popleft()
                yield done, tokens.result()
        for done, tokens in waiting:
            yield done, tokens.result()


def _batches(given: Iterable[StoredPart]) -> Iterator[list[StoredPart]]:
    batch: list[StoredPart] = []
    length = 0
    for part in given:
        batch.append(part)
        length += len(part.text)
        if length >= BATCH:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch
