"""No prediction, and no claim, depends on a token that comes later.

A document is read again with other tokens from some position on: all up to there stays.
"""

from __future__ import annotations

import numpy as np

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding, not_applicable
from inklings.auditing.scorers.protocol import Tokens, claims_of
from inklings.auditing.scorers.subject import (
    Predictions,
    ScorerSubject,
    first_difference,
    gaps,
    replay,
    with_other_tokens,
)

CLAIMS_APART = 1e-4
"""Nats by which claims may be apart: a batch may be computed in half precision."""


def check_causality(subject: ScorerSubject) -> Finding:
    """Check that texts which differ only later are predicted, and claimed, alike up to there."""
    document = subject.longest
    expected = replay(subject.make(), document)
    if first_difference(replay(subject.make(), document), expected) is not None:
        return not_applicable(
            "causality", "it cannot be decided, because even the same text is predicted otherwise"
        )
    cuts = sorted({len(document) // 3, len(document) // 2, len(document) - 1} - {0})
    for cut in cuts:
        other = with_other_tokens(document, cut, subject.vocab_size)
        finding = _predictions(subject, other, expected, cut) or _claims(subject, other, cut)
        if finding is not None:
            return finding
    return Finding(
        check="causality",
        status="pass",
        summary=(
            f"texts that differ only from position {', '.join(map(str, cuts))} on are predicted"
            " alike up to there"
        ),
    )


def _predictions(
    subject: ScorerSubject, other: Tokens, expected: Predictions, cut: int
) -> Finding | None:
    found = replay(subject.make(), other)
    position = first_difference(found[: cut + 1], expected[: cut + 1])
    if position is None:
        return None
    by = float(gaps(found[position], expected[position]).max())
    return _leak("a prediction", position, cut, by)


def _claims(subject: ScorerSubject, other: Tokens, cut: int) -> Finding | None:
    scorer = subject.make()
    if not hasattr(scorer, "claim"):
        return None
    (plain,), (changed,) = (
        claims_of(made, [document])
        for made, document in ((scorer, subject.longest), (subject.make(), other))
    )
    if len(plain) != len(other):  # a total says nothing of single tokens
        return None
    apart = gaps(changed[:cut], plain[:cut])
    if not (apart > CLAIMS_APART).any():
        return None
    position = int((apart > CLAIMS_APART).argmax())
    return _leak("what it claims for the token", position, cut, float(np.max(apart)))


def _leak(what: str, position: int, cut: int, by: float) -> Finding:
    return Finding(
        check="causality",
        status="fail",
        summary=(
            f"{what} at position {position} depends on tokens from position {cut} on: it moves by"
            f" {by:.2g} nats"
        ),
        evidence={"position": position, "changed_from": cut, "effect": by},
    )


CAUSALITY = Check(name="causality", run=check_causality)
