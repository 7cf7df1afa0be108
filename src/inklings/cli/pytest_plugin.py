"""`pytest --inklings-audit THING`: each check of an audit is a test.

THING is whatever `inklings audit` takes. Where the option is not given, nothing is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from inklings.auditing.check import Auditable


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of an audit to those of pytest."""
    group = parser.getgroup("inklings", "judge what claims a likelihood")
    group.addoption(
        "--inklings-audit",
        action="append",
        default=[],
        metavar="THING",
        help="audit this, as `inklings audit` does, each check as a test; may be given again",
    )
    group.addoption(
        "--inklings-data",
        default=None,
        metavar="SOURCE",
        help="the text that it is audited on",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker of all checks."""
    config.addinivalue_line("markers", "inklings_audit: a check of an audit")


@pytest.hookimpl(tryfirst=True)  # so that -k and -m choose among its tests too
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Put the checks behind the tests that there are."""
    for thing in session.config.getoption("--inklings-audit"):
        items += _Audited.from_parent(session, name=thing, nodeid=thing).collect()


class _Audited(pytest.Collector):
    """A thing that is audited."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for each of its checks."""
        from inklings.auditing.audit import checks_of

        subject = _subject_of(self.name, self.config.getoption("--inklings-data"))
        for check in checks_of(subject).places:
            yield _CheckItem.from_parent(self, name=check, subject=subject)


class _CheckItem(pytest.Item):
    """One check of a thing."""

    def __init__(self, *, subject: Auditable, **more: Any) -> None:
        super().__init__(**more)
        self.subject = subject
        self.add_marker("inklings_audit")

    def runtest(self) -> None:
        """Carry the check out; a warning of the audit is one of pytest's."""
        from inklings.auditing.audit import audit

        (finding,) = audit(self.subject, only=[self.name]).findings
        self.user_properties.append(("inklings_finding", finding.summary))
        if finding.status == "not applicable":
            pytest.skip(finding.summary)
        if not finding.holds:
            raise DoesNotHoldError(finding.summary)
        if finding.status == "warning":
            self.warn(AuditWarning(finding.summary))

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """Show what was found, without a traceback of the audit."""
        if isinstance(excinfo.value, DoesNotHoldError):
            return f"{self.subject.label} does not hold: {self.name}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        """Name the test."""
        return self.subject.label, None, f"{self.subject.label}: {self.name}"


class DoesNotHoldError(Exception):
    """A check that should hold does not."""


class AuditWarning(pytest.PytestWarning):
    """Something that is allowed and must be known."""


def _subject_of(thing: str, data: str | None) -> Auditable:
    from inklings.cli.audited import asked_for, subject_of
    from inklings.errors import InputError

    try:
        return subject_of(asked_for(thing, data))
    except InputError as error:
        raise pytest.UsageError(str(error)) from error
