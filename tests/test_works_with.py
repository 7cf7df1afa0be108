"""README's table of what Inklings works with: every line of it is held by tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HELD_BY = {
    "transformers": "interop/test_to_transformers.py interop/test_registered_exports.py",
    "llama.cpp": "interop/test_to_gguf.py interop/test_llama_cpp.py",
    "ONNX Runtime, browsers": "interop/test_to_onnx.py interop/test_browser_page.py",
    "models of Hugging Face": "interop/test_import_model.py interop/test_foreign_models.py",
    "lm-evaluation-harness": "interop/test_harness_answers.py serving/test_harness_itself.py",
    "OpenAI's clients": "serving/api/test_openai_client.py serving/test_other_clients.py",
    "TensorBoard, Trackio, MLflow, W&B": "interop/test_trackers.py",
    "torchrun": "cli/test_torchrun.py",
    "Ray, Optuna, FAISS, PostgreSQL": "lab/execution lab/sweep memory",
}
"""The name of a row, and the tests that fail where it is not true."""


def rows() -> list[list[str]]:
    """The cells of the table's rows."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Works with")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_line_names_the_tests_that_hold_it() -> None:
    assert [name for name, *_ in rows()] == list(HELD_BY)


@pytest.mark.parametrize("name", HELD_BY)
def test_those_tests_are_there(name: str) -> None:
    for place in HELD_BY[name].split():
        path = ROOT / "tests" / place
        files = [path] if path.is_file() else sorted(path.glob("test_*.py"))
        found = [re.findall(r"^def test_", file.read_text(), re.MULTILINE) for file in files]
        assert any(found), place
