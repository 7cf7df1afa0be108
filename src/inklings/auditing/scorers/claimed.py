"""What a scorer claims by itself is what its predictions cost."""

from __future__ import annotations

import numpy as np

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding, not_applicable
from inklings.auditing.scorers.later_tokens import CLAIMS_APART
from inklings.auditing.scorers.protocol import claims_of
from inklings.auditing.scorers.subject import ScorerSubject, gaps, nats_of, replay


def check_claim(subject: ScorerSubject) -> Finding:
    """Check that the claimed total is the sum of the predictions, token by token where it says."""
    scorer = subject.make()
    if not hasattr(scorer, "claim"):
        return not_applicable(
            "claim", "it claims no total: give it `claim(documents)` to have that compared"
        )
    claims = claims_of(scorer, subject.documents)
    reader = subject.make()
    nats = [nats_of(replay(reader, document), document) for document in subject.documents]
    tokens = sum(map(len, nats))
    claimed, predicted = (float(sum(part.sum() for part in parts)) for parts in (claims, nats))
    evidence = {"claimed": claimed / tokens, "predicted": predicted / tokens, "tokens": tokens}
    if abs(claimed - predicted) > CLAIMS_APART * tokens or predicted != predicted:
        return Finding(
            check="claim",
            status="fail",
            summary=(
                f"it claims {claimed / tokens:.4f} nats per token, and its predictions cost"
                f" {predicted / tokens:.4f}" + _where(claims, nats)
            ),
            evidence=evidence,
        )
    return Finding(
        check="claim",
        status="pass",
        summary=f"{claimed / tokens:.4f} nats per token, claimed and predicted",
        evidence=evidence,
    )


def _where(claims: list[np.ndarray], nats: list[np.ndarray]) -> str:
    """Name the first token that is claimed otherwise, where tokens are claimed at all."""
    for number, (claim, cost) in enumerate(zip(claims, nats, strict=False)):
        if len(claim) == len(cost) and (wrong := gaps(claim, cost) > CLAIMS_APART).any():
            position = int(wrong.argmax())
            return (
                f"; first at position {position} of document {number}: {claim[position]:.4f}"
                f" claimed, {cost[position]:.4f} predicted"
            )
    return ""


CLAIM = Check(name="claim", run=check_claim)
