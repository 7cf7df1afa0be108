"""What a comparison would take: runs, time on this machine, memory and disk. Nothing is trained.

A step of every arm is timed, on one thread, as its runs compute; so are steps of its probes. What
the audits of an arm take hangs on no one figure, so they are carried out.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from inklings.auditing.audit import after_training, audit, before_training
from inklings.auditing.subjects import NoiseSubject, of_architecture
from inklings.config import DataConfig
from inklings.events import OnEvent, silent, stage
from inklings.lab.comparison.arms import ResolvedArm
from inklings.lab.comparison.before_runs import (
    audits_ahead,
    probes_ahead,
    tell_failures,
    work_ahead,
)
from inklings.lab.comparison.request import settle_request
from inklings.lab.comparison.resume import begin, finished, plan_before
from inklings.lab.comparison.runs import planned_runs, workers_for
from inklings.lab.comparison.settings import Method
from inklings.lab.probes.probe import probe_seconds
from inklings.lab.shards.shard import WHOLE
from inklings.optimizers import OPTIMIZERS
from inklings.runs.arms import Arm
from inklings.text.documents import SplitName
from inklings.text.store import TokenStore
from inklings.training.objectives.validation import FORWARD, scored_targets
from inklings.training.plan import RunPlan, plan_run

FLOAT = 4
"""Bytes of a weight on disk."""


@dataclass(frozen=True, kw_only=True)
class ArmForecast:
    """The cost of one arm, still to be paid."""

    label: str
    parameters: int
    steps: int
    """Of a run of the whole budget."""
    tokens: int
    runs: int
    """That are still to be made."""
    trials: int
    """Of learning rates, each a run of the whole budget, if none is given up."""
    memory: int | None
    """Bytes of a run; None where that is not known beforehand."""
    disk: int
    """Bytes of the weights and checkpoints of its runs."""
    seconds: float
    """Of its audits, its probes, and all its runs and trials, evaluations included."""
    audits: float
    """Seconds of its audits, before training and of its first run."""
    probes: float
    """Seconds of its probes."""


@dataclass(frozen=True, kw_only=True)
class ComparisonForecast:
    """What a comparison would take."""

    arms: list[ArmForecast]
    """Those that are trained; smaller sizes are arms of their own."""
    runs: int
    """That are still to be made, counted and existing ones included."""
    trials: int
    workers: int
    """Processes side by side."""
    seconds: float
    """From the first audit to the last run; samples, counting, existing runs and the report come
    on top.
    """
    audits: float
    """Seconds of all audits, those of counted arms among them."""
    probes: float
    memory: int
    """Bytes of as many of the largest runs as there are processes."""
    disk: int
    free_disk: int
    """Bytes that are free where it would be written."""


def forecast(
    arms: Sequence[Arm],
    *,
    out: Path,
    seeds: Sequence[int],
    data: DataConfig | None = None,
    budget: str | None = None,
    method: Method | None = None,
    workers: int | None = None,
    trust_code: bool = False,
    on_event: OnEvent = silent,
) -> ComparisonForecast:
    """Forecast a comparison; what is done in `out` already is not counted again.

    Args:
        arms: as in `compare`; so are the others.
        out: its folder, to which nothing is written.
        seeds: of each arm.
        data: the text.
        budget: of each trained arm.
        method: how the arms are made comparable.
        workers: how many runs at a time.
        trust_code: of runs of other machines.
        on_event: called with every event as it happens.

    Raises:
        InputError: as `compare`.
    """
    asked = settle_request(
        arms,
        seeds=seeds,
        data=data,
        budget=budget,
        method=method or Method(),
        workers=workers,
        before=plan_before(out),
        trust_code=trust_code,
        on_event=on_event,
    )
    comparison = begin(out, asked.plan, asked.contestants, asked.store, asked.split, None)
    jobs = planned_runs(out, asked, comparison)
    share = WHOLE.share(jobs)
    items = work_ahead(comparison, asked.contestants, share, out)
    unaudited = audits_ahead(comparison, asked.contestants, share)
    done = finished(comparison, jobs)
    begin_here = {job.arm for job in jobs if job.first and (job.arm, job.seed) not in done}
    probes = {task.arm: task for task in probes_ahead(comparison, asked.contestants, share, out)}
    count = workers_for(workers, jobs)
    found: list[ArmForecast] = []
    in_front, times, audits = 0.0, list[float](), 0.0
    for contestant in asked.contestants:
        label = contestant.plan.label
        if contestant.config is None:
            continue
        before, after = audit_times(
            contestant,
            asked.split,
            before=label in unaudited,
            after=label in begin_here,
            on_event=on_event,
        )
        # those before training are done one after the other, in one process
        in_front, audits = in_front + before, audits + before + after
        theirs = [item for item in items if item["arm"] == label]
        if contestant.kind != "trained" or not theirs:
            times.append(after)
            continue
        on_event(stage(f"timing {label}"))
        plan = plan_run(contestant.config, store=contestant.store)
        probing = probe_seconds(probes[label].config) if label in probes else 0.0
        once = _training(plan) + _scoring(plan, contestant.store)
        trained = [once * item["weight"] for item in theirs]
        times += [*trained, after, probing]
        runs = sum(item["stage"] == "run" for item in theirs)
        found.append(
            ArmForecast(
                label=label,
                parameters=plan.parameters,
                steps=plan.steps,
                tokens=plan.tokens,
                runs=runs,
                trials=sum(item["trials"] for item in theirs if item["stage"] != "run"),
                memory=plan.memory,
                disk=runs * _disk(contestant, plan),
                seconds=before + after + probing + sum(trained),
                audits=before + after,
                probes=probing,
            )
        )
    return ComparisonForecast(
        arms=found,
        runs=sum(item["stage"] == "run" for item in items),
        trials=sum(arm.trials for arm in found),
        workers=count,
        seconds=in_front + max([*times, sum(times) / count], default=0.0),
        audits=audits,
        probes=sum(arm.probes for arm in found),
        memory=count * max((arm.memory or 0 for arm in found), default=0),
        disk=sum(arm.disk for arm in found),
        free_disk=shutil.disk_usage(_nearest(out)).free,
    )


def audit_times(
    contestant: ResolvedArm,
    split: SplitName,
    *,
    before: bool,
    after: bool,
    on_event: OnEvent,
) -> tuple[float, float]:
    """Audit an arm as a comparison does, and return the seconds before and after training.

    What it fails before training is told as a comparison tells it.

    Args:
        contestant: the arm.
        split: what runs are scored on.
        before: whether it is to be audited before training.
        after: whether a run of it is; random weights stand for the trained ones.
        on_event: called with every event.
    """
    assert contestant.config is not None, "it is not an existing run"
    if not (before or after):
        return 0.0, 0.0
    label = contestant.plan.label
    on_event(stage(f"timing the audits of {label}"))
    subject = of_architecture(label, contestant.config, contestant.store, split=split)
    began = perf_counter()
    if before:
        findings = audit(subject, only=before_training()).findings
        tell_failures(label, findings, on_event)
    between = perf_counter()
    if after:
        trained = (
            replace(subject, trained=subject.model)
            if isinstance(subject, NoiseSubject)
            else replace(subject, trained=subject.scrambled)
        )
        audit(trained, only=after_training())
    return between - began, perf_counter() - between


def _scoring(plan: RunPlan, store: TokenStore) -> float:
    """Return the seconds in which a run scores the validation split, as often as it does."""
    scored = scored_targets(store) * plan.config.training.evaluations
    return FORWARD * _training(plan) / max(1, plan.tokens) * scored


def _training(plan: RunPlan) -> float:
    assert plan.seconds is not None, "a plan for this machine is measured"
    return plan.seconds


def _disk(contestant: ResolvedArm, plan: RunPlan) -> int:
    """Return the bytes that a run leaves: its weights, and its latest and best checkpoints."""
    training = plan.config.training
    checkpoint = plan.parameters * (FLOAT + OPTIMIZERS[training.optimizer].state_bytes)
    weights = plan.parameters * FLOAT
    if not contestant.branches:
        return weights + checkpoint * (training.keep_checkpoints + 1)
    # every decayed one keeps its own, and the trunk one
    return len(contestant.branches) * (weights + 2 * checkpoint) + 2 * checkpoint


def _nearest(path: Path) -> Path:
    """Return the folder itself, or the nearest one above it that is there."""
    return next(folder for folder in (path.resolve(), *path.resolve().parents) if folder.is_dir())
