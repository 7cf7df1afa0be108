"""`compare --samples` prints and tells the verdict by samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inklings.cli.main import main


@pytest.mark.slow
def test_the_verdict_by_samples_is_printed_and_in_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text(
        "\n".join(f"{i * 7 % 13} and {i * i % 31} of {i}" for i in range(300))
    )
    monkeypatch.setattr(
        "inklings.lab.comparison.compare.audited",
        lambda comparison, contestants, share, report: comparison,
    )
    terms = [
        "--data",
        "lines.txt",
        "--seeds",
        "1",
        "--workers",
        "1",
        "--training.threads",
        "1",
        "--json",
    ]
    assert (
        main(["compare", "ngram:order=1", "ngram:order=3", "--samples", "20", "--out", "c", *terms])
        == 0
    )
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["left_out"] == {"files": {}, "records": {}}
    assert found["plan"]["samples"] == {"samples": 20, "windows": None}
    assert found["sample_verdict"]["headline"].startswith("By samples, ")
    assert found["sample_verdict"]["headline"] in printed.err
    assert "20 samples of every run at temperature 1, against" in printed.err
    assert any(line.startswith("real text") for line in printed.err.splitlines())
    assert main(["report", "c", "--json"]) == 0
    assert 'id="measured"' in Path("c/report.html").read_text()
