"""Audits that a run's folder keeps: read as they were written, and only of the weights they saw."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from inklings.auditing.audit import Audit
from inklings.auditing.findings import Finding
from inklings.cli.reference import open_run
from inklings.errors import RunError
from inklings.runs.audits import AUDITS, keep_audit, kept_audits
from inklings.runs.directory import RunDirectory
from inklings.runs.run_check import check_run
from inklings.serving.page.run_facts import run_facts

FOUND = Finding(check="causality", status="fail", summary="it sees ahead")
AUDIT = Audit(subject="a run", kind="model", trained=True, findings=(FOUND,))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A copy of the run that ships with the package, with an audit."""
    shutil.copytree(open_run("builtin:reference").path, tmp_path / "run")
    copied = RunDirectory.open(tmp_path / "run")
    keep_audit(copied, "validation", AUDIT.plain())
    return copied


def test_an_audit_is_read_as_it_was_written(run: RunDirectory) -> None:
    (kept,) = kept_audits(run)
    assert kept.document == AUDIT.plain()
    assert (kept.split, kept.failed, kept.is_current) == ("validation", ["causality"], True)
    assert str(kept) == "audited on validation: it does not hold: causality"


def test_the_page_tells_the_findings_of_weights_as_they_are(run: RunDirectory) -> None:
    (finding,) = run_facts(run, "nats per token").findings
    assert (finding.check, finding.status) == ("causality", "fail")
    better = {"event": "evaluation", "step": 9999, "tokens": 1, "seconds": 1.0, "loss": 0.1}
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(better) + "\n")
    (kept,) = kept_audits(run)
    assert not kept.is_current
    assert "earlier weights" in str(kept)
    assert run_facts(run, "nats per token").findings == []


def test_an_audit_that_was_edited_is_damage(run: RunDirectory) -> None:
    path = run.path / AUDITS / "validation.json"
    whole = check_run(run)
    assert not [one for one in (*whole.problems, *whole.unchecked) if AUDITS in one]
    path.write_text(path.read_text().replace('"fail"', '"pass"'))
    with pytest.raises(RunError, match="edited"):
        kept_audits(run)
    assert AUDITS in " ".join(check_run(run).problems)
    assert run_facts(run, "nats per token").findings == []
