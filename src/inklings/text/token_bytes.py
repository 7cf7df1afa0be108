"""The bytes that each token of a vocabulary adds to a text, and whether none are lost."""

from __future__ import annotations

import functools
from typing import Any, Literal

import tokenizers

Kind = Literal["byte", "char", "char+bytes", "word", "bpe", "file"]
SPELLS_ALL: frozenset[Kind] = frozenset({"byte", "char+bytes", "bpe"})
"""The kinds that fall back on bytes: every text has tokens, and decodes to itself."""
OF_LETTERS: frozenset[Kind] = frozenset({"byte", "char", "char+bytes"})
"""The kinds whose tokens are no longer than a character."""


@functools.cache
def byte_names() -> tuple[str, ...]:
    """Return the character that byte-level vocabularies write for each byte (GPT-2, 2019).

    Printable ones stand for themselves.
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


@functools.cache
def fallback_names() -> tuple[str, ...]:
    """Return what vocabularies with a fallback on bytes write for each (SentencePiece, 2018)."""
    return tuple(f"<0x{byte:02X}>" for byte in range(256))


def bytes_of_tokens(
    backend: tokenizers.Tokenizer,
    kind: Kind,
    *,
    boundary: int,
    unknown_token: int | None,
    marks: frozenset[int],
    byte_level: bool,
) -> list[bytes]:
    """Return the bytes that each token adds to a text; none for the boundary.

    Args:
        backend: the vocabulary.
        kind: how it was made.
        boundary: the token between documents.
        unknown_token: the token that stands for what the vocabulary lacks.
        marks: tokens of `word` that are punctuation marks with the blanks around them; any other
            brings the blank before it.
        byte_level: whether tokens are written by the names of their bytes.
    """
    ids = backend.get_vocab(with_added_tokens=True)
    added = {token: entry.content for token, entry in backend.get_added_tokens_decoder().items()}
    names = {token: name for name, token in ids.items()}
    values = {character: byte for byte, character in enumerate(byte_names())}
    fallback = {spelled: bytes([byte]) for byte, spelled in enumerate(fallback_names())}
    result = []
    for token in range(max(ids.values()) + 1):
        name = names.get(token)
        if token == boundary or name is None:
            result.append(b"")
        elif token == unknown_token and kind == "char":
            result.append("\ufffd".encode())
        elif token in added:
            result.append(added[token].encode())
        elif byte_level:
            # a character outside the table belongs to a token that somebody added to the
            # vocabulary by hand
            result.append(b"".join(bytes([values[c]]) if c in values else c.encode() for c in name))
        elif kind in ("char", "char+bytes"):
            result.append(fallback.get(name, name.encode()))
        elif kind == "word":
            result.append(name.encode() if token in marks else b" " + name.encode())
        else:
            result.append(_bytes_by_decoder(backend, token, name))
    return result


def _bytes_by_decoder(backend: tokenizers.Tokenizer, token: int, name: str) -> bytes:
    """Return what a token of an unknown kind adds to a text.

    Decoded after another, since many decoders strip the first blank.
    """
    if len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
        return bytes([int(name[3:5], 16)])
    pair: str = backend.decode([token, token], skip_special_tokens=False)
    single: str = backend.decode([token], skip_special_tokens=False)
    return pair.removeprefix(single).encode()


def keeps_all_bytes(rules: dict[str, Any]) -> bool:
    """Return whether a tokenizer.json is byte-level throughout.

    Its decoder then undoes what its encoder did.

    Anything else may lose something (case, blanks, accents, unknown characters), so it is taken to
    lose bytes.
    """
    pre_tokenizer, decoder, model = rules["pre_tokenizer"], rules["decoder"], rules["model"]
    if (
        rules["normalizer"] is not None
        or pre_tokenizer is None
        or decoder is None
        or decoder["type"] != "ByteLevel"
    ):
        return False
    steps = (
        pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]
    )
    for step in steps:
        if step["type"] == "ByteLevel":
            if step["add_prefix_space"]:
                return False
        elif step["type"] == "Split":
            if step["behavior"] == "Removed":
                return False
        elif step["type"] != "Digits":
            return False
    whole_bytes = model["type"] == "BPE" and all(
        character in model["vocab"] for character in byte_names()
    )
    return whole_bytes and steps[-1]["type"] == "ByteLevel"
