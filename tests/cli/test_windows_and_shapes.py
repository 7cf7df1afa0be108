"""`prepare --windows` and `models --shapes`: what is fed, and what becomes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inklings.cli.main import main
from inklings.errors import InputError


def test_prepare_shows_the_windows_that_were_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abcdefgh\n" * 200)
    assert main(["prepare", str(text), "--windows", "4", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["windows"]
    assert len(shown) == 4 and all(len(window["reads"]) == 64 for window in shown)
    assert main(["prepare", str(text), "--json"]) == 0
    assert "windows" not in json.loads(capsys.readouterr().out)
    assert main(["prepare", str(text), "--windows", "-1"]) == InputError.exit_code


def test_models_shows_the_lecture_s_layers(capsys: pytest.CaptureFixture[str]) -> None:
    arm = "tree_wavenet:n_embd=10,n_hidden=68,execution=window"
    assert main(["models", arm, "--shapes", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    layers = {layer["name"]: layer for layer in shown["layers"]}
    assert shown["parameters"] == 22_397, "what the lecture counts"
    assert layers["embedding"]["weights"] == [[27, 10]]
    assert main(["models", "builtin:reference", "--shapes"]) == 0
    assert main(["models", "--shapes"]) == InputError.exit_code
