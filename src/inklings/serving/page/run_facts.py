"""Facts about a run for the page: learning curve, samples, audit and verdict, as they are now."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from inklings.durable import is_file
from inklings.errors import InklingsError
from inklings.events import EvaluationEvent, LoggedEvent, StepEvent
from inklings.lab.comparison.comparison_file import read_comparison
from inklings.lab.comparison.result import FILE_NAME, Comparison
from inklings.lab.report.of_runs.run_page import FILE as PAGE
from inklings.runs.audits import kept_audits
from inklings.runs.checkpoints import TrainerState
from inklings.runs.directory import RunDirectory
from inklings.runs.lock import is_locked
from inklings.runs.metrics import best_evaluation

CURVE_POINTS = 500
"""Most points of a curve: what a screen can show."""
SAMPLED = 12
"""Most of the latest evaluations whose sampled texts are shown."""


class CurvePoint(BaseModel):
    """A moment of training, with its losses."""

    step: int
    tokens: int = Field(description="Target tokens trained on so far.")
    seconds: float = Field(description="Of training so far.")
    loss: float
    bits_per_byte: float | None = Field(
        None, description="Of an evaluation whose tokenizer keeps every byte."
    )


class Sampled(BaseModel):
    """Texts that the model wrote at an evaluation."""

    step: int
    texts: list[str]


class CheckFinding(BaseModel):
    """What one check of the audit found."""

    check: str
    status: Literal["pass", "warning", "fail", "not applicable"]
    summary: str


class VerdictInWords(BaseModel):
    """What a comparison says of its arms."""

    headline: str
    sentences: list[str]


class ComparedWith(BaseModel):
    """The comparison that a run is a part of."""

    arm: str = Field(description="What the run's arm is called there.")
    arms: list[str]
    status: Literal["complete", "interrupted"]
    verdicts: list[VerdictInWords] = Field(
        description="By likelihood, and by samples where they were compared."
    )
    findings: list[CheckFinding] = Field(description="The audit of the run's arm.")
    report: str | None = Field(
        description="Path of its report on this server; null where none was written."
    )


class RunFacts(BaseModel):
    """The state of a run, its figures and its curves."""

    text: str = Field(description="The source that it learns from.")
    budget: str
    state: Literal["training", "done", "stopped"] = Field(
        description="`stopped` is for a run that has not spent its budget and does not train."
    )
    step: int = Field(description="Steps made.")
    steps: int = Field(description="Steps that the budget pays for.")
    seconds: float = Field(description="Of training.")
    unit: str = Field(
        description=(
            "Of the losses, as the model's objective says: nats per token, or bits of divergence of"
            " a model without likelihood."
        )
    )
    best_loss: float | None = Field(description="The lowest validation loss so far.")
    best_bits_per_byte: float | None = Field(description="That of the same evaluation.")
    training: list[CurvePoint] = Field(
        description=(
            f"The training loss; thinned to at most {CURVE_POINTS} points, each the mean of those"
            " that it stands for."
        )
    )
    validation: list[CurvePoint] = Field(
        description=f"Every evaluation, at most {CURVE_POINTS} of them."
    )
    samples: list[Sampled] = Field(
        description=f"Of the latest {SAMPLED} evaluations, the latest first."
    )
    scores: dict[str, float] = Field(description="All figures of the best evaluation, by name.")
    findings: list[CheckFinding] = Field(
        description="The audit that the run's folder keeps, of its best weights as they are now."
    )
    problem: str | None = Field(
        None, description="Why some of this cannot be told, if the run's folder cannot be read."
    )


@dataclass(frozen=True)
class RunLocation:
    """The paths of a run and of the comparison around it, found once when the server starts."""

    run: Path
    comparison: Path | None

    @classmethod
    def of(cls, run: Path) -> RunLocation:
        """Return the place of a run's folder; a comparison keeps runs up to four folders deep."""
        run = run.resolve()
        found = next((folder for folder in run.parents[:4] if (folder / FILE_NAME).is_file()), None)
        return cls(run, found)

    @property
    def page(self) -> Path | None:
        """The run's own page, if one was written; no link, which may lead anywhere."""
        path = self.run / PAGE
        return path if is_file(path) and not path.is_symlink() else None

    @property
    def report(self) -> Path | None:
        """The comparison's report, if one was written."""
        path = None if self.comparison is None else self.comparison / "report.html"
        return path if path is not None and path.is_file() else None


def run_facts(opened: RunDirectory, unit: str) -> RunFacts:
    """Read the facts of a run; what its folder no longer has is taken from the opened run.

    Args:
        opened: the run as the server opened it; its folder is read anew.
        unit: what its losses are counted in.
    """
    problem = None
    run, events = opened, []
    try:
        run = RunDirectory.open(opened.path)
        events = run.metrics()
    except InklingsError as error:
        problem = str(error)
    config = run.config
    evaluations = [event for event in events if event["event"] == "evaluation"]
    steps = [event for event in events if event["event"] == "step"]
    best = best_evaluation(events)
    timed = [event for event in events if "seconds" in event]
    return RunFacts(
        text=config.data.source,
        budget=(
            run.record.extensions[-1]["budget"] if run.record.extensions else config.training.budget
        ),
        state="training" if is_locked(run.path) else "done" if _ended(run, events) else "stopped",
        step=max((event["step"] for event in events if "step" in event), default=0),
        steps=run.record.steps,
        seconds=timed[-1]["seconds"] if timed else 0.0,
        unit=unit,
        best_loss=None if best is None else best["loss"],
        best_bits_per_byte=None if best is None else best.get("bits_per_byte"),
        training=_thinned([_point(event) for event in steps]),
        validation=_thinned([_point(event) for event in evaluations]),
        samples=[
            Sampled(step=event["step"], texts=event["texts"])
            for event in reversed(events)
            if event["event"] == "sample"
        ][:SAMPLED],
        scores={
            name: float(value)
            for name, value in (best or {}).items()
            if name not in ("step", "tokens", "seconds")
            and isinstance(value, int | float)
            and not isinstance(value, bool)
        },
        findings=[] if problem else _audited(run),
        problem=problem,
    )


def _audited(run: RunDirectory) -> list[CheckFinding]:
    """The findings of the audit that was kept, if it is of these weights and can be read."""
    with contextlib.suppress(InklingsError):
        for kept in reversed(kept_audits(run)):  # that on the validation split is the last
            if kept.is_current:
                return [
                    CheckFinding(**{name: found[name] for name in CheckFinding.model_fields})
                    for found in kept.document["findings"]
                ]
    return []


def compared_with(place: RunLocation, report: str) -> ComparedWith | None:
    """Return what the comparison around a run says.

    None where there is none, or where it cannot be read or knows nothing of the run.

    Args:
        place: of the run.
        report: under which path the report would be served.
    """
    if place.comparison is None:
        return None
    try:
        comparison = read_comparison(place.comparison)
    except InklingsError:
        return None
    arm = _arm_of(comparison, place)
    if arm is None:
        return None
    verdicts = [
        verdict
        for verdict in (comparison.verdict, comparison.sample_verdict)
        if verdict is not None
    ]
    return ComparedWith(
        arm=arm.label,
        arms=[other.label for other in comparison.arms],
        status=comparison.status,
        verdicts=[
            VerdictInWords(headline=verdict.headline, sentences=verdict.sentences)
            for verdict in verdicts
        ],
        findings=[
            CheckFinding(check=found.check, status=found.status, summary=found.summary)
            for found in arm.findings
        ],
        report=None if place.report is None else report,
    )


def _arm_of(comparison: Comparison, place: RunLocation) -> Any:
    assert place.comparison is not None
    for arm in [*comparison.arms, *comparison.smaller]:
        for result in arm.runs:
            runs = [result.run, *(point.run for point in result.points)]
            if any((place.comparison / run).resolve() == place.run for run in runs):
                return arm
    return None


def _ended(run: RunDirectory, events: Sequence[LoggedEvent]) -> bool:
    """Return whether its last session came to its end, and left nothing to do."""
    last = events[-1] if events else None
    if last is None or last["event"] != "end":
        return False
    stopped = None if last["stopped"] == "interrupted" else last["stopped"]
    return run.record.is_complete(TrainerState(step=last["step"], stopped=stopped))


def _point(event: StepEvent | EvaluationEvent) -> CurvePoint:
    return CurvePoint(
        step=event["step"],
        tokens=event["tokens"],
        seconds=event["seconds"],
        loss=event["loss"],
        bits_per_byte=event.get("bits_per_byte") if event["event"] == "evaluation" else None,
    )


def _thinned(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """Thin points to at most `CURVE_POINTS`.

    Each stands at the end of its share, with the mean loss of it.
    """
    if len(points) <= CURVE_POINTS:
        return list(points)
    parts: Iterable[np.ndarray] = np.array_split(np.arange(len(points)), CURVE_POINTS)
    return [
        points[int(part[-1])].model_copy(
            update={"loss": float(np.mean([points[int(index)].loss for index in part]))}
        )
        for part in parts
    ]
