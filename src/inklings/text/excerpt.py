"""Excerpts: a token of a text, and the text around it, as users are shown it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from inklings.text.tokenizers import Tokenizer

SHOWN = 32
"""Characters on each side of a token."""


def around(
    tokenizer: Tokenizer, tokens: Sequence[int] | Int64[np.ndarray, " n"], place: int
) -> tuple[str, str]:
    """Return the text before and after the token at a place: at most `SHOWN` characters of each.

    Args:
        tokenizer: decodes the tokens.
        tokens: the text.
        place: the index of the token.
    """
    before, after = (
        _text(tokenizer, tokens[max(0, place - SHOWN) : place]),
        _text(tokenizer, tokens[place + 1 :][:SHOWN]),
    )
    # a character of several tokens may be cut at either end
    return before.lstrip("\ufffd")[-SHOWN:], after.rstrip("\ufffd")[:SHOWN]


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """Return the text of a token, or its name where it is no text by itself."""
    text = _text(tokenizer, [token])
    return tokenizer.token_name(token) if not text or "\ufffd" in text else text


def _text(tokenizer: Tokenizer, tokens: Sequence[int] | Int64[np.ndarray, " n"]) -> str:
    return b"".join(tokenizer.token_bytes(int(token)) for token in tokens).decode(errors="replace")
