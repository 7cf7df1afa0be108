"""What a comparison would take: runs, time on this machine, memory and disk. Nothing is trained.

A step of every arm is timed, on one thread, as its runs compute.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inklings.config import DataConfig
from inklings.events import OnEvent, silent, stage
from inklings.lab.comparison.arms import ResolvedArm
from inklings.lab.comparison.before_runs import work_ahead
from inklings.lab.comparison.request import settle_request
from inklings.lab.comparison.resume import begin, plan_before
from inklings.lab.comparison.runs import planned_runs, workers_for
from inklings.lab.comparison.settings import Method
from inklings.lab.shards.shard import WHOLE
from inklings.optimizers import OPTIMIZERS
from inklings.runs.arms import Arm
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
    """Of all its runs and trials, evaluations included."""


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
    """From the first search to the last run; audits, samples and the report come on top."""
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
    items = work_ahead(comparison, asked.contestants, WHOLE.share(jobs), out)
    count = workers_for(workers, jobs)
    found: list[ArmForecast] = []
    times: list[float] = []
    for contestant in asked.contestants:
        label = contestant.plan.label
        theirs = [item for item in items if item["arm"] == label]
        if contestant.config is None or contestant.kind != "trained" or not theirs:
            continue
        on_event(stage(f"timing {label}"))
        plan = plan_run(contestant.config, store=contestant.store)
        once = _training(plan) + _scoring(plan, contestant.store)
        times += [once * item["weight"] for item in theirs]
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
                seconds=sum(once * item["weight"] for item in theirs),
            )
        )
    return ComparisonForecast(
        arms=found,
        runs=sum(item["stage"] == "run" for item in items),
        trials=sum(arm.trials for arm in found),
        workers=count,
        seconds=max([*times, sum(times) / count], default=0.0),
        memory=count * max((arm.memory or 0 for arm in found), default=0),
        disk=sum(arm.disk for arm in found),
        free_disk=shutil.disk_usage(_nearest(out)).free,
    )


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
