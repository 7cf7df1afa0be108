"""The section of the audit: what the kept audits of a run found."""

from __future__ import annotations

from dataclasses import dataclass

from inklings.lab.report.of_runs.run_section import RunsShown
from inklings.lab.report.section import Section
from inklings.runs.audits import KeptAudit


@dataclass(frozen=True)
class AuditedRun:
    """A run with one of its audits."""

    label: str
    audit: KeptAudit


def make_section(shown: RunsShown) -> Section | None:
    """Return the findings, or None where no run was audited."""
    found = [AuditedRun(run.label, audit) for run in shown.runs for audit in run.audits]
    if not found:
        return None
    lead = "Is the run what it claims to be? The latest audit on each part of the text."
    return Section("audit", "Audit", lead, template="checks", content=found, under_legend=False)
