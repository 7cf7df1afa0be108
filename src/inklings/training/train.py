"""`train` and `resume`: from settings to a run directory, and on from there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch

from inklings.config import RunConfig
from inklings.device import choose_runtime, environment, threads_of
from inklings.durable import disk_errors, sync_directory
from inklings.errors import ConfigError, DiskError, RunError, TokenizerError
from inklings.events import EndEvent, OnEvent, StartEvent, note, silent, stage
from inklings.models.contract import Architecture, parameter_count
from inklings.runs import checkpoints
from inklings.runs.checkpoints import HeldCheckpoint, TrainerState
from inklings.runs.directory import CONFIG, METRICS, RunDirectory, RunManifest, refuse_existing
from inklings.runs.interruption import Interruption
from inklings.runs.lock import locked
from inklings.runs.metrics import MetricsLog, lost_events
from inklings.runs.own_text import data_hash, own_store
from inklings.text.store import TokenStore
from inklings.training.agreeing import check_same_code, check_sees, check_shares
from inklings.training.budgets.budget import parse_budget
from inklings.training.budgets.unit import UNITS, StepCost
from inklings.training.find_batch_size import memory_errors
from inklings.training.loop import Loop
from inklings.training.objectives.base import make_objective
from inklings.training.setup import Setup, set_up
from inklings.training.training_result import TrainingResult, result_of
from inklings.world import ALONE, World


def train(
    config: RunConfig,
    run: Path | str,
    *,
    on_event: OnEvent = silent,
    store: TokenStore | None = None,
    initial: Path | str | None = None,
    extend_vocabulary: bool = False,
    trust_code: bool = False,
    world: World = ALONE,
) -> TrainingResult:
    """Train a new run.

    Args:
        config: its settings.
        run: where it is kept; nothing may be there.
        on_event: called with every event as it happens.
        store: the text, if it is prepared already; it must be what `config.data` describes.
        initial: begin with the best weights, the tokenizer and the settings of the model of this
            run.
        extend_vocabulary: take characters of the training part that the tokenizer of `initial`
            lacks into it.
        trust_code: whether the Python code of `initial` may be run although another user or machine
            made it.
        world: the processes that train it together, each of which makes this call.

    Raises:
        InputError: something in the settings cannot be used.
        DivergedError: the loss or the gradient is no longer finite.
        DiskError: the run cannot be written; what is there goes on from its last checkpoint.
        OutOfMemoryError: a step does not fit into memory; the message names what would.
    """
    run = Path(run)
    on_event = on_event if world.leads else silent
    if world.leads:
        refuse_existing(run)
    check_same_code(world, config)
    with memory_errors(config):
        setup = set_up(
            config,
            store=store,
            initial=None if initial is None else Path(initial),
            extend_vocabulary=extend_vocabulary,
            on_event=on_event,
            trust_code=trust_code,
            world=world,
        )
        with (
            Interruption()
        ):  # from here on there is a run, and whoever interrupts is told how to go on with it
            world.led(lambda: _create(run, setup))
            check_sees(world, run / CONFIG)
            directory = RunDirectory.open(run)
            with _held(run, world), resumable(run):
                progress = checkpoints.read_progress(checkpoints.checkpoint_path(run, 0))
                return _go_on(
                    directory,
                    setup.store,
                    setup.model,
                    progress,
                    held=HeldCheckpoint(),
                    notes=setup.notes,
                    on_event=on_event,
                    world=world,
                )


def resume(
    run: Path | str,
    *,
    budget: str | None = None,
    on_event: OnEvent = silent,
    store: TokenStore | None = None,
    trust_code: bool = False,
    world: World = ALONE,
) -> TrainingResult:
    """Go on with a run from its last checkpoint, to the same bits as if it had not stopped.

    A complete one is left as it is.

    Args:
        run: its directory.
        budget: a new budget for the whole run, larger than what it has; the schedule is computed
            anew for it.
        on_event: called with every event as it happens.
        store: the text, if it is prepared already.
        trust_code: whether the run's Python code may be run although another user or machine made
            it.
        world: the processes that train it together, each of which makes this call. They may be more
            or fewer than those that began it: then it goes on to the same losses, but for rounding.

    Raises:
        RunError: there is no such run, it is damaged, its text changed, or another process trains
            it.
        ConfigError: the budget is not larger, or cannot be read.
        DivergedError, DiskError, OutOfMemoryError: as in `train`.
    """
    run = Path(run)
    on_event = on_event if world.leads else silent
    if world.leads:
        RunDirectory.open(run)  # what is wrong with it, process 0 says
    check_sees(world, run / CONFIG)
    directory = RunDirectory.open(run)
    check_same_code(world, directory.config)
    with _held(run, world), resumable(run), memory_errors(directory.config):
        # what process 0 checks it also uses; of weights that are cut up it uses a part alone, and
        # all of them may not fit into its memory
        held = HeldCheckpoint()
        check = checkpoints.check_checkpoint if world.sharded else held.read

        def last_sound() -> tuple[int, list[str]]:
            step, problems = checkpoints.latest_sound_checkpoint(run, check)
            progress = checkpoints.read_progress(checkpoints.checkpoint_path(run, step))
            _tidy(directory, progress)
            if budget is not None:
                _extend(directory, budget, progress, store, trust_code=trust_code)
            return step, problems

        step, problems = world.led(last_sound)
        check_sees(world, checkpoints.checkpoint_path(run, step))
        progress = checkpoints.read_progress(checkpoints.checkpoint_path(run, step))
        directory = RunDirectory.open(run)  # which may have been extended
        if directory.record.is_complete(progress):
            return result_of(run, progress)
        progress = replace(
            progress,
            stopped=None,
            evaluations_since_best=0 if progress.stopped else progress.evaluations_since_best,
        )
        if store is None:
            store = world.first(lambda: own_store(directory, on_event=on_event))
        _check_text(directory, store)
        model = directory.build_model(trust_code=trust_code)
        check_shares(world, model, directory.config.training)
        if not world.sharded:  # else each reads its part, when they are cut up
            _read_weights(directory, model, step, held)
        choose_runtime(directory.config.training)  # the run's device must be there
        notes = tuple(f"{problem} The run goes on from step {step}." for problem in problems)
        lost = lost_events(run / METRICS, length=progress.metrics_length)
        if lost is not None:
            notes += (
                (
                    f"{lost} The run goes on without the events that are lost: its curves will lack"
                    " them, its weights are whole."
                ),
            )
        return _go_on(
            directory,
            store,
            model.to(directory.runtime.device),
            progress,
            held=held,
            notes=notes,
            on_event=on_event,
            world=world,
        )


@contextlib.contextmanager
def _held(run: Path, world: World) -> Iterator[None]:
    """Hold the lock of a run within the block: process 0 does for all."""
    with locked(run) if world.leads else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def resumable(run: Path) -> Iterator[None]:
    """Make a disk error within the block say how the run can be resumed."""
    try:
        yield
    except DiskError as error:
        raise error.going_on(f"go on with: inklings resume {run}") from error


def _create(run: Path, setup: Setup) -> None:
    """Write the run to disk, with the initial weights as the checkpoint of step 0."""

    def first_checkpoint(path: Path, record: RunManifest) -> None:
        weights = setup.model.state_dict()
        checkpoints.write_checkpoint(
            path, TrainerState(), weights, {}, architecture=record.config.architecture
        )

    facts = {
        **environment(),
        "runtime": asdict(setup.runtime),
        "store": str(setup.store.path.resolve()),
    }
    RunDirectory.create(
        run,
        setup.record,
        tokenizer=setup.store.tokenizer,
        environment=facts,
        first_checkpoint=first_checkpoint,
    )


def _extend(
    directory: RunDirectory,
    budget: str,
    progress: TrainerState,
    store: TokenStore | None,
    *,
    trust_code: bool,
) -> RunDirectory:
    """Return the run with the steps that a new total budget pays for."""
    record = directory.record
    tokens = record.tokens_per_step

    def seconds() -> float:
        if record.seconds_per_step is None:
            others = ", ".join(unit.name for unit in UNITS if not unit.timed)
            raise ConfigError(
                f"how long a step of {directory.path} takes was not measured. Give its budget in"
                f" another unit: {others}."
            )
        return record.seconds_per_step

    def flops() -> int:
        return directory.build_model(trust_code=trust_code).flops(tokens)

    def epoch() -> int:
        return (store or own_store(directory)).split("train").n_targets

    steps = parse_budget(budget).steps(StepCost(tokens, epoch, flops, seconds))
    if steps == record.steps and record.extensions and record.extensions[-1]["budget"] == budget:
        return directory  # the same command again, after an interruption
    if steps <= record.steps:
        raise ConfigError(
            f"the budget {budget} pays for {steps} steps in all, and {directory.path} has"
            f" {record.steps} already ({progress.step} made). Give a larger total, such as"
            f" {2 * record.steps}-steps."
        )
    return directory.extended(budget=budget, steps=steps, from_step=progress.step)


def _check_text(directory: RunDirectory, store: TokenStore) -> None:
    if store.tokenizer.hash != directory.record.tokenizer:
        raise TokenizerError(
            f"the text was prepared with another tokenizer than that of {directory.path}. Prepare"
            " it with the run's own."
        )
    if data_hash(store) != directory.record.data:
        raise RunError(
            f"the text {directory.config.data.source} is not what it was when {directory.path}"
            " began, so the run cannot go on exactly. Bring the text back, or train a new run on"
            f" the new text: `inklings train ARM --from {directory.path}`."
        )


def _go_on(
    directory: RunDirectory,
    store: TokenStore,
    model: Architecture,
    progress: TrainerState,
    *,
    held: HeldCheckpoint,
    notes: tuple[str, ...],
    on_event: OnEvent,
    world: World,
) -> TrainingResult:
    """Train from `progress`, with the model's weights, until the run is complete or interrupted."""
    run, record, runtime = directory.path, directory.record, directory.runtime
    objective = make_objective(model, store.split("train"), record.config, runtime, world)
    if world.sharded:
        _read_weights(directory, model, progress.step, held)
    path = checkpoints.checkpoint_path(run, progress.step)
    objective.load(checkpoints.read_objective(path, objective.cut_as, held))
    with (
        Interruption() as interruption,
        # of several processes one writes; what the others would write goes nowhere
        MetricsLog(
            run / METRICS if world.leads else Path(os.devnull), length=progress.metrics_length
        ) as log,
        threads_of(runtime),
        torch.random.fork_rng(devices=[]),
    ):
        for text in notes:
            on_event(note(text))
        start: StartEvent = {
            "event": "start" if progress.step == 0 else "resume",
            "step": progress.step,
            "steps": record.steps,
            "parameters": parameter_count(model),
            "receptive_field": model.receptive_field,
            "tokens_per_step": record.tokens_per_step,
            "epoch_tokens": 0 if record.steps == 0 else store.split("train").n_targets,
            "runtime": asdict(runtime),
            "notes": list(notes),
        }
        log.append(start)
        on_event({**start, "event": "start"})
        if runtime.compile:
            on_event(stage("compiling: the first step takes longest"))
        loop = Loop(
            run,
            record,
            store,
            model,
            objective,
            progress=progress,
            log=log,
            on_event=on_event,
            interruption=interruption,
            world=world,
        )
        complete = loop.run()
        result = result_of(run, loop.progress, interrupted=not complete)
        end: EndEvent = {
            "event": "end",
            "step": result.steps,
            "tokens": result.tokens,
            "seconds": result.seconds,
            "stopped": result.stopped,
        }
        log.append(end)
        on_event(end)
    return result


def _read_weights(
    directory: RunDirectory, model: Architecture, step: int, held: HeldCheckpoint
) -> None:
    path = checkpoints.checkpoint_path(directory.path, step) / checkpoints.WEIGHTS
    checkpoints.read_model(path, model, architecture=directory.config.architecture, held=held)


def _tidy(directory: RunDirectory, progress: TrainerState) -> None:
    """Bring the run back to its last sound checkpoint.

    Damaged later ones are removed, the best weights are those of that moment, and what a killed
    process left half-written is removed.
    """
    run = directory.path
    for step in checkpoints.checkpoint_steps(run):
        if step > progress.step:
            checkpoints.remove_checkpoint(checkpoints.checkpoint_path(run, step))
    if checkpoints.published_step(run) != progress.best_step:
        if progress.best_step is None:
            (run / checkpoints.WEIGHTS).unlink(missing_ok=True)
            with disk_errors(run):
                sync_directory(run)
        else:
            checkpoints.publish_weights(run, progress.best_step)
    checkpoints.prune_checkpoints(
        run, keep=directory.config.training.keep_checkpoints, best_step=progress.best_step
    )
    for leftover in (*run.glob(".*.tmp"), *run.glob("samples/.*.tmp")):
        leftover.unlink(missing_ok=True)
