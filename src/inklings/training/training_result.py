"""What a run has come to when training ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inklings.runs.checkpoints import TrainerState


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """The state of a run when `train` or `resume` returns."""

    run: Path
    steps: int
    """Steps made so far."""
    tokens: int
    """Target tokens trained on."""
    seconds: float
    """Wall time of the training steps, over all sessions."""
    best_validation_loss: float | None
    """In `unit`; None before the first evaluation."""
    best_step: int | None
    final_validation_loss: float | None
    """The loss of the latest evaluation."""
    unit: str
    """What its losses are counted in, as the record of its objective says."""
    stopped: Literal["budget", "patience", "interrupted"]
    advice: str | None
    """How to go on, where the run was interrupted."""
    doubt: str | None = None
    """Why the last loss means little, if it does."""


def result_of(run: Path, progress: TrainerState, *, interrupted: bool = False) -> TrainingResult:
    """Return what a run has come to.

    Args:
        run: its directory.
        progress: how far it is.
        interrupted: whether it has to go on.
    """
    assert interrupted or progress.stopped is not None
    return TrainingResult(
        run=run,
        steps=progress.step,
        tokens=progress.tokens,
        seconds=progress.seconds,
        best_validation_loss=progress.best_loss,
        best_step=progress.best_step,
        final_validation_loss=progress.validation_loss,
        unit=progress.unit,
        stopped="interrupted" if interrupted or progress.stopped is None else progress.stopped,
        advice=f"inklings resume {run}" if interrupted else None,
        doubt=progress.doubt,
    )
