"""Branches of a stable run: runs of several budgets that share their first steps.

A stable run (`trunk` here) trains at a constant rate. With the schedule `wsd`, a run makes the same
steps as one with a larger budget until its rate begins to fall (Hu et al. 2024, "MiniCPM", section
4; Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations").
So one trunk and a short decay for each budget give what as many whole runs would give, to the same
bits: the settings of a branch are complete, and `train` with them makes the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from inklings.config import RunConfig, TrainingConfig
from inklings.durable import read_bytes, write_bytes, write_checked_json
from inklings.errors import RunError
from inklings.events import Event, OnEvent, silent
from inklings.runs import checkpoints
from inklings.runs.directory import METRICS, RunDirectory, RunManifest
from inklings.text.store import TokenStore
from inklings.training.schedules import warm_steps
from inklings.training.train import resume, train


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A run of one budget that leaves the trunk and decays."""

    share: float
    """Share of the whole budget."""
    leaves: int
    """The step of the trunk at which it begins."""
    steps: int
    """All its steps, those of the trunk included."""
    config: RunConfig
    """Settings of a run of this budget alone."""


def can_branch(training: TrainingConfig) -> bool:
    """Return whether runs with these settings can share a trunk.

    They can where the rate is constant before it falls, and only the budget decides when they end.
    """
    return training.schedule == "wsd" and not training.patience


def plan_branches(config: RunConfig, steps: int, count: int) -> list[Branch]:
    """Plan the budgets of a run: the whole, its half, the half of that, and so on; smallest first.

    Those too small to decay are left out. All have the warm-up of the whole run, in steps, and
    decay over the same share of their own.

    Args:
        config: settings of the whole run.
        steps: of the whole run.
        count: how many budgets, at most.
    """
    training = config.training
    warmup = warm_steps(training.warmup, steps)
    found = []
    for halvings in range(count):
        own = round(steps / 2**halvings)
        leaves = max(warmup, int(training.decay_from * own))
        if own < 2 or leaves >= own:
            break
        whole = own == steps
        made = replace(
            training,
            budget=training.budget if whole else f"{own}-steps",
            warmup=training.warmup if whole else float(warmup),
            evaluations=1,
            samples=training.samples if whole else 0,
            keep_checkpoints=1,
        )
        found.append(
            Branch(
                share=1 / 2**halvings,
                leaves=leaves,
                steps=own,
                config=replace(config, training=made),
            )
        )
    return found[::-1]


def trunk_config(config: RunConfig, branches: list[Branch], steps: int) -> RunConfig:
    """Return the settings of the trunk, up to where its first branch leaves; later it is extended.

    It is evaluated about as often, over its length, as the run alone would be: each extension looks
    at the newer half.

    Args:
        config: settings of the whole run.
        branches: what `plan_branches` gave.
        steps: of the whole run.
    """
    training = config.training
    made = replace(
        training,
        budget=f"{branches[0].leaves}-steps",
        schedule="constant",
        warmup=float(warm_steps(training.warmup, steps)),
        evaluations=max(1, round(2 * training.evaluations / (len(branches) + 1))),
        samples=0,
        keep_checkpoints=1,
    )
    return replace(config, training=made)


def branch_off(trunk: RunDirectory, run: Path, branch: Branch) -> RunDirectory:
    """Make a run at `run` from the checkpoint where the branch leaves the trunk.

    `resume` then continues it. It is made whole or not at all.

    Args:
        trunk: the stable run.
        run: the new directory.
        branch: the budget that it serves.

    Raises:
        RunError: the trunk has no checkpoint of that step, or something is at `run`.
    """
    source = checkpoints.checkpoint_path(trunk.path, branch.leaves)
    if not source.is_dir():
        raise RunError(
            f"{trunk.path} has no checkpoint of step {branch.leaves}, where {run} would leave it."
            " Remove both; they are made anew."
        )
    resolved = trunk.config.training
    asked = branch.config.training
    settings = replace(
        resolved,
        budget=asked.budget,
        schedule=asked.schedule,
        warmup=asked.warmup,
        evaluations=asked.evaluations,
        samples=asked.samples,
        keep_checkpoints=asked.keep_checkpoints,
    )
    record = replace(
        trunk.record,
        config=replace(trunk.config, training=settings),
        given=branch.config,
        steps=branch.steps,
        extensions=[],
    )
    before = checkpoints.read_progress(source)
    events = read_bytes(trunk.path / METRICS)[: before.metrics_length]

    def first_checkpoint(path: Path, record: RunManifest) -> None:
        if [kept["sha256"] for kept in record.code] != [
            kept["sha256"] for kept in trunk.record.code
        ]:
            raise RunError(
                f"{branch.config.architecture} was changed since {trunk.path} began. Put it back,"
                " or compare in another folder."
            )
        write_bytes(path / METRICS, events)
        place = checkpoints.checkpoint_path(path, branch.leaves)
        place.mkdir(parents=True)
        _, *files = checkpoints.checkpoint_files(source)
        for file in files:
            write_bytes(place / file.name, read_bytes(file))
        # the best so far was not decayed, so it is no rival
        progress = replace(
            before, best_loss=None, best_step=None, evaluations_since_best=0, stopped=None
        )
        write_checked_json(place / checkpoints.PROGRESS, vars(progress))

    return RunDirectory.create(
        run,
        record,
        tokenizer=trunk.tokenizer(),
        environment=trunk.environment,
        first_checkpoint=first_checkpoint,
    )


def train_branches(
    config: RunConfig,
    steps: int,
    branches: list[Branch],
    *,
    trunk: Path,
    place: Callable[[Branch], Path],
    store: TokenStore | None = None,
    on_event: OnEvent = silent,
) -> bool:
    """Train the trunk and all branches, or go on with them.

    Return False if that was interrupted; the same call then goes on.

    Args:
        config: settings of the whole run.
        steps: of the whole run.
        branches: what `plan_branches` gave.
        trunk: the run directory of the trunk.
        place: gives the run directory of a branch.
        store: the text, if it is prepared already.
        on_event: called with every event as it happens.

    Raises:
        RunError: a run that is there has other settings.
        InputError, DivergedError, DiskError: as in `train`.
    """
    begin = trunk_config(config, branches, steps)
    told = _AsOne(branches, on_event)
    for branch in branches:
        run = place(branch)
        if not exists(run):
            if not _grow(trunk, begin, branch.leaves, store, told):
                return False
            branch_off(RunDirectory.open(trunk), run, branch)
        check_settings(run, branch.config)
        if resume(run, store=store, on_event=told).stopped == "interrupted":
            return False
        told.has_ended(branch)
    return True


class _AsOne:
    """A listener that passes on the events of the trunk and its branches as those of one run.

    There is one start, one end, and steps that count up.
    """

    def __init__(self, branches: list[Branch], on_event: OnEvent) -> None:
        self._on_event = on_event
        self._total = branches[-1].leaves + sum(branch.steps - branch.leaves for branch in branches)
        self._decayed = 0
        self._started = False

    def has_ended(self, branch: Branch) -> None:
        """Note that a branch is done: what comes next is of the trunk, or of the next branch."""
        self._decayed += branch.steps - branch.leaves

    def __call__(self, event: Event) -> None:
        if "step" in event:
            event = event.copy()
            event["step"] += self._decayed
        if event["event"] == "start":
            if self._started:
                return
            self._started = True
            event["steps"] = self._total
        elif (
            event["event"] == "end"
            and event["step"] != self._total
            and event["stopped"] != "interrupted"
        ):
            return
        self._on_event(event)


def _grow(
    trunk: Path, begin: RunConfig, steps: int, store: TokenStore | None, on_event: OnEvent
) -> bool:
    """Train the trunk up to a step; return False if that was interrupted."""
    if not exists(trunk):
        result = train(begin, trunk, store=store, on_event=on_event)
        if result.stopped == "interrupted":
            return False
    check_settings(trunk, begin)
    longer = steps > RunDirectory.open(trunk).record.steps
    return (
        resume(
            trunk, budget=f"{steps}-steps" if longer else None, store=store, on_event=on_event
        ).stopped
        != "interrupted"
    )


def exists(run: Path) -> bool:
    """Return whether there is anything at a run's place."""
    return run.is_dir() and any(run.iterdir())


def check_settings(run: Path, config: RunConfig) -> None:
    """Raise a `RunError` if a run was made with other settings."""
    if RunDirectory.open(run).record.given != config:
        raise RunError(
            f"{run} is a run with other settings than are asked for now. Move it away, or choose"
            " another place."
        )
