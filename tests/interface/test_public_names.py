"""What is public is typed, and what is missing of an extra is one line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import inklings
from inklings.errors import MissingExtraError
from inklings.serving.extra import needing_serve


def test_every_public_name_is_typed_and_found_in_one_place() -> None:
    tree = ast.parse(Path(inklings.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == inklings._HOMES
    assert sorted(typed) == inklings.__all__


def test_what_is_missing_of_the_server_is_one_line() -> None:
    with (
        pytest.raises(MissingExtraError, match=r"pip install 'inklings\[serve\]'"),
        needing_serve(),
    ):
        raise ModuleNotFoundError("No module named 'uvicorn.config'", name="uvicorn.config")
    with pytest.raises(ModuleNotFoundError, match="mine"), needing_serve():
        raise ModuleNotFoundError("No module named 'mine'", name="mine")
