"""A document is predicted the same alone and after another, unless it is declared otherwise.

So `begin` really begins, and batches and orders of documents change nothing, in what is predicted
and in what is claimed.
"""

from __future__ import annotations

import numpy as np

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding
from inklings.auditing.scorers.later_tokens import CLAIMS_APART
from inklings.auditing.scorers.protocol import Tokens, carries_state, claims_of
from inklings.auditing.scorers.replays import differs
from inklings.auditing.scorers.subject import ScorerSubject, gaps, nats_of, replay

FEW = 4
"""Documents that are read one after the other."""


def check_documents(subject: ScorerSubject) -> Finding:
    """Check that documents do not depend on each other, their order, or the batch they are in."""
    documents = subject.documents[:FEW]
    scorer = subject.make()
    if carries_state(scorer):
        return _carried(subject, documents)
    replay(scorer, documents[0])
    for number, document in enumerate(documents[1:], start=1):
        broken = differs(replay(scorer, document), replay(subject.make(), document))
        if broken is not None:
            return _fail(
                f"document {number} is predicted otherwise after others than alone ({broken}):"
                " `begin` does not begin anew, and `carries_state` is not declared"
            )
    how = _claims_apart(subject, documents) if hasattr(scorer, "claim") else None
    if how is not None:
        return _fail(how)
    return Finding(
        check="documents",
        status="pass",
        summary="documents are predicted the same alone, after others, and in another order",
    )


def _carried(subject: ScorerSubject, documents: list[Tokens]) -> Finding:
    """Say what it is worth that a document is known when the next begins."""
    scorer, alone, after = subject.make(), 0.0, 0.0
    for document in documents:
        after += float(nats_of(replay(scorer, document), document).sum())
        alone += float(nats_of(replay(subject.make(), document), document).sum())
    count = sum(map(len, documents))
    return Finding(
        check="documents",
        status="warning",
        summary=(
            "it keeps what it learns from document to document, as declared: on"
            f" {count} tokens worth {(alone - after) / count:.3f} nats per token, so its loss is of"
            " this order of documents"
        ),
        evidence={"alone": alone / count, "in_order": after / count, "tokens": count},
    )


def _claims_apart(subject: ScorerSubject, documents: list[Tokens]) -> str | None:
    """Say which claims depend on the company of a document, or None."""
    alone = [sum(c.sum() for c in claims_of(subject.make(), [one])) for one in documents]
    for how, order in (
        ("beside others", range(len(documents))),
        ("in another order", range(len(documents) - 1, -1, -1)),
    ):
        claims = claims_of(subject.make(), [documents[index] for index in order])
        found = np.array([float(claim.sum()) for claim in claims])
        expected = np.array([alone[index] for index in order])
        if len(found) == 1:  # a total of all of them
            expected = expected.sum(keepdims=True)
        apart = gaps(found, expected)
        tokens = sum(map(len, documents))
        if (apart > CLAIMS_APART * tokens).any():
            return (
                f"what it claims for a document {how} differs from what it claims for it alone by"
                f" {float(apart.max()):.2g} nats: documents of a batch see each other"
            )
    return None


def _fail(summary: str) -> Finding:
    return Finding(check="documents", status="fail", summary=summary)


DOCUMENTS = Check(name="documents", run=check_documents)
