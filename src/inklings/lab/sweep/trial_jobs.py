"""The trials of a sweep on this machine: which to do, and what becomes of those that die."""

from __future__ import annotations

import shutil
from collections import Counter
from functools import partial
from typing import Any

from inklings.config import RunConfig
from inklings.device import choose_runtime, usable_cores
from inklings.events import OnEvent, WorkItem, note
from inklings.lab.execution.processes import TaskHandler, do_jobs
from inklings.lab.execution.run_arm import ArmRun, failed
from inklings.lab.sweep.optuna_library import library
from inklings.lab.sweep.storage import (
    MESSAGE,
    StudyLocation,
    recover_lost,
)
from inklings.lab.sweep.trial import PLACE, PREFIX, attempt_point, is_lost, number_of
from inklings.runs.interruption import Interruption
from inklings.text.store import TokenStore

ATTEMPTS = 2
"""A trial whose process dies this often is given up: it most likely takes more memory than there
is.
"""


def do_trials(
    base: RunConfig,
    place: StudyLocation,
    store: TokenStore,
    workers: int | None,
    report: OnEvent,
    storage: Any,
    study: Any,
) -> bool:
    """Do trials until enough are finished; return False if that was interrupted.

    Args:
        base: the settings that all trials share.
        place: where the trials are.
        store: the text.
        workers: how many at a time; None is one a core.
        report: called with every event.
        storage: Optuna's.
        study: Optuna's.
    """
    died: Counter[int] = Counter()
    while jobs := _jobs(base, place, store, study):
        reasons: dict[int, str] = {}
        results = 0
        count = min(workers or _cores(base), len(jobs))
        items: list[WorkItem] = [
            {"run": job.name, "arm": "", "stage": "trial", "weight": 1.0, "trials": 1}
            for job in jobs
        ]
        report({"event": "work", "items": items, "workers": count})
        with Interruption() as interruption:
            for job, result in do_jobs(
                jobs,
                TaskHandler(partial(attempt_point, place=place), failed),
                workers=count,
                on_event=report,
            ):
                results += 1
                if result.status == "failed":
                    reasons[number_of(job.run)] = result.message or ""
                report({"event": "result", "run": job.arm, "loss": result.loss})
                if result.message:
                    report(note(f"{job.arm}: {result.message}"))
                remove_runs(place, study)
                if interruption.asked and count == 1:
                    # it came while a trial ended; several workers are asked to stop one by one
                    break
        if results < len(jobs):
            return False
        for number, reason in reasons.items():
            died[number] += 1
            if died[number] >= ATTEMPTS:
                _give_up(place, storage, number, reason)
    return True


def _jobs(base: RunConfig, place: StudyLocation, store: TokenStore, study: Any) -> list[ArmRun]:
    """Yield a job for each trial that is to be done here.

    Those begun in this folder come first, then those not begun anywhere.
    """
    if place.shared:
        recover_lost(study)
    states = library("a sweep").trial.TrialState
    trials = [trial for trial in study.get_trials(deepcopy=False) if not is_lost(trial)]
    for _ in range(place.trials - len(trials)):
        study.enqueue_trial({})
    trials = [trial for trial in study.get_trials(deepcopy=False) if not is_lost(trial)]
    ours = [
        trial
        for trial in trials
        if trial.state == states.RUNNING
        and (not place.shared or trial.user_attrs.get(PLACE) == str(place.out))
    ]
    waiting = [trial for trial in trials if trial.state == states.WAITING]
    left = place.trials - (len(trials) - len(waiting) - len(ours))
    return [
        ArmRun(
            arm=f"trial {trial.number}",
            seed=None,
            config=base,
            out=place.out,
            run=place.out / "runs" / f"{PREFIX}{trial.number}",
            results=f"results/{trial.number}",
            store=store.path,
            split="validation",
            first=False,
        )
        for trial in [*ours, *waiting][: max(0, left)]
    ]


def _give_up(place: StudyLocation, storage: Any, number: int, reason: str) -> None:
    """Record as failed a trial that cannot be brought to an end."""
    trial_id = storage.get_trial_id_from_study_id_trial_number(
        storage.get_study_id_from_name(place.study), number
    )
    if not storage.get_trial(trial_id).state.is_finished():
        storage.set_trial_user_attr(trial_id, MESSAGE, reason)
        storage.set_trial_state_values(trial_id, state=library("a sweep").trial.TrialState.FAIL)


def remove_runs(place: StudyLocation, study: Any) -> None:
    """Remove the runs of trials that ended, but for the best.

    Their losses are in the storage, and weights take room.
    """
    trials = {
        trial.number: trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished()
    }
    complete = library("a sweep").trial.TrialState.COMPLETE
    done = [trial for trial in trials.values() if trial.state == complete]
    best = min(done, key=lambda trial: (trial.value, trial.number)).number if done else None
    for run in (place.out / "runs").glob(f"{PREFIX}*"):
        if number_of(run) in trials and number_of(run) != best:
            shutil.rmtree(run, ignore_errors=True)


def _cores(base: RunConfig) -> int:
    """Return how many trials at a time."""
    if choose_runtime(base.training).device != "cpu":
        return 1
    return usable_cores()
