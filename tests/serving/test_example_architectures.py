"""The architectures of `examples/` live the whole life that the documents promise a user's file."""

from __future__ import annotations

import os
from pathlib import Path

import httpx2 as httpx
import pytest

from inklings.runs.directory import RunDirectory
from inklings.serving.settings import ServeConfig
from tests.commands import TINY, Command
from tests.models.test_examples import EXAMPLES

from .conftest import Loop, serving

SIZES = "n_layer=1,n_embd=16,context_length=16"
AS_SERVED = ("--temperature", "1")
"""What OpenAI's API does by default; `generate` is more careful."""
TEXT = ("--data", "builtin:unicode-names", "--training.batch-size", "8")


def train(name: str, folder: Path, run: Command) -> Path:
    """Train it for a moment on a real text, and let it write."""
    path, arm = folder / "run", f"{EXAMPLES[name]}:{SIZES}"
    code, said = run("train", arm, *TEXT, "--budget", "20-steps", "--run", path, *TINY)
    assert code == 0, said
    code, said = run("generate", path, "--max-new-tokens", "8", "--seed", "1", *AS_SERVED)
    assert code == 0, said
    assert said.startswith(text_over_http(path)), said
    return path


def text_over_http(path: Path) -> str:
    """What the run writes when it is served; the same seed, the same text."""
    loop = Loop()
    try:
        with serving(loop, {"example": RunDirectory.open(path)}, ServeConfig()) as url:
            body = {"model": "example", "prompt": "", "max_tokens": 8, "seed": 1}
            answer = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
            assert answer.status_code == 200, answer.text
            text: str = answer.json()["choices"][0]["text"]
            return " ".join(text.split())
    finally:
        loop.close()


def test_one_of_gpts_parts_changed_trains_writes_and_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    train("mixture_of_experts", tmp_path, Command(capsys))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_each_is_trained_written_with_served_audited_and_compared(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Command(capsys)
    path = train(name, tmp_path, run)
    code, said = run("audit", path)
    assert code == 0, said
    arms = (f"{EXAMPLES[name]}:{SIZES}", "ngram:order=2")
    budget = ("--budget", "5-steps", "--seeds", "2", "--rates", "0", "--points", "1")
    folder = tmp_path / "comparison"
    code, said = run("compare", *arms, *TEXT, *budget, "--workers", "1", "--out", folder)
    assert code == 0, said
    assert (folder / "report.html").exists()
    assert "not ranked" not in said
