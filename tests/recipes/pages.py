"""Adds to the running package what a page of recipes says, from the page's own code blocks.

A block of Python whose first line is `# src/inklings/...py` is a new file; one whose first line is
`# one line in NAME of src/inklings/...py` is an entry of a registry.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
import types
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "docs" / "contributing" / "recipes"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# src/(inklings/\S+)\.py\n")
_LINE = re.compile(r"# one line in (\w+) of src/(inklings/\S+)\.py\n")


def add(page: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Do what the page says for the rest of the test; the names that are registered now."""
    added: list[str] = []
    for code in _BLOCK.findall((RECIPES / page).read_text(encoding="utf-8")):
        if found := _FILE.match(code):
            name = found[1].replace("/", ".")
            assert name not in sys.modules, f"{name} is there already: the page adds nothing"
            module = types.ModuleType(name)
            monkeypatch.setitem(sys.modules, name, module)
            exec(compile(code, f"{page}: {name}", "exec"), module.__dict__)
        elif found := _LINE.match(code):
            registry = getattr(importlib.import_module(found[2].replace("/", ".")), found[1])
            entries = ast.literal_eval("{" + code.partition("\n")[2] + "}")
            for name, place in entries.items():
                monkeypatch.setitem(registry.places, name, place)
                added.append(name)
    assert added, f"{page} registers nothing"
    return added
