"""The section of the audit: what each check found out about each arm."""

from __future__ import annotations

from dataclasses import dataclass

from inklings.lab.comparison.result import ArmResult
from inklings.lab.report.section import Results, Section
from inklings.lab.report.table import rank


@dataclass(frozen=True)
class AuditTable:
    """A row for each arm, a column for each check."""

    checks: list[str]
    arms: list[ArmResult]


def make_section(results: Results) -> Section | None:
    """Return the table of findings, or None where nothing was audited."""
    arms = [row.arm for row in rank(results.comparison)]
    checks = list(dict.fromkeys(finding.check for arm in arms for finding in arm.findings))
    if not checks:
        return None
    lead = (
        "Is each arm what it claims to be? Checks of the architecture with random weights, and of"
        " its first run. Point at a mark to read the evidence."
    )
    return Section(
        "audit",
        "Audit",
        lead,
        template="audit",
        content=AuditTable(checks, arms),
        under_legend=False,
    )
