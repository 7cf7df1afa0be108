"""What the tests of several verbs share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inklings.cli.main import main
from tests.brief import brief_comparisons
from tests.commands import Ask, words


@pytest.fixture(autouse=True, scope="module")
def _comparisons_are_brief() -> Iterator[None]:
    """What verbs say of a comparison is looked at here, not its audits and pictures."""
    with brief_comparisons():
        yield


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
