"""What a tracker of experiments is, and which there are: TensorBoard, Trackio, MLflow and W&B.

Each has a file here with its record. It runs in a process of its own (`tracker_process.py`), so it
may print, wait, fail, and set up whatever it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from inklings.registry import Registry

PROJECT = "inklings"
"""The project of all runs, where a tracker has projects."""
Setting = str | int | float | bool

Outcome = Literal["finished", "interrupted", "failed"]
"""How a run ended."""


@dataclass(frozen=True)
class TrackedRun:
    """A run, as trackers are told of it."""

    name: str
    """Its name among those of its folder."""
    group: str | None
    """The name of the comparison or sweep that it is of."""
    settings: Mapping[str, Setting]
    """What it was made with; its arm and its seed, where there are several."""
    step: int
    """The step that it begins with, or goes on from."""
    key: str | None
    """What the tracker called the earlier part of this run; None for a new run."""


class TrackerLog(Protocol):
    """The open log of one run in a tracker."""

    @property
    def key(self) -> str | None:
        """What the tracker needs to go on with this log another time; None if nothing."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write down figures of a step, so that others can read them soon."""

    def close(self, outcome: Outcome) -> None:
        """Write down how the run ended, and everything that was kept back."""


@dataclass(frozen=True)
class Tracker:
    """A tracker of experiments."""

    name: str
    package: str
    """The module that must be installed."""
    environment: Callable[[Path], Mapping[str, str]]
    """Variables that keep all it writes in a folder, and on this machine; whoever has set one of
    them otherwise wins.
    """
    open: Callable[[Path, TrackedRun], TrackerLog]
    """Begin or go on with the log of a run, in a folder."""


TRACKERS: Registry[Tracker] = Registry(
    "tracker",
    {
        name: f"inklings.interop.trackers.{name}:TRACKER"
        for name in ("tensorboard", "trackio", "mlflow", "wandb")
    },
)
