"""Findings of the audit: whether a check holds, in a sentence, with the evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["pass", "warning", "fail", "not applicable"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    check: str
    """Name of the check that found this."""
    status: Status
    """`warning` is for what must be known but is allowed; `not applicable` for what cannot be asked
    of this subject.
    """
    summary: str
    """One sentence: what was found or, where the check does not apply, why, and what it would need.
    """
    evidence: dict[str, Any] = field(default_factory=dict)
    """The figures behind it, as plain values for JSON."""

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong, as far as this check can say."""
        return self.status != "fail"


def not_applicable(check: str, why: str) -> Finding:
    """Make the finding of a check that does not apply to a subject."""
    return Finding(check=check, status="not applicable", summary=why)
