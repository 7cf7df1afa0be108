"""TensorBoard: event files, in a folder for each run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inklings.errors import import_extra
from inklings.interop.trackers.tracker import Outcome, TrackedRun, Tracker

NO_NAME = r"[^\w .,=()+-]"
"""What a folder's name cannot hold everywhere."""
SECONDS = 5
"""Seconds until what is logged is in the file."""


class EventFiles:
    """The event files of one run."""

    key = None

    def __init__(self, folder: Path, run: TrackedRun) -> None:
        """Begin a file; what older files of the run hold of later steps is hidden."""
        writers = import_extra("torch.utils.tensorboard", "--log-to tensorboard", "trackers")
        self._writer: Any = writers.SummaryWriter(
            str(folder / re.sub(NO_NAME, "_", run.name)),
            purge_step=run.step + 1 if run.step else 0,
            flush_secs=SECONDS,
        )
        lines = "\n".join(f"| {name} | {value} |" for name, value in run.settings.items())
        self._writer.add_text("settings", f"| setting | value |\n| --- | --- |\n{lines}", run.step)
        self._writer.flush()

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write figures of a step."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self, outcome: Outcome) -> None:
        """Write what is left."""
        self._writer.close()


TRACKER = Tracker(
    name="tensorboard",
    package="tensorboard",
    environment=lambda folder: {},
    open=EventFiles,
)
