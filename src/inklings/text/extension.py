"""A vocabulary taken over from elsewhere, with another rule for unknown text or new characters.

Tokens keep their numbers, and new ones come behind them, so that what learned the old vocabulary
reads the new one.
"""

from __future__ import annotations

import json

import tokenizers

from inklings.errors import TokenizerError
from inklings.text.characters import Texts, UnknownChoice, survey, with_special
from inklings.text.tokenizers import UNKNOWN, Tokenizer, UnknownPolicy

_NOT_EXTENDED = {
    "byte": "it has a token for every byte, so no text is new to it",
    "char+bytes": "it spells new characters out of bytes, so no text is new to it",
    "bpe": "it spells every text out of bytes, so no text is new to it",
    "word": "its tokens are words, and a text has more new words than rows that could learn them",
    "file": "it is somebody else's, with rules of its own",
}
"""Why a kind of vocabulary cannot be extended by characters."""


def with_policy(tokenizer: Tokenizer, unknown: UnknownChoice) -> Tokenizer:
    """Return the same tokens with another rule for unknown text.

    `auto` keeps the rule, and so does a vocabulary that lacks nothing.

    Raises:
        TokenizerError: it has no token that could stand for unknown text, or none that would show
            it.
    """
    if unknown in ("auto", tokenizer.unknown) or tokenizer.spells_all:
        return tokenizer
    assert unknown != "auto"
    if tokenizer.unknown_token is None and unknown == "replace":
        raise TokenizerError(
            "data.unknown is 'replace', but the vocabulary has no token that stands for what it"
            " lacks. "
            + (
                "Take 'skip', or train --from its run with --extend-vocabulary, which adds one."
                if tokenizer.kind == "char"
                else "Take 'skip'."
            )
        )
    if tokenizer.unknown_token is None and tokenizer.kind == "file":
        raise TokenizerError(
            f"data.unknown is {unknown!r}, but this tokenizer drops what it lacks without a trace."
            " Take 'skip'."
        )
    return _made(tokenizer, unknown, [])


def refuse_extension(tokenizer: Tokenizer) -> None:
    """Raise a `TokenizerError` that gives the reason if a vocabulary takes in no characters."""
    reason = _NOT_EXTENDED.get(tokenizer.kind)
    if reason is not None:
        raise TokenizerError(
            f"the vocabulary ({tokenizer.kind}) cannot be extended: {reason}. Leave out"
            " --extend-vocabulary."
        )


def extended(tokenizer: Tokenizer, texts: Texts, *, unknown: UnknownChoice = "auto") -> Tokenizer:
    """Extend a vocabulary of characters by the training part's new ones.

    They come in order of code points. Where `unknown` is 'replace' and no token stands for unknown
    characters yet, one comes first.

    Args:
        tokenizer: the vocabulary.
        texts: reads the text from its start.
        unknown: the rule for unknown characters; `auto` keeps that of the vocabulary.

    Raises:
        TokenizerError: its tokens are not characters.
    """
    refuse_extension(tokenizer)
    found = survey(texts)
    policy: UnknownPolicy = tokenizer.unknown if unknown == "auto" else unknown
    marks = [UNKNOWN] if policy == "replace" and tokenizer.unknown_token is None else []
    return _made(
        tokenizer, policy, [*marks, *tokenizer.unknown_characters("".join(found.training))]
    )


def is_extension(larger: Tokenizer, smaller: Tokenizer) -> bool:
    """Return whether one vocabulary extends another: old tokens keep their numbers."""
    ours, theirs = (
        tokenizer.backend.get_vocab(with_added_tokens=True) for tokenizer in (smaller, larger)
    )
    same = (larger.kind, larger.boundary) == (smaller.kind, smaller.boundary)
    return same and all(theirs.get(name) == token for name, token in ours.items())


def _made(tokenizer: Tokenizer, unknown: UnknownPolicy, names: list[str]) -> Tokenizer:
    """Return the tokenizer with a rule, and with new tokens at its end."""
    rules = json.loads(tokenizer.backend.to_str())
    unknown_token = tokenizer.vocab_size if UNKNOWN in names else tokenizer.unknown_token
    if tokenizer.kind == "char":
        rules["model"]["vocab"].update(
            {name: tokenizer.vocab_size + place for place, name in enumerate(names)}
        )
        rules["model"]["unk_token"] = (
            UNKNOWN if unknown == "replace" else None
        )  # without one, the library drops
    backend = tokenizers.Tokenizer.from_str(json.dumps(rules))
    if UNKNOWN in names:
        with_special(backend, UNKNOWN)
    return Tokenizer(
        backend,
        kind=tokenizer.kind,
        boundary=tokenizer.boundary,
        unknown=unknown,
        unknown_token=unknown_token,
    )
