from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inklings import compare, train
from inklings.cli.main import main
from inklings.config import RunConfig, TrainingConfig
from inklings.lab.comparison.comparison_file import read_comparison, write_comparison
from inklings.lab.report.page import write_report
from inklings.runs.arms import Arm
from inklings.runs.directory import RunDirectory
from inklings.values import from_mapping
from tests.recipes.pages import add

SMALL = RunConfig(
    architecture="recurrent",
    model={"n_embd": 2, "n_hidden": 2, "context_length": 4},
    training=TrainingConfig(batch_size=2, evaluations=1, samples=0, threads=1, budget="2-steps"),
)


@pytest.mark.slow
def test_new_metrics_are_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add("metric.md", monkeypatch) == ["sampled_accuracy", "endings"]
    text = tmp_path / "text.txt"
    text.write_text("an\nel\noo\nirt\nna\nle\n" * 40, encoding="utf-8")
    data = from_mapping(type(SMALL.data), {"source": str(text), "tokenizer": "byte"}, where="x")
    config = replace(SMALL, data=data)

    run = tmp_path / "run"
    train(config, run)
    events: list[dict[str, Any]] = [dict(event) for event in RunDirectory.open(run).metrics()]
    (*_, last) = [event for event in events if event["event"] == "evaluation"]
    assert 0 < last["sampled_accuracy"] < 1

    capsys.readouterr()
    assert main(["evaluate", str(run), "--json", "--samples", "4"]) == 0
    said = capsys.readouterr()
    evaluated = json.loads(said.out)
    assert evaluated["sampled_accuracy"] == pytest.approx(last["sampled_accuracy"])
    assert "sampled accuracy" in said.err and "different endings" in said.err
    of_run = next(iter(evaluated["samples"]["runs"].values()))
    assert 0 < of_run["values"]["endings"]["estimate"] <= 1

    out = tmp_path / "comparison"
    arms = [
        Arm(label=name, config=replace(config, architecture=name, model={}))
        for name in ("ngram", "ngram:order=2")
    ]
    arms[1] = replace(arms[1], config=replace(config, architecture="ngram", model={"order": 2}))
    compare(arms, out=out, seeds=[0], workers=1)
    stored = json.loads((out / "comparison.json").read_text())["arms"][0]["runs"][0]
    assert 0 < stored["sampled_accuracy"] < 1
    again = read_comparison(out)
    assert again.arms[0].runs[0].metrics["sampled_accuracy"] == stored["sampled_accuracy"]
    write_comparison(out, again)
    assert json.loads((out / "comparison.json").read_text())["arms"][0]["runs"][0] == stored
    assert "Sampled accuracy" in write_report(out).read_text(encoding="utf-8")
