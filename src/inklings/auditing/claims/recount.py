"""Tokens, bytes and bits per byte of a claim, recomputed from the text itself."""

from __future__ import annotations

import math

from inklings.auditing.check import Check
from inklings.auditing.claims.claim_file import ClaimSubject
from inklings.auditing.claims.mistakes import NEAR, explain_bytes, explain_tokens
from inklings.auditing.findings import Finding, not_applicable

EXACT = 1e-3
"""How far, as a share, a claim may be from what its own figures give: it may be rounded."""


def check_tokens(subject: ClaimSubject) -> Finding:
    """Check that the text has as many tokens as are claimed."""
    claimed, tokens = subject.claim.tokens, subject.tokens
    if claimed is None or tokens is None:
        lacks = "`tokens`" if claimed is None else "a `tokenizer`"
        return not_applicable("tokens", f"the claim does not give {lacks}")
    evidence = {"claimed": claimed, "counted": len(tokens)}
    if claimed != len(tokens):
        return Finding(
            check="tokens",
            status="fail",
            summary=(
                f"{claimed:,} tokens are claimed and the text has {len(tokens):,}"
                + explain_tokens(subject, claimed)
            ),
            evidence=evidence,
        )
    return Finding(
        check="tokens",
        status="pass",
        summary=f"the text has {claimed:,} tokens, as claimed",
        evidence=evidence,
    )


def check_round_trip(subject: ClaimSubject) -> Finding:
    """Check that the tokens hold all of the text: what is lost is scored by nobody."""
    tokens, backend = subject.tokens, subject.backend
    if tokens is None:
        return not_applicable("round trip", "the claim does not give a `tokenizer`")
    # bytes and code points lose nothing
    back = subject.text if backend is None else backend.decode(tokens, skip_special_tokens=False)
    if back != subject.text:
        return Finding(
            check="round trip",
            status="fail",
            summary=(
                f"decoded, the tokens give another text, of {len(back.encode()):,} bytes instead of"
                f" {subject.n_bytes:,}: the tokenizer loses some of it"
            ),
            evidence={"bytes": len(back.encode())},
        )
    return Finding(check="round trip", status="pass", summary="the tokens hold the whole text")


def check_bytes(subject: ClaimSubject) -> Finding:
    """Check that the text has as many bytes as are claimed."""
    claimed = subject.claim.bytes
    if claimed is None:
        return not_applicable("bytes", "the claim does not give `bytes`")
    return _bytes("bytes", subject, claimed, "are claimed")


def check_byte_table(subject: ClaimSubject) -> Finding:
    """Check that the table of bytes gives the bytes of the text."""
    counted = subject.table_bytes
    if counted is None:
        lacks = "`token_bytes`" if subject.table is None else "a `tokenizer`"
        return not_applicable("byte table", f"the claim does not give {lacks}")
    return _bytes("byte table", subject, counted, "follow from the byte table")


def _bytes(check: str, subject: ClaimSubject, found: int, how: str) -> Finding:
    size = subject.n_bytes
    evidence = {"found": found, "bytes": size, "excess": found / size - 1}
    if found != size:
        return Finding(
            check=check,
            status="fail",
            summary=(
                f"{found:,} bytes {how} and the text has {size:,} ({found / size - 1:+.1%})"
                + explain_bytes(subject, found)
            ),
            evidence=evidence,
        )
    return Finding(check=check, status="pass", summary=f"{size:,} bytes {how}", evidence=evidence)


def check_bits_per_byte(subject: ClaimSubject) -> Finding:
    """Check the claim itself: the nats, on the bytes of the text."""
    right, nats = subject.bits_per_byte, subject.nats
    if right is None or nats is None:
        return not_applicable(
            "bits per byte", "a `loss` needs `tokens` or a `tokenizer` beside it, or give `nats`"
        )
    claimed = subject.claim.bits_per_byte
    evidence = {"claimed": claimed, "recomputed": right, "nats": nats, "bytes": subject.n_bytes}
    if abs(claimed - right) <= EXACT * right:
        return Finding(
            check="bits per byte",
            status="pass",
            summary=f"{right:.4f} bits per byte, as claimed",
            evidence=evidence,
        )
    implied = nats / math.log(2) / claimed if claimed > 0 else math.inf
    if abs(claimed - right * math.log(2)) <= EXACT * right:
        why = ": these are nats per byte"
    else:
        why = explain_bytes(subject, implied, near=max(NEAR, 1e-4 / max(claimed, 1e-4)))
    return Finding(
        check="bits per byte",
        status="fail",
        summary=(
            f"{claimed:.4f} bits per byte are claimed, and it is {right:.4f}"
            f" ({claimed / right - 1:+.1%}){why}"
        ),
        evidence=evidence,
    )


TOKENS = Check(name="tokens", run=check_tokens)
ROUND_TRIP = Check(name="round trip", run=check_round_trip)
BYTES = Check(name="bytes", run=check_bytes)
BYTE_TABLE = Check(name="byte table", run=check_byte_table)
BITS_PER_BYTE = Check(name="bits per byte", run=check_bits_per_byte)
