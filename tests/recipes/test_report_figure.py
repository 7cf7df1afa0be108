from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inklings.lab.report.page import write_report
from tests.brief import whole_comparisons
from tests.recipes.pages import add

COMPARISON = Path(__file__).parents[1] / "fixtures" / "formats" / "comparison"


@pytest.mark.slow
def test_a_new_figure_is_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert add("report-figure.md", monkeypatch) == ["throughput"]
    out = tmp_path / "comparison"
    shutil.copytree(COMPARISON, out)
    with whole_comparisons():
        page = write_report(out).read_text(encoding="utf-8")
    assert '<a href="#throughput">Throughput</a>' in page
    assert "How fast each arm trains." in page
    figures = {path.suffix for path in (out / "figures").glob("*throughput*")}
    assert {".svg", ".png", ".csv"} <= figures
