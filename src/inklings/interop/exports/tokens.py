"""Whether an exported tokenizer reads and writes held-out lines as the run's does."""

from __future__ import annotations

from collections.abc import Iterator

from inklings.interop.exports.target import Reader
from inklings.text.store import TokenSplit
from inklings.text.tokenizers import Tokenizer

LINES = 200
"""Lines of held-out text that both tokenizers read before a tokenizer is exported."""
_MOST_TOKENS = 2**16
"""Tokens of held-out text that these lines are taken from."""


def difference(
    tokenizer: Tokenizer, reader: Reader, lines: list[str], there: str, *, opening: int
) -> str | None:
    """Return how an exported tokenizer reads or writes a line otherwise; None if it never does.

    Args:
        tokenizer: of the run.
        opening: the token that its model reads where a text opens.
        reader: what reads the exported one.
        lines: text whose characters the vocabulary has.
        there: the name of the target.
    """
    assert reader.encode is not None and reader.decode is not None
    for line in lines:
        expected = [opening, *tokenizer.encode(line).tolist()]
        found = reader.encode(line)
        if found != expected:
            return f"{there} reads {line[:40]!r} as other tokens than the run does"
        if reader.decode(found) != tokenizer.decode(expected[1:]):
            return f"{there} writes {line[:40]!r} otherwise than the run does"
    return None


def lines_of(tokenizer: Tokenizer, split: TokenSplit) -> list[str]:
    """Return lines of a text that its vocabulary knows all of, at most `LINES`.

    One more is the name of the boundary, if it can be written.
    """
    found: list[str] = []
    for line in _texts(tokenizer, split):
        if len(found) == LINES:
            break
        if line and not tokenizer.unknown_characters(line):
            found.append(line)
    name = str(tokenizer.backend.id_to_token(tokenizer.boundary))
    if tokenizer.kind != "file" and not tokenizer.unknown_characters(name):
        found.append(f"{name} {name}")
    return found


def _texts(tokenizer: Tokenizer, split: TokenSplit) -> Iterator[str]:
    left = _MOST_TOKENS
    for index in range(split.n_documents):
        tokens = split.document(index)[:left]
        left -= len(tokens)
        yield from tokenizer.decode(tokens).splitlines(keepends=True)
        if not left:
            return
