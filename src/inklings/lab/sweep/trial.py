"""The work of a worker of a sweep: take a trial, draw its point, train it, report the outcome."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from inklings.errors import DiskError, InklingsError
from inklings.events import Event, OnEvent
from inklings.lab.comparison.result import RunResult
from inklings.lab.execution.prunable_run import TrialOutcome, attempt_trial
from inklings.lab.execution.run_arm import ArmRun, failed
from inklings.lab.report.arm_settings import say_value
from inklings.lab.sweep.optuna_library import library
from inklings.lab.sweep.space import apply
from inklings.lab.sweep.storage import MESSAGE, StudyLocation, alive, draw, opened
from inklings.runs.lock import is_locked
from inklings.text.store import TokenStore

PREFIX = "trial-"
"""Prefix of a run's folder; the trial's number follows."""
PLACE = "place"
"""The attribute of a trial with the folder of its run."""
ORPHAN_SECONDS = 30.0
"""Seconds to wait for a run whose process outlives the sweep that began it; it ends with its next
message.
"""


def number_of(run: Path) -> int:
    """Return the number of the trial whose run that is."""
    return int(run.name.removeprefix(PREFIX))


def attempt_point(job: ArmRun, on_event: OnEvent, *, place: StudyLocation) -> RunResult | None:
    """Do the trial that the task's run is named after, or go on with it.

    Args:
        job: the task.
        on_event: called with every event as it happens.
        place: where the trials are.

    Returns:
        A result: `done` if the storage knows how the trial ended, `not ranked` if the trial is
            another machine's, `failed` if it is still open (the disk is full, say). None if it was
            interrupted.
    """
    with opened(place) as (storage, study):
        return _attempt(job, on_event, place, storage, study)


def _attempt(
    job: ArmRun, on_event: OnEvent, place: StudyLocation, storage: Any, study: Any
) -> RunResult | None:
    assert job.config is not None
    number = number_of(job.run)
    trial_id = storage.get_trial_id_from_study_id_trial_number(
        storage.get_study_id_from_name(place.study), number
    )
    if not _claimed(storage, trial_id, place):
        return RunResult(seed=None, status="not ranked", run=job.run.name)
    trial, point = draw(study, trial_id, number, place)
    with alive(place, storage, trial_id):
        try:
            outcome = _outcome(job, place, TokenStore(job.store), trial, point, on_event)
        except DiskError as error:
            return failed(job, str(error.going_on("run the same command again")))
    if outcome is None:
        return None
    try:
        _tell(study, trial, outcome)
    except library(
        "a sweep"
    ).exceptions.UpdateFinishedTrialError:  # taken for lost, and begun anew elsewhere
        return RunResult(seed=None, status="not ranked", run=job.run.name)
    loss = outcome.losses[-1] if outcome.losses else None
    message = (
        f"given up after {len(outcome.losses)} evaluations"
        if outcome.status == "pruned"
        else outcome.message
    )
    return RunResult(seed=None, status="done", run=job.run.name, loss=loss, message=message)


def _claimed(storage: Any, trial_id: int, place: StudyLocation) -> bool:
    """Return whether the trial is ours: begun from this folder before, or claimed just now."""
    states = library("a sweep").trial.TrialState
    found = storage.get_trial(trial_id)
    if found.state == states.RUNNING:
        return not place.shared or found.user_attrs.get(PLACE) == str(place.out)
    if found.state != states.WAITING:
        return False
    if place.shared:
        trials = storage.get_all_trials(storage.get_study_id_from_name(place.study), deepcopy=False)
        if (
            sum(trial.state != states.WAITING and not is_lost(trial) for trial in trials)
            >= place.trials
        ):
            return False  # another machine was quicker
        storage.record_heartbeat(
            trial_id
        )  # before it is claimed: it shall not be lost with us in between
    if not storage.set_trial_state_values(trial_id, state=states.RUNNING):
        return False
    storage.set_trial_user_attr(trial_id, PLACE, str(place.out))
    return True


def is_lost(trial: Any) -> bool:
    """Return whether the trial was lost with its machine, and another one replaces it."""
    return (
        trial.state == library("a sweep").trial.TrialState.FAIL and MESSAGE not in trial.user_attrs
    )


def _outcome(
    job: ArmRun,
    place: StudyLocation,
    store: TokenStore,
    trial: Any,
    point: dict[str, Any],
    on_event: OnEvent,
) -> TrialOutcome | None:
    """Train the trial; if the point itself is wrong, that is its outcome, and the others go on."""
    assert job.config is not None
    reported = set(trial.study.trials[trial.number].intermediate_values)

    def judge(index: int, loss: float) -> bool:
        if index not in reported:
            trial.report(loss, index)
        return bool(trial.should_prune())

    waited = time.monotonic()
    while is_locked(job.run) and time.monotonic() - waited < ORPHAN_SECONDS:
        time.sleep(0.1)
    try:
        config = apply(job.config, point, rates=place.rates)
        tries = ", ".join(
            f"{name.rpartition('.')[2]} "
            + (f"{value:.3g}" if isinstance(value, float) else say_value(value))
            for name, value in point.items()
        )

        def of_trial(event: Event) -> None:
            event = event.copy()
            event["tries"] = tries
            on_event(event)

        return attempt_trial(config, job.run, store, judge=judge, on_event=of_trial)
    except DiskError:
        raise
    except InklingsError as error:
        return TrialOutcome(status="failed", losses=[], message=str(error))
    except library("a sweep").exceptions.OptunaError:
        raise
    except Exception as error:  # a fault of the architecture at this point of the space
        return TrialOutcome(status="failed", losses=[], message=f"{type(error).__name__}: {error}")


def _tell(study: Any, trial: Any, outcome: TrialOutcome) -> None:
    states = library("a sweep").trial.TrialState
    if outcome.status == "done":
        study.tell(trial, outcome.losses[-1])
    elif outcome.status == "pruned":
        study.tell(trial, state=states.PRUNED)
    else:
        trial.set_user_attr(MESSAGE, outcome.message)
        study.tell(trial, state=states.FAIL)
