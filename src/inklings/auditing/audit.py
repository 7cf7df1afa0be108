"""The audit: every check that applies to a subject, one after the other, whatever the others find.

A subject is an architecture with settings, a run, or anything else that claims a likelihood: each
kind has its own checks. Those of an architecture use random weights, and a run's own as well.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import inklings
from inklings.auditing.check import CHECKS, NOISE_CHECKS, Auditable, Check
from inklings.auditing.checks.text_overlap import check_overlap
from inklings.auditing.claims.claim_checks import CLAIM_CHECKS
from inklings.auditing.claims.claim_file import ClaimSubject
from inklings.auditing.findings import Finding, not_applicable
from inklings.auditing.hugging_face.hugging_face_checks import HUGGING_FACE_CHECKS
from inklings.auditing.hugging_face.hugging_face_subject import HuggingFaceSubject
from inklings.auditing.scorers.scorer_checks import SCORER_CHECKS
from inklings.auditing.scorers.subject import ScorerSubject
from inklings.auditing.subjects import NoiseSubject, Subject
from inklings.device import Runtime, threads_of
from inklings.errors import InputError
from inklings.registry import Registry
from inklings.showing import html_line, html_table, text_table
from inklings.text.store import TokenStore

COLUMNS = ("", "check", "what was found")
"""Of the table that an audit shows."""
FORMAT_VERSION = 1
"""Of the document: it grows when a field changes its meaning or goes."""

_CHECKS: tuple[tuple[type, Registry[Any]], ...] = (
    (NoiseSubject, NOISE_CHECKS),
    (ScorerSubject, SCORER_CHECKS),
    (ClaimSubject, CLAIM_CHECKS),
    (HuggingFaceSubject, HUGGING_FACE_CHECKS),
    (Subject, CHECKS),
)
"""Kinds of subjects and their checks; what is of two kinds has the checks of the first."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The findings of all checks."""

    subject: str
    kind: str
    """What the subject is: `model`, `scorer`."""
    trained: bool
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> list[Finding]:
        """The checks that should hold and do not."""
        return [finding for finding in self.findings if not finding.holds]

    def plain(self) -> dict[str, Any]:
        """Return plain values for JSON, of the form that `audit.schema.json` gives."""
        return {
            "format_version": FORMAT_VERSION,
            "inklings": inklings.__version__,
            "subject": self.subject,
            "kind": self.kind,
            "trained": self.trained,
            "holds": not self.failed,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }

    def _rows(self) -> list[tuple[str, str, str]]:
        return [(finding.status, finding.check, finding.summary) for finding in self.findings]

    def _outcome(self) -> str:
        """Return what came of it, in a sentence."""
        failed = ", ".join(finding.check for finding in self.failed)
        return f"{self.subject}: " + (f"fails {failed}" if failed else "no check fails")

    def __repr__(self) -> str:
        return f"{self._outcome()}\n{text_table(COLUMNS, self._rows())}"

    def _repr_html_(self) -> str:
        return html_line(self._outcome(), bold=True) + html_table(COLUMNS, self._rows())


def dishonest(findings: Iterable[Finding]) -> list[Finding]:
    """Return the failures for which a loss may not be ranked."""
    checks = [*CHECKS, *NOISE_CHECKS]
    return [
        finding
        for finding in findings
        if any(check.name == finding.check and check.bars(finding) for check in checks)
    ]


def before_training() -> list[str]:
    """Name the checks that a comparison asks of an arm before training."""
    return [check.name for check in (*CHECKS, *NOISE_CHECKS) if check.before_training]


def after_training() -> list[str]:
    """Name the checks that it asks once more of a trained run."""
    return [check.name for check in (*CHECKS, *NOISE_CHECKS) if check.after_training]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def audit(
    subject: Auditable,
    *,
    on_finding: Callable[[Finding], None] | None = None,
    only: Sequence[str] = (),
) -> Audit:
    """Carry out the checks that apply to a subject.

    Args:
        subject: an architecture, a run, or something else that claims a likelihood.
        on_finding: called with each outcome as it comes.
        only: names of the checks to carry out; those of another kind are passed over, and none
            names all.
    """
    findings = []
    registry = checks_of(subject)
    names = dict.fromkeys(only or registry.places)
    with threads_of(
        Runtime(threads=1)
    ):  # many small passes: a second thread gains little, and loses much beside another process
        for name in (name for name in names if name in registry.places):
            finding = _outcome(registry[name], subject)
            findings.append(finding)
            if on_finding is not None:
                on_finding(finding)
    return Audit(
        subject=subject.label,
        kind=subject.kind,
        trained=subject.is_trained,
        findings=tuple(findings),
    )


def checks_of(subject: Auditable) -> Registry[Any]:
    """Return the checks of this kind of subject."""
    return next(checks for kind, checks in _CHECKS if isinstance(subject, kind))


def audit_text(label: str, store: TokenStore, *, on_finding: Callable[[Finding], None]) -> Audit:
    """Audit a text alone, where there is no model.

    Args:
        label: its name in the audit.
        store: the text.
        on_finding: called with the outcome.
    """
    finding = _carried_out("overlap", lambda: check_overlap(store), of_text=True)
    on_finding(finding)
    return Audit(subject=label, kind="text", trained=False, findings=(finding,))


def _outcome(check: Check[Any], subject: Auditable) -> Finding:
    """Return the finding of a check, where the subject has what the check needs."""
    if check.needs_run and not subject.is_trained:
        return not_applicable(check.name, "it needs a trained model: audit a run")
    if check.needs_text and not subject.has_text:
        return not_applicable(check.name, "it needs a text: give one with --data")
    return _carried_out(check.name, lambda: check.run(subject), of_text=check.needs_text)


def _carried_out(name: str, check: Callable[[], Finding], *, of_text: bool) -> Finding:
    """Return the finding, or what kept the check from one.

    A user's model may raise anything anywhere, and the other checks go on.
    """
    try:
        finding = check()
        # JSON has no number for what is not finite
        return dataclasses.replace(finding, evidence=_finite(finding.evidence))
    except Exception as error:
        if of_text and isinstance(error, InputError):
            # the text is too small, say: the message tells what it would take
            return not_applicable(name, str(error).rstrip("."))
        return Finding(
            check=name,
            status="fail",
            summary=f"the check ended with {type(error).__name__}: {error}",
        )
