from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from inklings import train
from inklings.config import RunConfig, TrainingConfig
from inklings.errors import ConfigError
from inklings.runs.directory import RunDirectory
from inklings.training.budgets.budget import budget_examples, parse_budget
from inklings.values import from_mapping
from tests.recipes.pages import add

SMALL = RunConfig(
    architecture="recurrent",
    model={"n_embd": 2, "n_hidden": 2},
    training=TrainingConfig(batch_size=2, evaluations=1, samples=0, threads=1),
)


def test_a_run_learns_for_some_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="unknown unit 'hours'"):
        parse_budget("1-hours")
    assert add("budget.md", monkeypatch) == ["hours"]
    assert parse_budget("0.5-h").unit is parse_budget("8-hours").unit
    assert "8-hours" in budget_examples()
    with pytest.raises(ConfigError, match="Did you mean 'hours'"):
        parse_budget("1-hurs")

    text = tmp_path / "text.txt"
    text.write_text("an\nel\noo\nirt\nna\nle\n" * 20, encoding="utf-8")
    config = replace(
        SMALL,
        data=from_mapping(type(SMALL.data), {"source": str(text), "tokenizer": "byte"}, where="x"),
        training=replace(SMALL.training, budget="0.0000001-hours"),
    )
    train(config, tmp_path / "run")
    record = RunDirectory.open(tmp_path / "run").record
    assert record.seconds_per_step is not None
    paid = Fraction(1, 10**7) * 3600 / Fraction(record.seconds_per_step)
    assert record.steps == max(1, int(paid))
