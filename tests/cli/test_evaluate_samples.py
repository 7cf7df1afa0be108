"""`evaluate` lets a run write, prints where it stands, and keeps the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from inklings.cli import evaluate as verb
from inklings.cli.main import main
from inklings.cli.sample_report import show_report
from inklings.cli.terminal import open_terminal
from inklings.evaluation.samples.reference_set import ReferenceSet
from inklings.evaluation.samples.sample_report import load_report
from inklings.evaluation.statistics import mean_interval
from tests.commands import Ask


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


@pytest.mark.slow
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
    report = load_report(path.parent)
    assert report.to_mapping() == found["samples"]
    lines = [line.rstrip() for line in printed.err.splitlines()]
    assert any("20 samples against" in line and "windows of 4 tokens" in line for line in lines)
    assert sum("run at 0.85" in line for line in lines) >= 3
    tables = [
        line
        for line in lines
        if line.startswith((" ", "run at 0.85 ", "real text", "JS-", "judge"))
    ]
    assert max(map(len, tables)) <= 100
    name, measures = next(iter(report.runs.items()))
    learned = mean_interval(np.array([1.0, 0.0, 0.0, 0.0]))
    show_report(
        replace(report, runs={name: replace(measures, learned=learned)}), open_terminal(False)
    )
    assert f"{name}: 25.0% of its samples" in capsys.readouterr().out


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


def test_what_the_run_learned_is_looked_for_where_it_is_read_against_another_text(
    ask: Ask, run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grounds: list[ReferenceSet] = []

    def report(model: object, ground: ReferenceSet, *_: object, **__: object) -> SimpleNamespace:
        grounds.append(ground)
        return SimpleNamespace(to_mapping=dict)

    monkeypatch.setattr(verb, "report_on_samples", report)
    monkeypatch.setattr(verb, "save_report", lambda report, folder: folder)
    Path("other.txt").write_text("\n".join(f"{i * 3 % 17} and {i}" for i in range(200)))
    for flags in ((), ("--data", "lines.txt"), ("--data", "other.txt")):
        said = _said(capsys, "evaluate", run, "--samples", "20", "--max-length", "40", *flags)
        other = "other.txt" in flags
        assert ("which is not what the run was trained on (lines.txt)" in said) == other, said
        assert (grounds[-1].learned is not None) == other
    found = grounds[-1].learned
    assert found is not None and np.array_equal(found, grounds[0].known)


def _said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main([*words]) == 0
    return " ".join(capsys.readouterr().out.split())
