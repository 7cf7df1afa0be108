"""How a run ended, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from inklings.cli.outcome import report_result
from inklings.cli.terminal import open_terminal
from inklings.training.training_result import TrainingResult

DONE = TrainingResult(
    run=Path("runs/mine"),
    steps=20,
    tokens=2000,
    seconds=30.0,
    best_validation_loss=1.5,
    best_step=20,
    final_validation_loss=1.5,
    unit="nats per token",
    stopped="budget",
    advice=None,
)


@pytest.mark.parametrize(("seconds", "in_all"), [(40.0, False), (10.0, True)])
def test_seconds_of_earlier_sessions_are_said_to_be_in_it(
    seconds: float, in_all: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_result(DONE, open_terminal(False), seconds=seconds) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "of training steps" in said
    assert ("of training steps in all" in said) == in_all
