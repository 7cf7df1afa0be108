"""Where most of a run's time would go to its evaluations, it is told with the flag that helps."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.events import Event
from inklings.training.train import train


def told(tmp_path: Path, name: str, **settings: Any) -> list[str]:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"line {n} of {n * n}\n" for n in range(900)), encoding="utf-8")
    training = TrainingConfig(batch_size=2, sequence_length=8, samples=0, threads=1)
    config = RunConfig(
        architecture="mlp",
        data=DataConfig(source=str(text), tokenizer="byte"),
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


def test_a_run_that_is_mostly_training_is_told_nothing(tmp_path: Path) -> None:
    assert not told(tmp_path, "long", budget="800-steps", evaluations=2)
