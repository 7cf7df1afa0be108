"""One trial of a search: a run that may be given up at an evaluation, or stopped and resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inklings.config import RunConfig
from inklings.errors import DivergedError
from inklings.events import EvaluationEvent, Event, OnEvent
from inklings.runs.directory import RunDirectory
from inklings.runs.interruption import Interruption
from inklings.text.store import TokenStore
from inklings.training.branch import check_settings, exists
from inklings.training.train import resume, train

Judge = Callable[[int, float], bool]
"""A function of an evaluation's number, from 0, and its loss: whether to give the trial up."""


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """How a trial ended."""

    status: Literal["done", "pruned", "failed"]
    losses: list[float]
    """Validation loss at each evaluation that was made."""
    message: str | None = None
    """Why the trial failed."""


class _GivenUp(Exception):  # not an error: it ends a run from within
    """The judge gave the trial up."""


def attempt_trial(
    config: RunConfig, run: Path, store: TokenStore, *, judge: Judge, on_event: OnEvent
) -> TrialOutcome | None:
    """Train the run, or go on with it, until its budget is spent, it is given up, or it diverges.

    The judge gets every loss exactly once and in order, those of earlier sessions first, so that it
    decides as if the run had never stopped; at the last evaluation its answer changes nothing.

    Args:
        config: settings of the run.
        run: its directory.
        store: the text.
        judge: says whether to give the trial up.
        on_event: called with every event as it happens.

    Returns:
        None if it was interrupted: all is saved, and the same call goes on.

    Raises:
        InputError: the settings cannot be used, or the folder holds another run.
        DiskError, OutOfMemoryError: as in `train`.
    """
    begun = exists(run)
    earlier: list[EvaluationEvent] = []
    if begun:
        check_settings(run, config)
        directory = RunDirectory.open(run)
        earlier = [event for event in directory.metrics() if event["event"] == "evaluation"]
    losses: dict[int, float] = {}
    steps = directory.record.steps if begun else 0

    def take(event: EvaluationEvent) -> None:
        # what was written after the last checkpoint is trained, and told, once more
        if event["step"] in losses:
            return
        losses[event["step"]] = event["loss"]
        if judge(len(losses) - 1, event["loss"]) and event["step"] < steps:
            raise _GivenUp

    def told(event: Event) -> None:
        nonlocal steps
        on_event(event)
        if event["event"] == "start":
            steps = event["steps"]
        elif event["event"] == "evaluation":
            take(event)

    with Interruption():
        try:
            for event in earlier:
                take(event)
            result = (
                resume(run, store=store, on_event=told)
                if begun
                else train(config, run, store=store, on_event=told)
            )
        except _GivenUp:
            return TrialOutcome(status="pruned", losses=list(losses.values()))
        except DivergedError as error:
            # its first line; the others speak of a folder that does not stay
            return TrialOutcome(
                status="failed", losses=list(losses.values()), message=str(error).partition("\n")[0]
            )
    return (
        None
        if result.stopped == "interrupted"
        else TrialOutcome(status="done", losses=list(losses.values()))
    )
