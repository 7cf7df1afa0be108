"""Texts as llama.cpp reads and writes them with a vocabulary, plainly.

Enough to see, before a file appears, whether its vocabulary reads as the run does; that llama.cpp
itself reads so is what the tests see.
"""

from __future__ import annotations

import itertools

from tokenizers import pre_tokenizers

from inklings.interop.to_gguf.gguf_vocabulary import BLANK, BYTE, NORMAL, Vocabulary
from inklings.text.token_bytes import byte_names, fallback_names


def encode(vocabulary: Vocabulary, text: str) -> list[int]:
    """Return the tokens of a text, the one that opens it in front."""
    read = _by_merges if vocabulary.model == "gpt2" else _by_characters
    return [vocabulary.opening, *read(vocabulary, text)]


def decode(vocabulary: Vocabulary, tokens: list[int]) -> str:
    """Return the text of tokens, without the boundary."""
    return b"".join(_bytes_of(vocabulary, token) for token in tokens).decode(errors="replace")


def _by_merges(vocabulary: Vocabulary, text: str) -> list[int]:
    ids = {name: token for token, name in enumerate(vocabulary.tokens)}
    ranks = {merge: rank for rank, merge in enumerate(vocabulary.merges)}
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    found = []
    for word, _ in words.pre_tokenize_str(text):
        parts = list(word)
        while len(parts) > 1:
            pairs = [f"{a} {b}" for a, b in itertools.pairwise(parts)]
            at = min(range(len(pairs)), key=lambda i: ranks.get(pairs[i], len(ranks)))
            if pairs[at] not in ranks:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        found += [ids[part] for part in parts if part in ids]  # others are dropped
    return found


def _by_characters(vocabulary: Vocabulary, text: str) -> list[int]:
    ids = {name: token for token, name in enumerate(vocabulary.tokens)}
    found = []
    for character in text.replace(" ", BLANK):
        known = ids.get(character)
        if known is not None:
            found.append(known)
        else:
            found += [ids[fallback_names()[byte]] for byte in character.encode()]
    return found


def _bytes_of(vocabulary: Vocabulary, token: int) -> bytes:
    name, kind = vocabulary.tokens[token], vocabulary.types[token]
    if kind == BYTE:
        return bytes([fallback_names().index(name)])
    if kind != NORMAL:
        return b""
    if vocabulary.model == "llama":
        return name.replace(BLANK, " ").encode()
    return bytes(byte_names().index(character) for character in name)
