"""Tokens as the API shows them.

Their text or bytes, and the place in the text where each begins.
"""

from __future__ import annotations

import codecs
import dataclasses
import math

from inklings.generation.engine.request import Entry, Token
from inklings.text.tokenizers import BOUNDARY, Tokenizer

LOWEST = -9999.0
"""The log-probability of what cannot come, as OpenAI writes it: JSON has no infinity."""


class TokenTexts:
    """The texts of a vocabulary, each made when it is first asked for."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._texts: dict[int, str] = {}

    def __call__(self, token: int) -> str:
        """Give the text of a token.

        Bytes that are no whole character are written `bytes:` and their values, as OpenAI does.
        """
        found = self._texts.get(token)
        if found is None:
            found = self._texts[token] = self._make(token)
        return found

    def bytes_of(self, token: int) -> list[int]:
        """Return the bytes that a token adds to a text."""
        return list(self.tokenizer.token_bytes(token))

    def _make(self, token: int) -> str:
        data = self.tokenizer.token_bytes(token)
        if token == self.tokenizer.boundary:
            return BOUNDARY
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


class Offsets:
    """The character at which each token of a text begins.

    A token within a character begins where that does.
    """

    def __init__(self, tokenizer: Tokenizer, previous: int) -> None:
        """Begin before the first token; `previous` is the token before it."""
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._previous = previous
        self._length = 0

    def next(self, token: int, *, drawn: bool) -> int:
        """Return the character at which the next token begins, drawn or of the prompt."""
        boundary, previous, self._previous = self._tokenizer.boundary, self._previous, token
        # a boundary that does not end a text shows as a newline in it; in a prompt it vanishes
        data = (
            b"\n" if drawn and token == boundary else self._tokenizer.bytes_after(previous, token)
        )
        begins = self._length
        begun = self._decoder.getstate()[0]
        shown = self._decoder.decode(data[:1])
        if begun and shown.startswith("\ufffd") and begun + data[:1] != "\ufffd".encode():
            begins += 1  # what was begun before never becomes a character
        self._length += len(shown) + len(self._decoder.decode(data[1:]))
        return begins


def logprob(value: float) -> float:
    """Return a log-probability that JSON can hold."""
    return value if value > LOWEST else LOWEST


def entries_of(token: Token) -> list[dict[str, object]]:
    """Return what a token took of a memory."""
    return [_entry(entry) for entry in token.entries]


def _entry(entry: Entry) -> dict[str, object]:
    return {
        **dataclasses.asdict(entry),
        "distance": entry.distance if math.isfinite(entry.distance) else None,
    }
