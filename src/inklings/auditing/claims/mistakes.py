"""Wrong counts of bytes and tokens that were met, so that a wrong figure can be explained."""

from __future__ import annotations

from collections.abc import Iterator

from inklings.auditing.claims.claim_file import ClaimSubject

NEAR = 1e-4
"""How far, as a share, a count that follows from rounded figures may be from an explanation."""


def explain_bytes(subject: ClaimSubject, found: float, *, near: float = 0.0) -> str:
    """Say which known mistake gives that many bytes, to follow a sentence; empty if none does.

    Args:
        subject: the claim.
        found: bytes, as they are claimed or follow from the claim.
        near: how far, as a share, an explanation may be from it.
    """
    for count, how in _byte_counts(subject):
        if count != subject.n_bytes and abs(found - count) <= near * count:
            return f": that is {how}"
    return ""


def explain_tokens(subject: ClaimSubject, found: int) -> str:
    """Say which known mistake gives that many tokens, to follow a sentence."""
    assert subject.tokens is not None
    extra, lines = found - len(subject.tokens), len(subject.text.splitlines())
    if extra == 1:
        return ": one that opens the text is counted, which nobody predicts"
    if extra == lines:
        return ": one is counted for each line, which stands for no byte of it"
    if found == subject.n_bytes:
        return ": that is the number of bytes"
    return ""


def _byte_counts(subject: ClaimSubject) -> Iterator[tuple[int, str]]:
    """Numbers of bytes that somebody may take for the right one, and how."""
    text, size = subject.text, subject.n_bytes
    yield len(text), "the number of characters"
    yield 2 * len(text), "two bytes for each character"
    yield size + text.count("\n"), "the bytes with a second one for each end of a line"
    yield size - text.count("\n"), "the bytes without the ends of lines"
    yield size - text.count(" "), "the bytes without blanks"
    tokens = subject.tokens
    if tokens is None:
        return
    yield len(tokens), "the number of tokens"
    if subject.backend is None:
        return
    shown = {token: subject.backend.decode([token]) for token in set(tokens)}
    opening = sum(_begins_with_blank(subject, token) for token in tokens)
    yield size - opening, "the bytes without the blanks that tokens begin with"
    yield size + opening, "the bytes with the blanks that tokens begin with counted twice"
    yield (
        sum(len(shown[token].encode()) for token in tokens),
        "the bytes of each token decoded alone, where parts of a character become U+FFFD",
    )
    yield sum(len(shown[token]) for token in tokens), "the characters of each token decoded alone"
    yield (
        sum(len(str(subject.backend.id_to_token(token)).encode()) for token in tokens),
        "the bytes of the names that tokens have in the vocabulary",
    )


def _begins_with_blank(subject: ClaimSubject, token: int) -> bool:
    assert subject.backend is not None
    return str(subject.backend.id_to_token(token)).startswith((" ", "\u0120", "\u2581"))
