"""Checkpoints: everything that training needs to go on.

`checkpoints/step_N/` holds the weights, the optimiser's state and the progress; it is whole or
absent. With it, training goes on to the same bits as if it had never stopped. No random state is
saved: batches and dropout are functions of (seed, step).

Where weights are cut up among processes, each writes what it holds of them (`tensors/parts.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from inklings.cut_tensors import as_cut, own_rows
from inklings.durable import (
    disk_errors,
    new_directory,
    read_checked_json,
    write_checked_json,
)
from inklings.errors import RunError
from inklings.models.contract import Architecture
from inklings.runs.tensors.checked_files import check_tensors, write_tensors
from inklings.runs.tensors.parts import (
    SavedTensors,
    check_saved,
    open_tensors,
    read_ahead,
    saved_files,
    write_index,
    write_part,
    write_whole,
)
from inklings.runs.tensors.ties import saved_ties, shared_names, untied
from inklings.values import from_file
from inklings.world import ALONE, World

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
PROGRESS = "progress.json"

Stopped = Literal["budget", "patience"]


@dataclass(frozen=True, kw_only=True)
class TrainerState:
    """The progress of a run: with the two files of tensors, all that it needs to go on."""

    step: int = 0
    """Steps made so far."""
    tokens: int = 0
    """Target tokens trained on."""
    seconds: float = 0.0
    """Wall time of the training steps, over all sessions."""
    best_loss: float | None = None
    """Lowest validation loss so far; of a generator without likelihood, the lowest divergence."""
    best_step: int | None = None
    """The step that had the best loss."""
    evaluations_since_best: int = 0
    validation_loss: float | None = None
    """Loss of the latest evaluation."""
    pending_losses: list[float] = field(default_factory=list)
    """Losses of the steps since the last line of metrics."""
    metrics_length: int = 0
    """Bytes of metrics.jsonl at this point."""
    metrics_sha256: str | None = None
    """Hash of these bytes; None in a run from before it was kept."""
    unit: str = "nats per token"
    """The unit of both losses."""
    stopped: Stopped | None = None
    """Why the run is complete, if it is."""
    evaluation_due: bool = False
    """Whether the run was interrupted in the evaluation of this step, which has to be made."""
    first_loss: float | None = None
    """Loss of the first step; for a generator without likelihood, of the first evaluation. None in
    runs from before it was kept.
    """
    doubt: str | None = None
    """Why the loss that the run ended with means little, if it does (`doubt.py`)."""


def checkpoint_path(run: Path, step: int) -> Path:
    """Return the path of a step's checkpoint."""
    return run / "checkpoints" / f"step_{step}"


def checkpoint_steps(run: Path) -> list[int]:
    """Return the steps that have a checkpoint, ascending."""
    found = (
        re.fullmatch(r"step_([0-9]+)", path.name) for path in (run / "checkpoints").glob("step_*")
    )
    return sorted(int(match[1]) for match in found if match)


def write_checkpoint(
    run: Path,
    progress: TrainerState,
    weights: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    *,
    architecture: str,
    world: World = ALONE,
) -> None:
    """Write the checkpoint of `progress.step`, atomically.

    Of several processes, each makes this call. Process 0 writes what all of them have, each what it
    alone has; when all are done, process 0 gives the checkpoint its name.

    Args:
        run: the run directory.
        progress: how far the run is; that of process 0 counts.
        weights: of the model, as its `state_dict` has them.
        tensors: the state of the objective.
        architecture: the name of the model's architecture.
        world: the processes.

    Raises:
        DiskError: it cannot be written; there is nothing of it then.
        LostProcessError: another process could not write its part.
    """
    path = checkpoint_path(run, progress.step)
    about = {"architecture": architecture, "step": str(progress.step)}
    weights, ties = untied(weights)
    files = ((WEIGHTS, weights, {**about, **ties}), (OPTIMIZER, tensors, {"step": about["step"]}))
    with contextlib.ExitStack() as stack:

        def begin() -> str:
            if path.exists():
                # from before a resume that went further back, because a newer checkpoint was
                # damaged; or the end of an extended run
                remove_checkpoint(path)
            return str(stack.enter_context(new_directory(path)))

        def write() -> list[dict[str, Any]]:
            if world.sharded:
                return [
                    write_part(folder / name, state, facts, part=world.rank, count=world.size)
                    for name, state, facts in files
                ]
            if world.leads:
                for name, state, facts in files:
                    write_tensors(folder / name, state, facts)
            return []

        def end() -> None:
            if any(parts):
                for (name, _, facts), *written in zip(files, *parts, strict=True):
                    write_index(folder / name, written, facts)
            write_checked_json(folder / PROGRESS, dataclasses.asdict(progress))
            stack.close()

        folder = Path(world.led(begin))
        parts = world.together(write)
        world.led(end)


def write_progress(run: Path, progress: TrainerState) -> None:
    """Write the progress of a step whose checkpoint is there: its tensors are as they were.

    Raises:
        DiskError: it cannot be written; the progress from before is there then.
    """
    path = checkpoint_path(run, progress.step) / PROGRESS
    write_checked_json(path, dataclasses.asdict(progress))


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint.

    It is renamed first, so that a part of one never looks like one.
    """
    with disk_errors(path):
        doomed = path.with_name(f".{path.name}.old.tmp")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed)


def prune_checkpoints(run: Path, *, keep: int, best_step: int | None) -> None:
    """Remove all but the best and the last checkpoints, and what killed processes left.

    Args:
        run: the run directory.
        keep: how many of the last ones stay.
        best_step: the step of the best one; None if there is none.
    """
    steps = checkpoint_steps(run)
    for step in steps[:-keep]:
        if step != best_step:
            remove_checkpoint(checkpoint_path(run, step))
    for leftover in (run / "checkpoints").glob(".*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


def read_progress(path: Path) -> TrainerState:
    """Return the progress of a checkpoint.

    Raises:
        RunError: it is missing, damaged, or from a newer format.
    """
    progress = from_file(TrainerState, read_checked_json(path / PROGRESS), path / PROGRESS)
    if path.name != f"step_{progress.step}":
        raise RunError(f"{path / PROGRESS} does not belong there: it is of step {progress.step}.")
    return progress


def checkpoint_files(path: Path) -> list[Path]:
    """Return the files of a checkpoint, the progress first."""
    return [path / PROGRESS, *saved_files(path / WEIGHTS), *saved_files(path / OPTIMIZER)]


def check_checkpoint(path: Path) -> list[str]:
    """Read every byte of a checkpoint and return what is wrong; an empty list if nothing is."""
    problems = []
    try:
        read_progress(path)
    except RunError as error:
        problems.append(str(error))
    return [*problems, *check_saved(path / WEIGHTS), *check_saved(path / OPTIMIZER)]


class HeldCheckpoint:
    """A checkpoint that was read and checked in one go, held until its tensors are asked for.

    Empty until then, and after: who finds nothing here reads the files.
    """

    def __init__(self) -> None:
        self._held: dict[str, SavedTensors] = {}

    def read(self, path: Path) -> list[str]:
        """Read every byte of a checkpoint once; return what is wrong, as `check_checkpoint`."""
        try:
            read_progress(path)
            self._held = {name: read_ahead(path / name) for name in (WEIGHTS, OPTIMIZER)}
        except RunError as error:
            return check_checkpoint(path) or [str(error)]
        return []

    def opened(self, path: Path) -> AbstractContextManager[SavedTensors]:
        """Hand over the tensors of a file, or open it."""
        held = self._held.pop(path.name, None)
        return open_tensors(path) if held is None else contextlib.nullcontext(held)


def latest_sound_checkpoint(
    run: Path, check: Callable[[Path], list[str]] = check_checkpoint
) -> tuple[int, list[str]]:
    """Return the last step whose checkpoint is whole, and what is wrong with later ones.

    Args:
        run: the run directory.
        check: returns what is wrong with a checkpoint.

    Raises:
        RunError: there is none.
    """
    problems: list[str] = []
    for step in reversed(checkpoint_steps(run)):
        found = check(checkpoint_path(run, step))
        if not found:
            return step, problems
        problems += found
    raise RunError(
        " ".join(
            [
                f"{run} has no checkpoint that is whole.",
                *problems,
                "Train it anew: `inklings train ARM --run NEW`.",
            ]
        )
    )


def write_model(path: Path, model: Architecture, *, architecture: str, step: int) -> None:
    """Write the weights and buffers of a model; tied weights once, with a note of who shares them.

    Args:
        path: the file.
        model: the model.
        architecture: the name of its architecture.
        step: the step that the weights are of.
    """
    weights, ties = untied(model.state_dict())
    write_tensors(path, weights, {"architecture": architecture, "step": str(step), **ties})


def read_model(
    path: Path, model: Architecture, *, architecture: str, held: HeldCheckpoint | None = None
) -> int:
    """Load weights that `write_model` wrote, or a checkpoint has; return the step they are of.

    Of weights that are cut up among processes, each reads its own part.

    Args:
        path: the file; its parts may lie in its place.
        model: changed in place.
        architecture: the name that the file must give.
        held: of the checkpoint, where it was read already.

    Raises:
        RunError: the file is damaged, a pickle, from a newer format, or of another architecture.
    """
    with (held or HeldCheckpoint()).opened(path) as saved:
        metadata = saved.metadata
        if metadata.get("architecture") != architecture:
            raise RunError(
                f"{path} holds weights of {metadata.get('architecture')!r}; the run's architecture"
                f" is {architecture!r}."
            )
        ties = saved_ties(metadata)
        own = model.state_dict(keep_vars=True)
        own_ties = shared_names(own)
        if own_ties != ties:
            raise RunError(
                f"{path} does not fit the model: tied are {sorted(ties)} in it and"
                f" {sorted(own_ties)} in the model."
            )
        tensors = {name: _read_as(saved, name, own.get(name)) for name in saved.facts}
    try:
        model.load_state_dict({**tensors, **{name: tensors[first] for name, first in ties.items()}})
    except KeyError as error:
        raise RunError(
            f"{path} is damaged: it lacks the tensor {error}, which others are tied to."
        ) from None
    except RuntimeError as error:
        what = " ".join(str(error).partition("\n")[2].split()) or str(error)
        raise RunError(
            f"{path} does not fit the model, it is of another architecture or other sizes:"
            f" {what[:500]}"
        ) from None
    return _step_of(path, metadata)


def _read_as(saved: SavedTensors, name: str, like: Tensor | None) -> Tensor:
    """Read a tensor; where another of its shape is cut up among processes, the part of this one."""
    if like is None or saved.facts[name].shape != tuple(like.shape):
        return saved.read(name, None)
    return as_cut(saved.read(name, own_rows(like)).to(like.device), like)


def _step_of(path: Path, metadata: Mapping[str, str]) -> int:
    step = metadata.get("step", "")
    if not re.fullmatch("[0-9]{1,18}", step):
        raise RunError(f"{path} is damaged: it does not say which step its weights are of.")
    return int(step)


def read_objective(
    path: Path,
    cut_as: Callable[[str], Tensor | None] = lambda name: None,
    held: HeldCheckpoint | None = None,
) -> dict[str, Tensor]:
    """Return the state of the objective in a checkpoint; empty at step 0.

    Args:
        path: the checkpoint.
        cut_as: gives the weight that a tensor of this name is cut up as among processes, if it has
            the shape of one: of such a tensor this process reads its own part.
        held: of the checkpoint, where it was read already.

    Raises:
        RunError: it is damaged.
    """
    with (held or HeldCheckpoint()).opened(path / OPTIMIZER) as saved:
        return {name: _read_as(saved, name, cut_as(name)) for name in saved.facts}


def publish_weights(run: Path, step: int) -> None:
    """Make the weights of a checkpoint those of the run: `RUN/model.safetensors`."""
    write_whole(checkpoint_path(run, step) / WEIGHTS, run / WEIGHTS)


def published_step(run: Path) -> int | None:
    """Return the step whose weights are `RUN/model.safetensors`.

    None if that file is absent or damaged.
    """
    try:
        return _step_of(run / WEIGHTS, check_tensors(run / WEIGHTS))
    except RunError:
        return None
