"""What the tokens of a text cost, by the predictions alone, in nats and in bits per byte."""

from __future__ import annotations

import math

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding
from inklings.auditing.scorers.protocol import decode
from inklings.auditing.scorers.subject import ScorerSubject, nats_of, replay


def score_documents(subject: ScorerSubject) -> Finding:
    """Score the documents; bytes are counted in the text that the tokens stand for."""
    scorer = subject.make()
    nats = sum(
        float(nats_of(replay(scorer, document), document).sum()) for document in subject.documents
    )
    tokens = sum(map(len, subject.documents))
    parts = [decode(scorer, document) for document in subject.documents]
    size = sum(len(part) for part in parts if part is not None)
    evidence = {"loss": nats / tokens, "tokens": tokens, "documents": len(subject.documents)}
    if not math.isfinite(nats):
        return Finding(
            check="loss",
            status="warning",
            summary=f"a token that comes was given probability 0: the loss of {tokens} tokens is"
            " infinite",
            evidence=evidence,
        )
    if not size or None in parts:
        bits = "no bits per byte, for it does not say how to `decode`"
    else:
        evidence |= {"bytes": size, "bits_per_byte": nats / math.log(2) / size}
        bits = f"{nats / math.log(2) / size:.4f} bits per byte"
    return Finding(
        check="loss",
        status="pass",
        summary=f"{nats / tokens:.4f} nats per token on {tokens} tokens, {bits}",
        evidence=evidence,
    )


LOSS = Check(name="loss", run=score_documents, needs_text=True)
