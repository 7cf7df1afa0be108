"""A terminal is given no orders by names, texts and models that come from anybody."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from inklings.cli.main import _show_warning, main
from inklings.cli.table import name_column
from inklings.cli.terminal import Terminal, written

ORDER = "a\x1b]52;c;eA==\x07b\x9b2Jc\rd\x7f"
SEEN = r"a\x1b]52;c;eA==\x07b\x9b2Jc\x0dd\x7f"


def test_whatever_is_said_to_people_is_seen_and_not_obeyed() -> None:
    file = io.StringIO()
    terminal = Terminal(json=False, console=Console(file=file, width=150))
    terminal.say(f"{ORDER}\nmore")
    terminal.table([name_column("name")], [[ORDER]])
    terminal.say(terminal.one_line(ORDER))
    assert [line.strip() for line in file.getvalue().splitlines()] == [
        SEEN,
        "more",
        "name",
        SEEN,
        SEEN,
    ]


def test_errors_and_warnings_neither(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", ORDER]) == 2
    _show_warning(UserWarning(ORDER), UserWarning, "", 0)
    said = capsys.readouterr().err
    assert said.count(SEEN) == 3  # the error names the run twice
    assert ORDER not in said and "\x1b" not in said


def test_what_a_model_writes_reaches_a_file_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(ORDER) == ORDER
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert written(ORDER) == SEEN
    assert written("tab\tline\nü\u2028") == "tab\tline\nü\u2028"
