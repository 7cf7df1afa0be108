"""Checkpoints: everything that training needs to go on.

`checkpoints/step_N/` holds the weights, the optimiser's state and the progress; it is whole or
absent. With it, training goes on to the same bits as if it had never stopped. No random state is
saved: batches and dropout are functions of (seed, step).
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

from inklings.durable import (
    disk_errors,
    new_directory,
    read_bytes,
    read_checked_json,
    write_bytes,
    write_checked_json,
)
from inklings.errors import RunError
from inklings.models.contract import Architecture
from inklings.runs.checked_files import (
    check_tensors,
    read_tensors,
    shared_names,
    write_tensors,
)
from inklings.values import from_file

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
PROGRESS = "progress.json"
_TIE = "tied:"

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
) -> None:
    """Write the checkpoint of `progress.step`, atomically.

    Args:
        run: the run directory.
        progress: how far the run is.
        weights: of the model, as its `state_dict` has them.
        tensors: the state of the objective.
        architecture: the name of the model's architecture.
    """
    path = checkpoint_path(run, progress.step)
    if path.exists():
        # from before a resume that went further back, because a newer checkpoint was damaged; or
        # the end of an extended run
        remove_checkpoint(path)
    with new_directory(path) as temporary:
        write_weights(temporary / WEIGHTS, weights, architecture=architecture, step=progress.step)
        write_tensors(temporary / OPTIMIZER, tensors, {"step": str(progress.step)})
        write_checked_json(temporary / PROGRESS, dataclasses.asdict(progress))


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


def check_checkpoint(path: Path) -> list[str]:
    """Read every byte of a checkpoint and return what is wrong; an empty list if nothing is."""
    problems = []
    for check, name in (
        (_check_progress, PROGRESS),
        (check_tensors, WEIGHTS),
        (check_tensors, OPTIMIZER),
    ):
        try:
            check(path / name)
        except RunError as error:
            problems.append(str(error))
    return problems


def _check_progress(path: Path) -> None:
    read_progress(path.parent)


def latest_sound_checkpoint(run: Path) -> tuple[int, list[str]]:
    """Return the last step whose checkpoint is whole, and what is wrong with later ones.

    Raises:
        RunError: there is none.
    """
    problems: list[str] = []
    for step in reversed(checkpoint_steps(run)):
        found = check_checkpoint(checkpoint_path(run, step))
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
    write_weights(path, model.state_dict(), architecture=architecture, step=step)


def write_weights(path: Path, state: Mapping[str, Tensor], *, architecture: str, step: int) -> None:
    """Write what `write_model` does, from the weights as the model's `state_dict` has them.

    Args:
        path: the file.
        state: the weights and buffers.
        architecture: the name of the model's architecture.
        step: the step that the weights are of.
    """
    ties = shared_names(state)
    metadata = {
        "architecture": architecture,
        "step": str(step),
        **{_TIE + name: first for name, first in ties.items()},
    }
    write_tensors(
        path, {name: tensor for name, tensor in state.items() if name not in ties}, metadata
    )


def read_model(path: Path, model: Architecture, *, architecture: str) -> int:
    """Load weights that `write_model` wrote into a model; return the step they are of.

    Args:
        path: the file.
        model: changed in place.
        architecture: the name that the file must give.

    Raises:
        RunError: the file is damaged, a pickle, from a newer format, or of another architecture.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("architecture") != architecture:
        raise RunError(
            f"{path} holds weights of {metadata.get('architecture')!r}; the run's architecture is"
            f" {architecture!r}."
        )
    ties = {
        key.removeprefix(_TIE): first for key, first in metadata.items() if key.startswith(_TIE)
    }
    own_ties = shared_names(model.state_dict())
    if own_ties != ties:
        raise RunError(
            f"{path} does not fit the model: tied are {sorted(ties)} in it and {sorted(own_ties)}"
            " in the model."
        )
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


def _step_of(path: Path, metadata: Mapping[str, str]) -> int:
    step = metadata.get("step", "")
    if not re.fullmatch("[0-9]{1,18}", step):
        raise RunError(f"{path} is damaged: it does not say which step its weights are of.")
    return int(step)


def read_objective(path: Path) -> dict[str, Tensor]:
    """Return the state of the objective in a checkpoint; empty at step 0.

    Raises:
        RunError: it is damaged.
    """
    return read_tensors(path / OPTIMIZER)[0]


def publish_weights(run: Path, step: int) -> None:
    """Make the weights of a checkpoint those of the run: `RUN/model.safetensors`."""
    write_bytes(run / WEIGHTS, read_bytes(checkpoint_path(run, step) / WEIGHTS))


def published_step(run: Path) -> int | None:
    """Return the step whose weights are `RUN/model.safetensors`.

    None if that file is absent or damaged.
    """
    try:
        return _step_of(run / WEIGHTS, check_tensors(run / WEIGHTS))
    except RunError:
        return None
