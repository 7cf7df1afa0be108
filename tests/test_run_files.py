"""Every run file in configs/ runs: at tiny size, on a few lines of text."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from inklings.config import load_run_config
from inklings.training.train import train

CONFIGS = Path(__file__).parents[1] / "configs"
RUN_FILES = sorted(
    path for path in CONFIGS.rglob("*.toml") if path.parent.name != "ledger"
)  # those are claims: tests/test_ledger.py
FIRST = {load_run_config(path).architecture: path for path in reversed(RUN_FILES)}
"""The first run file of each architecture, which is tried where time is short."""
SMALL = {"n_layer": 1, "n_head": 2, "n_embd": 8, "n_hidden": 8}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            marks=() if path in FIRST.values() else pytest.mark.slow,
            id=path.relative_to(CONFIGS).as_posix(),
        )
        for path in RUN_FILES
    ],
)
def test_a_run_file_runs(path: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(
        "".join(f"line {number} of a text, {number * 37 % 101}\n" for number in range(300))
    )
    config = load_run_config(path)
    tokenizer = "bpe:300" if config.data.tokenizer.startswith("bpe") else config.data.tokenizer
    model = {name: SMALL.get(name, value) for name, value in config.model.items()}
    if model.get("context_length", 0) > 64:
        model["context_length"] = 64
    if config.architecture == "textgan":  # a line has about 20 characters
        model["context_length"] = 16 if model.get("reads") == "windows" else 32
    config = dataclasses.replace(
        config,
        model=model,
        data=dataclasses.replace(config.data, source=str(text), tokenizer=tokenizer),
        training=dataclasses.replace(
            config.training,
            budget="4-steps",
            batch_size=2 * config.training.accumulate if config.training.accumulate == 1 else 4,
            accumulate=min(config.training.accumulate, 2),
            evaluations=1,
            samples=1,
            threads=1,
            precision="float32",
            compile="off",
        ),
    )
    result = train(config, tmp_path / "run")
    assert result.stopped == "budget"
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.mark.parametrize("path", RUN_FILES, ids=lambda path: path.relative_to(CONFIGS).as_posix())
def test_a_run_file_says_what_it_is(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
