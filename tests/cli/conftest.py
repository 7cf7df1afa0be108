"""What the tests of several verbs share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.commands import Ask, words

from inklings.cli.main import main


@pytest.fixture(autouse=True)
def _figures_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verbs write reports without the files of their figures, which `tests/lab/report` looks at."""
    monkeypatch.setattr("inklings.lab.report.page.static_files", lambda figure: {})
    monkeypatch.setattr("inklings.lab.sweep.sweep_report.static_files", lambda figure: {})


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run a verb with --json and return its document."""
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text(words(200))

    def run(*arguments: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*arguments, "--json"]) == code
        out = capsys.readouterr().out
        assert out.count("\n") == 1
        document: dict[str, Any] = json.loads(out)
        return document

    return run
