"""Vocabularies of characters, from a survey of the text: alone, or with bytes for all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import tokenizers
from tokenizers import AddedToken, decoders, models

from inklings.errors import TokenizerError
from inklings.text.token_bytes import fallback_names
from inklings.text.tokenizers import BOUNDARY, UNKNOWN, Tokenizer, UnknownPolicy

UnknownChoice = Literal["auto", "error", "skip", "replace"]
Texts = Callable[[], Iterator[tuple[str, bool]]]
"""Reads the text again from its start: parts of documents, and whether each belongs to the training
part.
"""

NO_TRAINING_TEXT = (
    "there is no training text to learn a vocabulary from. Give more text, or a larger share for"
    " training."
)


@dataclass(frozen=True)
class Survey:
    """The characters of a text."""

    training: frozenset[str]
    held_out: frozenset[str]

    @property
    def new_characters(self) -> frozenset[str]:
        """Those that held-out text alone has."""
        return self.held_out - self.training


def survey(texts: Texts) -> Survey:
    """Read the whole text once."""
    found = survey_below(texts, n_bytes=None)
    assert found is not None, "only a limit ends it early"
    return found


def survey_below(texts: Texts, *, n_bytes: int | None) -> Survey | None:
    """Read everything once; None if there are `n_bytes` bytes or more."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    seen = 0
    for text, training in texts():
        seen += len(text.encode())
        if n_bytes is not None and seen >= n_bytes:
            return None
        found[training].update(text)
    return Survey(frozenset(found[True]), frozenset(found[False]))


def characters_alone(found: Survey, unknown: UnknownChoice) -> Tokenizer:
    """Make a vocabulary of the training part's characters in the order of their code points.

    `auto` makes room for unknown ones only if held-out text has some.

    Raises:
        TokenizerError: there is no training text.
    """
    policy: UnknownPolicy = (
        ("replace" if found.new_characters else "error") if unknown == "auto" else unknown
    )
    special = [BOUNDARY, UNKNOWN] if policy == "replace" else [BOUNDARY]
    # byte pairs without a single merge: every character for itself; without an unknown token,
    # unknown ones are dropped
    backend = tokenizers.Tokenizer(
        models.BPE(
            vocab=_numbered(special, found),
            merges=[],
            unk_token=UNKNOWN if policy == "replace" else None,
        )
    )
    backend.decoder = decoders.Fuse()
    return Tokenizer(
        with_special(backend, *special),
        kind="char",
        boundary=0,
        unknown=policy,
        unknown_token=1 if policy == "replace" else None,
    )


def characters_and_bytes(found: Survey) -> Tokenizer:
    """Make a vocabulary that spells what is no character of the training part in UTF-8.

    The bytes come before the characters: those that such text can need, so not the ones that are a
    character by themselves, nor those that UTF-8 never has. As SentencePiece's fallback on bytes
    (Kudo and Richardson 2018).

    Raises:
        TokenizerError: there is no training text.
    """
    never = {0xC0, 0xC1, *range(0xF5, 0x100), *(ord(c) for c in found.training if c < "\x80")}
    needed = [name for byte, name in enumerate(fallback_names()) if byte not in never]
    backend = tokenizers.Tokenizer(
        models.BPE(vocab=_numbered([BOUNDARY, *needed], found), merges=[], byte_fallback=True)
    )
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return Tokenizer(with_special(backend, BOUNDARY), kind="char+bytes", boundary=0)


def _numbered(first: list[str], found: Survey) -> dict[str, int]:
    """Number the characters of the training part behind other tokens."""
    if not found.training:
        raise TokenizerError(NO_TRAINING_TEXT)
    return {name: token for token, name in enumerate((*first, *sorted(found.training)))}


def with_special(backend: tokenizers.Tokenizer, *names: str) -> tokenizers.Tokenizer:
    """Return the same tokenizer, with these names marked as what no text can spell."""
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return backend
