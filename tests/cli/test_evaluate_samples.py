"""`evaluate` lets a run write, prints where it stands, and keeps the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inklings.cli.main import main
from inklings.evaluation.samples.sample_report import load_report

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def run(ask: Ask) -> str:
    Path("lines.txt").write_text(
        "\n".join(f"{i * 7 % 13} and {i * i % 31} of {i}" for i in range(400))
    )
    ask(
        "train",
        "ngram:order=2",
        "--data",
        "lines.txt",
        "--run",
        "run",
        "--training.threads",
        "1",
        "--training.precision",
        "float32",
    )
    return "run"


def test_both_reports_of_a_run_with_a_likelihood(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert (
        main(
            ["evaluate", run, "--samples", "20", "--windows", "4", "--temperature", "0.9", "--json"]
        )
        == 0
    )
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["loss"] > 0
    assert next(iter(found["samples"]["runs"])) == "run at 0.9"
    (path,) = Path("run/evaluations").glob("*/20-samples-windows-4/samples.json")
    assert load_report(path.parent).to_mapping() == found["samples"]
    lines = [line.rstrip() for line in printed.err.splitlines()]
    assert any("20 samples against" in line and "windows of 4 tokens" in line for line in lines)
    assert sum("run at 0.85" in line for line in lines) >= 3
    tables = [
        line
        for line in lines
        if line.startswith((" ", "run at 0.85 ", "real text", "JS-", "judge"))
    ]
    assert max(map(len, tables)) <= 100


def test_no_samples_unless_asked_for(
    ask: Ask, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "samples" not in ask("evaluate", run)
    assert main(["evaluate", run, "--windows", "4"]) == 0
    assert "warning: --windows ignored" in capsys.readouterr().out


def test_samples_against_the_training_text_are_refused(
    ask: Ask, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", run, "--samples", "40", "--split", "train"]) == 2
    assert "give --split validation or test" in capsys.readouterr().err
