"""The section of the audit: what the folders of runs keep is told, were they compared or not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inklings.auditing.audit import Audit
from inklings.auditing.findings import Finding
from inklings.cli.reference import open_run
from inklings.lab.report.page import render
from inklings.lab.report.section import Results, read_results
from inklings.lab.report.sections.audit import make_section
from inklings.runs.audits import AUDITS, keep_audit
from inklings.runs.directory import RunDirectory
from tests.lab.conftest import FakeComparison


@pytest.fixture
def results(tmp_path: Path, write_fake_comparison: FakeComparison) -> Results:
    """A comparison of which one run is there, and keeps an audit."""
    write_fake_comparison(tmp_path, arms={"gpt": (100, 2.0), "mlp": (100, 2.1)}, samples=["a"])
    found = read_results(tmp_path)
    place = tmp_path / found.comparison.arms[0].runs[0].run
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(open_run("builtin:reference").path, place)
    failure = Finding(check="causality", status="fail", summary="it sees ahead")
    audit = Audit(subject="a run", kind="model", trained=True, findings=(failure,))
    keep_audit(RunDirectory.open(place), "validation", audit.plain())
    return found


def said(results: Results) -> str:
    section = make_section(results)
    assert section is not None
    return render(results.comparison, [section])


def test_an_audit_that_a_run_keeps_is_in_the_report(results: Results) -> None:
    run = results.comparison.arms[0].runs[0].run
    line = f'<p class="notice">{run}: audited on validation: it does not hold: causality.</p>'
    assert line in said(results)


def test_one_that_was_edited_is_told(results: Results) -> None:
    path = results.out / results.comparison.arms[0].runs[0].run / AUDITS / "validation.json"
    path.write_text(path.read_text().replace('"fail"', '"pass"'))
    assert "its audit cannot be read" in said(results)
