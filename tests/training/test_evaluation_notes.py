"""Where most of a run's time would go to its evaluations, it is told with the flag that helps."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.events import Event
from inklings.training import text_notes
from inklings.training.train import train


def told(
    tmp_path: Path, name: str, split: tuple[float, float, float] | None = None, **settings: Any
) -> list[str]:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"line {n} of {n * n}\n" for n in range(900)), encoding="utf-8")
    training = TrainingConfig(batch_size=2, sequence_length=8, samples=0, threads=1)
    config = RunConfig(
        architecture="mlp",
        data=DataConfig(source=str(text), tokenizer="byte", split=split),
        training=replace(training, **settings),
    )
    events: list[Event] = []
    train(config, tmp_path / name, on_event=events.append)
    said = [event["text"] for event in events if event["event"] == "note"]
    return [text for text in said if "goes to evaluations" in text]


def test_it_is_told_and_what_it_names_helps(tmp_path: Path) -> None:
    (said,) = told(tmp_path, "many", budget="100-steps")
    fewer = re.search(r"--training\.evaluations (\d+)", said)
    assert fewer is not None
    assert "10 of them read" in said
    assert "training 1,600" in said
    assert not told(tmp_path, "fewer", budget="100-steps", evaluations=int(fewer[1]))


@pytest.mark.slow
def test_where_one_evaluation_is_too_long_a_smaller_part_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_notes, "ENOUGH", 10)
    (said,) = told(tmp_path, "many", budget="30-steps")
    shares = re.search(r"--data\.split ([\d.]+) ([\d.]+) ([\d.]+) much less", said)
    assert shares is not None
    train, validation, test = map(float, shares.groups())
    assert validation == test
    assert train + validation + test == pytest.approx(1)
    assert not told(tmp_path, "fewer", (train, validation, test), budget="30-steps")
    monkeypatch.setattr(text_notes, "ENOUGH", 10**6)
    (said,) = told(tmp_path, "enough", budget="30-steps")
    assert "--data.split" not in said


@pytest.mark.slow
def test_a_run_that_is_mostly_training_is_told_nothing(tmp_path: Path) -> None:
    assert not told(tmp_path, "long", budget="800-steps", evaluations=2)
