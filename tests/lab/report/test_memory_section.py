"""The section on memories is made from the records alone, for every arm that has a proof."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from inklings.auditing.memory.proof import ProofArm
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.records import read_record, write_record
from inklings.lab.report.page import write_report
from inklings.lab.report.sections.memory import memory_sections
from tests.brief import brief_comparisons
from tests.lab.conftest import FakeComparison, memory_proof

PROOF = memory_proof(
    None, ProofArm(name="longer context", loss=None, change=None, note="not applicable: <b>why</b>")
)


def with_proof(out: Path, label: str) -> None:
    place = out / "results" / label / "seed-0"
    write_record(place, replace(read_record(place), memory=PROOF))


def test_a_proof_is_read_back_as_it_was_written(
    tmp_path: Path, write_fake_comparison: FakeComparison
) -> None:
    write_fake_comparison(tmp_path, seeds=1)
    assert read_record(tmp_path / "results/gpt/seed-0").memory is None
    with_proof(tmp_path, "gpt")
    assert read_record(tmp_path / "results/gpt/seed-0").memory == PROOF


def test_a_record_from_before_there_were_proofs_is_read(
    tmp_path: Path, write_fake_comparison: FakeComparison
) -> None:
    write_fake_comparison(tmp_path, seeds=1)
    path = tmp_path / "results/gpt/seed-0/record.json"
    value = json.loads(path.read_text())
    del value["memory"], value["sha256"]
    path.write_text(json.dumps(value))
    assert read_record(path.parent).memory is None


@pytest.mark.slow
def test_the_page_has_the_sentence_the_table_and_the_figure(
    tmp_path: Path, write_fake_comparison: FakeComparison
) -> None:
    write_fake_comparison(tmp_path, seeds=2)
    with brief_comparisons():
        before = write_report(tmp_path).read_text()
    assert 'id="memory"' not in before
    with_proof(tmp_path, "gpt")
    with_proof(tmp_path, "mlp")
    text = write_report(tmp_path).read_text()
    assert (
        "The memory lowers perplexity by 18.1% (13.9 to 22.1 over 62 documents); with permuted"
        " values it raises it by 10.5%" in text
    )
    assert "not applicable: &lt;b&gt;why&lt;/b&gt;" in text
    assert "Of 1,234 values that were found and traced, every one is of the text before" in text
    for name in ("memory1", "memory2"):
        assert (tmp_path / f"figures/{name}.svg").read_bytes().startswith(b"<svg")
        assert f'data-figure="{name}"' in text
    with brief_comparisons():
        assert write_report(tmp_path).read_text() == text


def test_an_interval_that_is_not_known_is_no_line(
    tmp_path: Path, write_fake_comparison: FakeComparison
) -> None:
    write_fake_comparison(tmp_path, seeds=1)
    with_proof(tmp_path, "gpt")
    comparison = read_comparison(tmp_path)
    records = {
        (arm.label, run.seed): read_record(tmp_path / run.results)
        for arm in comparison.arms
        for run in arm.runs
        if run.results
    }
    (section,) = memory_sections(comparison, records)
    assert section.label == "gpt"
    rows = {row["way"]: row for row in section.figure.data["memory1"]}
    assert set(rows) == {"memory", "permuted values", "temperature"}
    assert (
        rows["permuted values"]["high"]
        == rows["permuted values"]["value"]
        > rows["permuted values"]["low"]
        > 0
    )
    assert {row.name: row.interval for row in section.rows}["permuted values"] == "not known"
