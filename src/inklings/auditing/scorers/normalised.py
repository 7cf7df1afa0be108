"""Probabilities of all tokens that may come next sum to one, at every step.

A mixture with a cache that is not normalised, or a gate that looks at the token that it is to
predict, gives every token that comes more than its share. Where only the probability of that token
is told, no sum is seen. So what is claimed is summed as well: over texts that end with every token
of the vocabulary in turn.
"""

from __future__ import annotations

import numpy as np

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding
from inklings.auditing.scorers.protocol import Tokens, carries_state, claims_of
from inklings.auditing.scorers.subject import ScorerSubject, replay

TOLERANCE = 1e-3
"""How far a sum of probabilities may be from 1: half precision has no more digits."""
LARGEST = 1024
"""Size of the largest vocabulary whose every token is claimed in turn."""


def check_normalised(subject: ScorerSubject) -> Finding:
    """Check that what is predicted, and what is claimed, sums to one."""
    sums = np.concatenate(
        [np.exp(replay(subject.make(), document)).sum(axis=1) for document in subject.documents]
    )
    wrong = ~(np.abs(sums - 1) <= TOLERANCE)
    evidence: dict[str, object] = {
        "smallest": float(sums.min()),
        "largest": float(sums.max()),
        "steps": len(sums),
        "wrong": int(wrong.sum()),
    }
    if wrong.any():
        return Finding(
            check="normalised",
            status="fail",
            summary=(
                f"probabilities sum to {sums.min():.4g} to {sums.max():.4g} instead of 1"
                f" ({wrong.sum()} of {len(sums)} steps)"
            ),
            evidence=evidence,
        )
    summary = f"probabilities sum to 1 at every one of {len(sums)} steps"
    if hasattr(subject.make(), "claim") and subject.vocab_size <= LARGEST:
        claimed = [_claimed_mass(subject, place) for place in _places(subject)]
        evidence["claimed"] = claimed
        unequal = [mass for mass in claimed if not abs(mass - 1) <= TOLERANCE]
        if unequal:
            return Finding(
                check="normalised",
                status="fail",
                summary=(
                    f"what it claims for every possible token at one place sums to a probability of"
                    f" {max(unequal, key=lambda mass: abs(mass - 1)):.4g}: the claim depends on the"
                    " token that is predicted"
                ),
                evidence=evidence,
            )
        summary += ", claimed or predicted"
    return Finding(check="normalised", status="pass", summary=summary, evidence=evidence)


def _places(subject: ScorerSubject) -> list[int]:
    length = len(subject.longest)
    return sorted({0, min(8, length - 1), length // 2})


def _claimed_mass(subject: ScorerSubject, place: int) -> float:
    """The sum, over every token at `place`, of the probability that a claim gives to it."""
    before = subject.longest[:place]
    scorer = subject.make()

    def total(document: Tokens) -> float:
        asked = subject.make() if carries_state(scorer) else scorer
        return float(sum(claim.sum() for claim in claims_of(asked, [document])))

    base = total(before) if before else 0.0
    every = [total([*before, token]) for token in range(subject.vocab_size)]
    return float(np.exp(base - np.array(every)).sum())


NORMALISED = Check(name="normalised", run=check_normalised)
