"""The checks of a scorer, in the order in which they are carried out."""

from __future__ import annotations

from inklings.auditing.check import Check
from inklings.auditing.scorers.subject import ScorerSubject
from inklings.registry import Registry

SCORER_CHECKS: Registry[Check[ScorerSubject]] = Registry(
    "check",
    {
        "contract": "inklings.auditing.scorers.three_functions:CONTRACT",
        "normalised": "inklings.auditing.scorers.normalised:NORMALISED",
        "repeatable": "inklings.auditing.scorers.replays:REPEATABLE",
        "causality": "inklings.auditing.scorers.later_tokens:CAUSALITY",
        "observation": "inklings.auditing.scorers.replays:OBSERVATION",
        "documents": "inklings.auditing.scorers.from_document_to_document:DOCUMENTS",
        "claim": "inklings.auditing.scorers.claimed:CLAIM",
        "memorised": "inklings.auditing.scorers.memorised:MEMORISED",
        "loss": "inklings.auditing.scorers.bits:LOSS",
    },
)
