"""A small run of a small text, which the tests of this room read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import inklings
from inklings.interface.run import Run
from tests.brief import brief_comparisons

ARM = "gpt:n_layer=1,n_embd=16,n_head=2,context_length=16"
SETTINGS: dict[str, Any] = {"threads": 1, "batch_size": 4, "evaluations": 2, "samples": 3}


@pytest.fixture(autouse=True, scope="module")
def _comparisons_are_brief() -> Iterator[None]:
    """What Python makes of a comparison is looked at here, not its audits and pictures."""
    with brief_comparisons():
        yield


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of lines with letters, a tag, and a letter of two bytes."""
    words = ("über", "<b>", "bar", "foo", "alba", "trio")
    lines = [f"{one} {other} {number}" for one in words for other in words for number in range(4)]
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def run(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that `inklings.train` made."""
    place = tmp_path_factory.mktemp("runs") / "small"
    return inklings.train(ARM, place, data=text, budget="12-steps", show=False, **SETTINGS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
