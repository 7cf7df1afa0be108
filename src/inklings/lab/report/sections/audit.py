"""The section of the audit: what each check found out about each arm."""

from __future__ import annotations

from dataclasses import dataclass

from inklings.errors import InklingsError
from inklings.lab.comparison.result import ArmResult
from inklings.lab.report.section import Results, Section
from inklings.lab.report.table import rank
from inklings.runs.audits import AUDITS, kept_audits
from inklings.runs.directory import RunDirectory


@dataclass(frozen=True)
class KeptLine:
    """What a run's own folder says of it."""

    run: str
    outcome: str
    holds: bool


@dataclass(frozen=True)
class AuditTable:
    """A row for each arm, a column for each check."""

    checks: list[str]
    arms: list[ArmResult]
    kept: list[KeptLine]
    """Whole audits that runs keep."""


def make_section(results: Results) -> Section | None:
    """Return the table of findings, or None where nothing was audited."""
    arms = [row.arm for row in rank(results.comparison)]
    checks = list(dict.fromkeys(finding.check for arm in arms for finding in arm.findings))
    kept = _kept(results, arms)
    if not checks and not kept:
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
        content=AuditTable(checks, arms, kept),
        under_legend=False,
    )


def _kept(results: Results, arms: list[ArmResult]) -> list[KeptLine]:
    """Read the audits in the folders of runs, of those that are there."""
    lines = []
    for run in (run for arm in arms for run in arm.runs):
        folder = results.out / run.run
        if not (folder / AUDITS).is_dir():
            continue
        try:
            audits = kept_audits(RunDirectory.open(folder))
        except InklingsError as damage:
            lines.append(KeptLine(run.run, f"its audit cannot be read: {damage}", False))
        else:
            lines += [KeptLine(run.run, f"{kept}", not kept.failed) for kept in audits]
    return lines
