"""Every architecture of the contract tests passes the whole audit."""

from __future__ import annotations

import pytest

from inklings.auditing.audit import audit
from inklings.auditing.subjects import of_architecture
from inklings.config import RunConfig

from .subjects import Subject
from .test_contracts import SUBJECTS

EVERYWHERE = {"contract", "causality", "prefixes", "rows", "documents", "streaming", "generation"}
"""What is asked of every one of them."""

NAMES = [subject.architecture for subject in SUBJECTS]
SHOWN = [
    # learning random tokens takes its time, and most checks are among those of `test_contracts.py`:
    # the first of each kind is enough
    pytest.param(
        subject,
        marks=[pytest.mark.slow]
        if subject.architecture in (*NAMES[:index], "varda", "wavegpt", "wavenet", "gpt2", "gpt")
        else [],
        id=str(subject),
    )
    for index, subject in enumerate(SUBJECTS)
]


@pytest.mark.parametrize("subject", SHOWN)
def test_an_honest_architecture_passes_the_audit(subject: Subject) -> None:
    config = RunConfig(architecture=subject.architecture, model=dict(subject.fields))
    result = audit(of_architecture(str(subject), config, None))
    assert not result.failed, [(finding.check, finding.summary) for finding in result.failed]
    statuses = {finding.check: finding.status for finding in result.findings}
    warned = {check for check, status in statuses.items() if status == "warning"}
    assert warned == ({"rows"} if subject.build().traits.batch_statistics else set())
    assert all(statuses[check] in ("pass", "warning") for check in EVERYWHERE)
