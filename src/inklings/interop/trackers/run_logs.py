"""The runs that one tracker is told of: which log each event belongs to, and when a log ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inklings.durable import read_json, write_json
from inklings.interop.trackers.figures import figures_of
from inklings.interop.trackers.tracker import Outcome, TrackedRun, Tracker, TrackerLog

KEYS = "inklings-keys.json"
"""The file, beside a tracker's own, with what it calls each run: so one that stopped goes on."""
ENDINGS = ("rate", "result")
"""Events after which nothing more is heard of a run."""


@dataclass
class _Open:
    log: TrackerLog
    step: int
    outcome: Outcome = "interrupted"


class RunLogs:
    """The open logs of a tracker, by the `run` of the events."""

    def __init__(self, tracker: Tracker, folder: Path, *, group: str | None) -> None:
        """Begin with none.

        Args:
            tracker: what writes them.
            folder: where it writes; it is there.
            group: the comparison or sweep that all runs are of.
        """
        self._tracker = tracker
        self._folder = folder
        self._group = group
        self._open: dict[str, _Open] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Write down what an event tells of its run; a `start` also has the run's `settings`."""
        run, kind = event["run"], event["event"]
        if kind == "start":
            self._end(run)
            self._open[run] = self._begin(event)
        elif run in self._open:
            opened = self._open[run]
            opened.step = event.get("step", opened.step)
            if figures := figures_of(event):
                opened.log.log(opened.step, figures)
            if kind == "end" and event["stopped"] != "interrupted":
                opened.outcome = "finished"
            elif kind == "diverged":
                opened.outcome = "failed"
            elif kind in ENDINGS:
                self._end(run)

    def close(self) -> None:
        """End every log that is open."""
        for run in list(self._open):
            self._end(run)

    def _begin(self, event: Mapping[str, Any]) -> _Open:
        tries = event.get("tries")
        name = f"{event['run']} ({tries})" if tries else event["run"]
        keys = self._keys()
        run = TrackedRun(
            name=name,
            group=self._group,
            settings=event["settings"],
            step=event["step"],
            key=keys.get(name) if event["step"] else None,
        )
        log = self._tracker.open(self._folder, run)
        if log.key is not None:
            write_json(self._folder / KEYS, {"format_version": 1, **keys, name: log.key})
        return _Open(log, event["step"])

    def _keys(self) -> dict[str, Any]:
        path = self._folder / KEYS
        return read_json(path, format_version=1) if path.is_file() else {}

    def _end(self, run: str) -> None:
        opened = self._open.pop(run, None)
        if opened is not None:
            opened.log.close(opened.outcome)
