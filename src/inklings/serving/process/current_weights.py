"""The weights of a run as it is served: the best, or the newest of a run that is being trained.

Whoever trains the run writes and removes checkpoints meanwhile. Each is whole or absent, so reading
one that went away is tried again with what is there then.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inklings.errors import InklingsError, RunError
from inklings.generation.engine.request import Card
from inklings.models.contract import Architecture
from inklings.runs import checkpoints
from inklings.runs.directory import RunDirectory
from inklings.runs.lock import is_locked
from inklings.runs.tensors.parts import leading_file

ATTEMPTS = 20
"""How often a run is read whose checkpoints change under the reader."""


@dataclass(frozen=True, kw_only=True)
class CurrentModel:
    """A run's model with the weights that it is served with."""

    model: Architecture
    weights: Literal["best", "newest"]
    step: int
    """The step that the weights are of."""
    written: int
    """Seconds since 1970 at which they were written."""


def load_current(run: RunDirectory, *, trust_code: bool = False) -> CurrentModel:
    """Load the best weights of a run; the newest while it is trained, or if none are the best yet.

    Args:
        run: the run.
        trust_code: whether to run the architecture's Python code if another user or machine made
            it.

    Raises:
        RunError: there are no weights, they are damaged, or they changed whenever they were read.
        InklingsError: whatever else building the model raises.
    """
    for _ in range(ATTEMPTS):
        before = _state(run.path)
        try:
            return _load(run, trust_code=trust_code)
        except (InklingsError, FileNotFoundError) as error:
            if _state(run.path) != before:
                continue
            if isinstance(error, InklingsError):
                raise
            raise RunError(f"{error.filename} went away while it was read. Try again.") from None
    raise RunError(
        f"the checkpoints of {run.path} changed whenever they were read: the run writes them faster"
        " than they can be loaded. Serve it when it has been trained."
    )


def format_progress(card: Card, run: Path) -> str | None:
    """Return how far the training of a served model is; None of one with its best weights.

    Args:
        card: of the model.
        run: the folder of its run: whether it trains on is looked up there.
    """
    if card.weights == "best":
        return None
    still = ", still training" if is_locked(run) else ""
    return f"step {card.step:,} of {card.steps:,}{still}"


def _load(run: RunDirectory, *, trust_code: bool) -> CurrentModel:
    newest = is_locked(run.path) or not os.path.lexists(run.path / checkpoints.WEIGHTS)
    if newest and not checkpoints.checkpoint_steps(run.path):
        newest = False  # `weights_path` says what to do about a run without any weights
    path = run.weights_path("last" if newest else "best")
    written = int(leading_file(path).stat().st_mtime)
    model, step = run.read_model(path, trust_code=trust_code)
    return CurrentModel(
        model=model, weights="newest" if newest else "best", step=step, written=written
    )


def _state(run: Path) -> list[tuple[str, int, int]]:
    """Return what tells the files of weights that are there from those that were."""
    places = [
        run / checkpoints.WEIGHTS,
        *(
            checkpoints.checkpoint_path(run, step) / checkpoints.WEIGHTS
            for step in checkpoints.checkpoint_steps(run)
        ),
    ]
    found = []
    for place in map(leading_file, places):
        try:
            facts = place.stat()
        except OSError:
            found.append((str(place), 0, 0))
        else:
            found.append((str(place), facts.st_ino, facts.st_mtime_ns))
    return found
