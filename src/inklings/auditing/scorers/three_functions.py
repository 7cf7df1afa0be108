"""The clauses of a scorer that other checks rely on: shapes, numbers, tokens that hold the text."""

from __future__ import annotations

import numpy as np

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding
from inklings.auditing.scorers.protocol import ScorerError, decode, encode
from inklings.auditing.scorers.subject import ScorerSubject, replay

ABOVE_ONE = 1e-4
"""By how much a log-probability may exceed 0 by rounding."""
ROUND_TRIPS = 40
"""Texts that are encoded and decoded."""


def check_contract(subject: ScorerSubject) -> Finding:
    """Check that predictions are vectors of numbers, and tokens hold every byte of the text."""
    broken = _broken(subject)
    return Finding(
        check="contract",
        status="fail" if broken else "pass",
        summary="; ".join(broken)
        or f"predictions are {subject.vocab_size} numbers each, and tokens are of the vocabulary",
        evidence={"broken": broken, "vocab_size": subject.vocab_size},
    )


def _broken(subject: ScorerSubject) -> list[str]:
    outside = {
        token
        for document in subject.documents
        for token in document
        if not 0 <= token < subject.vocab_size
    }
    if outside:
        return [
            f"encode gives the token {min(outside)}, and the vocabulary has 0 to"
            f" {subject.vocab_size - 1}"
        ]
    broken = []
    for document in subject.documents[:3]:
        try:
            predictions = replay(subject.make(), document)
        except ScorerError as error:
            return [str(error)]
        if np.isnan(predictions).any():
            broken.append("predict gives NaN")
        elif (predictions > ABOVE_ONE).any():
            broken.append(
                f"predict gives {predictions.max():.3g}, and no logarithm of a probability is above"
                " 0: are these logits?"
            )
        if broken:
            break
    scorer = subject.make()
    for text in (subject.texts or ())[:ROUND_TRIPS]:
        back = decode(scorer, encode(scorer, text))
        if back is not None and back != text.encode():
            broken.append(
                f"decode(encode(text)) is another text: {len(back)} bytes of {len(text.encode())}"
            )
            break
    return broken


CONTRACT = Check(name="contract", run=check_contract)
