"""MLflow: a database of SQLite, which `mlflow ui` shows; a comparison is an experiment."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inklings.errors import import_extra
from inklings.interop.trackers.tracker import PROJECT, Outcome, TrackedRun, Tracker

DATABASE = "mlflow.db"
STATUS: dict[Outcome, str] = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"
"""The variable with which a user names another experiment."""
LONGEST = 500
"""Most letters of a parameter's value there."""


class MlflowRun:
    """One run of an experiment."""

    def __init__(self, folder: Path, run: TrackedRun) -> None:
        """Begin it, or go on with the one of the key."""
        mlflow = import_extra("mlflow", "--log-to mlflow", "trackers")
        entities = self._entities = mlflow.entities
        self._client: Any = mlflow.MlflowClient()
        name = os.environ.get(EXPERIMENT) or run.group or PROJECT
        if run.key is not None:
            self.key: str | None = run.key
            self._client.update_run(self.key, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        self.key = self._client.create_run(experiment, run_name=run.name).info.run_id
        parameters = [
            entities.Param(name, str(value)[:LONGEST]) for name, value in run.settings.items()
        ]
        self._client.log_batch(self.key, params=parameters)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write figures of a step."""
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(name, value, now, step) for name, value in figures.items()]
        self._client.log_batch(self.key, metrics=metrics)

    def close(self, outcome: Outcome) -> None:
        """Write down how the run ended."""
        self._client.set_terminated(self.key, STATUS[outcome])


def environment(folder: Path) -> dict[str, str]:
    """Keep the database in the folder, and tell nobody of it."""
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / DATABASE}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


TRACKER = Tracker(name="mlflow", package="mlflow", environment=environment, open=MlflowRun)
