"""The checks of a claim in bits per byte, in the order in which they are carried out."""

from __future__ import annotations

from inklings.auditing.check import Check
from inklings.auditing.claims.claim_file import ClaimSubject
from inklings.registry import Registry

CLAIM_CHECKS: Registry[Check[ClaimSubject]] = Registry(
    "check",
    {
        "tokens": "inklings.auditing.claims.recount:TOKENS",
        "round trip": "inklings.auditing.claims.recount:ROUND_TRIP",
        "bytes": "inklings.auditing.claims.recount:BYTES",
        "byte table": "inklings.auditing.claims.recount:BYTE_TABLE",
        "bits per byte": "inklings.auditing.claims.recount:BITS_PER_BYTE",
    },
)
