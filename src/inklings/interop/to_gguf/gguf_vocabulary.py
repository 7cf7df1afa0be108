"""The tokenizer of a run as llama.cpp reads it: one of its two kinds of vocabulary.

*Byte pairs* (`gpt2`): tokens are spelled by the names of their bytes, and merges put bytes
together. llama.cpp looks for a token only where no merge is left to do, so a vocabulary of
characters is one too: its merges put the bytes of each character together. *Characters* (`llama`,
SentencePiece's): a character is a token, or is spelled by the tokens of its bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from inklings.text.token_bytes import byte_names, fallback_names
from inklings.text.tokenizers import Tokenizer

BLANK = "\u2581"
"""What a vocabulary of characters writes for a blank there."""
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
"""Kinds of tokens, as GGUF numbers them."""


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What a file says of a vocabulary."""

    model: Literal["gpt2", "llama"]
    """Byte pairs, or characters."""
    tokens: list[str]
    types: list[int]
    merges: list[str]
    """Of byte pairs, the first to be carried out first; two parts with a blank between."""
    opening: int
    """The token that a text opens with."""
    boundary: int
    """The token that a text ends with."""


def why_absent(tokenizer: Tokenizer) -> str | None:
    """Return why llama.cpp cannot read texts as a tokenizer does; None if it can."""
    if tokenizer.kind == "word":
        return "its tokens are words, and llama.cpp has no vocabulary that cuts texts into them"
    if tokenizer.kind == "char" and tokenizer.unknown == "replace":
        return (
            "the run reads characters that its vocabulary lacks as `<unk>`, and llama.cpp drops"
            " them. Train with the tokenizer char+bytes, which spells them"
        )
    if tokenizer.kind == "char+bytes" and tokenizer.backend.token_to_id(BLANK) is not None:
        return f"{BLANK!r} is a character of it, and llama.cpp writes blanks as that one"
    if tokenizer.kind == "file" and not _is_of_gpt2(tokenizer):
        return (
            "llama.cpp would cut texts by other rules than this tokenizer.json; of others' it takes"
            " those of GPT-2's rules: byte pairs, and no other special token than the boundary"
        )
    return None


def vocabulary_of(tokenizer: Tokenizer, opening: int) -> Vocabulary:
    """Return the vocabulary that reads texts as a tokenizer does.

    `why_absent` says of which there is none.

    Args:
        tokenizer: of the run.
        opening: the token that its model reads where a text opens.
    """
    names: dict[int, str] = {
        token: name for name, token in tokenizer.backend.get_vocab(with_added_tokens=True).items()
    }
    tokens = [names[token] for token in range(tokenizer.vocab_size)]
    types, merges = [NORMAL] * len(tokens), []
    if tokenizer.kind == "char+bytes":
        known = set(fallback_names())
        types = [BYTE if name in known else NORMAL for name in tokens]
        tokens = [BLANK if name == " " else name for name in tokens]
    elif tokenizer.kind == "char":
        tokens = [
            name if token == tokenizer.boundary else spelled(name.encode())
            for token, name in enumerate(tokens)
        ]
        merges = sorted(
            {
                f"{name[:end]} {name[end]}"
                for token, name in enumerate(tokens)
                if token != tokenizer.boundary
                for end in range(1, len(name))
            }
        )
    else:
        rules: dict[str, Any] = json.loads(tokenizer.backend.to_str())
        merges = [" ".join(pair) for pair in rules["model"]["merges"]]
    boundary = tokens[tokenizer.boundary]
    types[tokenizer.boundary] = types[opening] = CONTROL
    return Vocabulary(
        model="llama" if tokenizer.kind == "char+bytes" else "gpt2",
        tokens=tokens,
        types=types,
        # there must be one: this one never happens, since none makes what stands before the blank
        merges=merges or [f"{boundary[:-1]} {boundary[-1]}"],
        opening=opening,
        boundary=tokenizer.boundary,
    )


def spelled(data: bytes) -> str:
    """Return bytes by the names that vocabularies of byte pairs give them."""
    return "".join(byte_names()[byte] for byte in data)


def _is_of_gpt2(tokenizer: Tokenizer) -> bool:
    """Return whether somebody's tokenizer.json has GPT-2's rules and a token for every number."""
    rules: dict[str, Any] = json.loads(tokenizer.backend.to_str())
    model, added = rules["model"], tokenizer.backend.get_added_tokens_decoder()
    return (
        tokenizer.cuts_at_words
        and model["type"] == "BPE"
        and not any(
            model.get(name)
            for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix")
        )
        and not model.get("ignore_merges")
        and set(added) == {tokenizer.boundary}
        and tokenizer.backend.get_vocab_size(with_added_tokens=True) == tokenizer.vocab_size
    )
