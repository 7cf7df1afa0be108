from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inklings import train
from inklings.auditing.audit import after_training, audit, before_training
from inklings.auditing.subjects import of_architecture, of_run
from inklings.config import RunConfig, TrainingConfig
from inklings.runs.directory import RunDirectory
from inklings.runs.own_text import own_store
from inklings.values import from_mapping
from tests.recipes.pages import add

SMALL = RunConfig(
    architecture="recurrent",
    model={"n_embd": 2, "n_hidden": 2, "context_length": 4},
    training=TrainingConfig(
        batch_size=2,
        evaluations=1,
        samples=0,
        threads=1,
        budget="2-steps",
    ),
)


def test_a_new_check_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert add("audit-check.md", monkeypatch) == ["calibration"]
    assert "calibration" in after_training()
    assert "calibration" not in before_training()

    text = tmp_path / "text.txt"
    text.write_text("an\nel\noo\nirt\nna\nle\n" * 40, encoding="utf-8")
    data = from_mapping(type(SMALL.data), {"source": str(text), "tokenizer": "byte"}, where="x")
    config = replace(SMALL, data=data)
    train(config, tmp_path / "run")
    run = RunDirectory.open(tmp_path / "run")
    store = own_store(run)

    (untrained,) = audit(of_architecture("arm", config, store), only=["calibration"]).findings
    assert untrained.status == "not applicable"
    assert untrained.summary == "it needs a trained model: audit a run"
    (without_text,) = audit(of_run("run", run, None), only=["calibration"]).findings
    assert without_text.summary == "it needs a text: give one with --data"
    (finding,) = audit(of_run("run", run, store), only=["calibration"]).findings
    assert finding.status in ("pass", "warning"), finding.summary
    assert 0 < finding.evidence["confidence"] < 1
    assert 0 <= finding.evidence["accuracy"] <= 1
