"""Trackio: a database of SQLite, which `trackio show` draws."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inklings.errors import import_extra
from inklings.interop.trackers.tracker import PROJECT, Outcome, TrackedRun, Tracker

ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")
"""Variables with which a user names a server."""


class TrackioRun:
    """One run of a project."""

    key = None

    def __init__(self, folder: Path, run: TrackedRun) -> None:
        """Begin it, or go on with the newest of its name."""
        trackio = import_extra("trackio", "--log-to trackio", "trackers")
        # `init` ends the run of the context before it: each has a context of its own
        context = contextvars.copy_context()
        self._run: Any = context.run(
            trackio.init,
            project=PROJECT,
            name=run.name,
            group=run.group,
            config=dict(run.settings),
            resume="allow" if run.step else "never",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write figures of a step."""
        self._run.log(dict(figures), step=step)

    def close(self, outcome: Outcome) -> None:
        """Write what is left."""
        self._run.finish()


def environment(folder: Path) -> dict[str, str]:
    """Keep the database in the folder, and ask no server who the user is, unless one is named."""
    local = {} if any(name in os.environ for name in ELSEWHERE) else {"HF_HUB_OFFLINE": "1"}
    return {"TRACKIO_DIR": str(folder), **local}


TRACKER = Tracker(name="trackio", package="trackio", environment=environment, open=TrackioRun)
