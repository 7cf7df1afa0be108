"""W&B: a folder for each run, which `wandb sync` sends to a server and `wandb leet` shows."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inklings.errors import import_extra
from inklings.interop.trackers.tracker import PROJECT, Outcome, TrackedRun, Tracker

EXIT_CODES: dict[Outcome, int] = {"finished": 0, "interrupted": 1, "failed": 1}


class WandbRun:
    """One run of a project."""

    def __init__(self, folder: Path, run: TrackedRun) -> None:
        """Begin it, or go on with the one of the key."""
        wandb = import_extra("wandb", "--log-to wandb", "trackers")
        self.key: str | None = run.key or uuid.uuid4().hex[:12]
        quiet = wandb.Settings(
            console="off",
            x_disable_stats=True,
            x_disable_meta=True,
            disable_git=True,
            disable_code=True,
        )
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            group=run.group,
            job_type=run.settings.get("arm"),
            id=self.key,
            resume="allow",
            reinit="create_new",
            config=dict(run.settings),
            settings=quiet,
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write figures of a step."""
        self._run.log(dict(figures), step=step)

    def close(self, outcome: Outcome) -> None:
        """Write what is left, and how the run ended."""
        self._run.finish(exit_code=EXIT_CODES[outcome])


def environment(folder: Path) -> dict[str, str]:
    """Keep everything in the folder, until a user chooses another `WANDB_MODE`."""
    return {
        "WANDB_DIR": str(folder),
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
    }


TRACKER = Tracker(name="wandb", package="wandb", environment=environment, open=WandbRun)
