"""Telling trackers of the events of a training, a comparison or a sweep, while it goes on.

Each tracker has a process of its own and a thread that feeds it, so one that fails, hangs or is
slow costs the training nothing but a note.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inklings.config import to_mapping
from inklings.errors import MissingExtraError, is_installed
from inklings.events import TRACKERS_FOLDER, Event, OnEvent, note
from inklings.interop.trackers.tracker import TRACKERS, Setting, Tracker
from inklings.runs.directory import RunDirectory

PROCESS = "inklings.interop.trackers.tracker_process"
"""The module that a tracker's process runs."""
TOLD = {"start", "step", "evaluation", "diverged", "end", "rate", "result"}
"""The events that trackers are told."""
LAST_SECONDS = 120.0
"""How long a tracker may take at the end to write what is left."""
FACTS = ("arm", "parameters", "steps", "tokens_per_step", "seed", "factor", "tries")
"""What of the first event of a run stands among its settings."""


@contextlib.contextmanager
def tracked(
    on_event: OnEvent,
    trackers: Sequence[str],
    *,
    run: Path | None = None,
    out: Path | None = None,
) -> Iterator[OnEvent]:
    """Give a listener that tells trackers of the events too, and waits for them at its end.

    What they write is in `trackers/NAME`, beside the run, or in the folder of many runs.

    Args:
        on_event: the other listener; it is also told what becomes of a tracker.
        trackers: their names.
        run: the run directory, where one run is trained.
        out: the folder of a comparison or a sweep, where there are many.

    Raises:
        ConfigError: there is no tracker of that name.
        MissingExtraError: its package is not installed.
    """
    for name in trackers:
        TRACKERS.check(name)
    for name in trackers:
        if not is_installed(TRACKERS[name].package):
            raise MissingExtraError(f"--log-to {name}", "trackers")
    run = None if run is None else run.absolute()
    place = run.parent if run is not None else (out or Path()).absolute()
    group = None if out is None else place.name
    feeds = [
        _Feed(TRACKERS[name], place / TRACKERS_FOLDER / name, group)
        for name in dict.fromkeys(trackers)
    ]

    def told(event: Event) -> None:
        on_event(event)
        if feeds and event["event"] in TOLD:
            message = _message(event, run)
            for feed in feeds:
                if not feed.over:
                    feed.send(message)
                    _tell_once(feed, on_event)

    try:
        yield told
    finally:
        for feed in feeds:
            feed.close()
            _tell_once(feed, on_event)


def _tell_once(feed: _Feed, on_event: OnEvent) -> None:
    if feed.problem is not None and not feed.over:
        feed.over = True
        on_event(note(f"{feed.tracker.name} is told no more of this: {feed.problem.rstrip('.')}."))


def _message(event: Event, run: Path | None) -> dict[str, Any]:
    """Return an event as a tracker's process takes it."""
    message: dict[str, Any] = {"run": run.name if run is not None else "", **event}
    if event["event"] == "start":
        facts = {name: message[name] for name in FACTS if message.get(name) is not None}
        given = {} if run is None else _flat(to_mapping(RunDirectory.open(run).config))
        message["settings"] = {**given, **facts}
    return message


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Setting]:
    """Return nested settings by names with dots; a list is one value, in words."""
    found: dict[str, Setting] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            plain = isinstance(value, str | int | float)
            found[prefix + name] = value if plain else json.dumps(value)
    return found


class _Feed:
    """The process of a tracker, and the thread that hands it events."""

    def __init__(self, tracker: Tracker, folder: Path, group: str | None) -> None:
        self.tracker = tracker
        self.problem: str | None = None
        """Why it takes nothing more, once it does not."""
        self.over = False
        """Whether the problem was told."""
        self._command = [
            *(sys.executable, "-m", PROCESS),
            *(tracker.name, str(folder), group or ""),
        ]
        self._environment = {**tracker.environment(folder), **os.environ}
        self._waiting: queue.Queue[str | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand over an event, and wait for nothing; the first one starts the process."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._feed, daemon=True)
            self._thread.start()
        self._waiting.put(json.dumps(message))

    def close(self) -> None:
        """Let it write what is left, for at most `LAST_SECONDS`."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(LAST_SECONDS)
            if self._thread.is_alive() and self.problem is None:
                self.problem = f"it was not done {LAST_SECONDS:.0f} s after the end"
                if self._process is not None:
                    self._process.kill()

    def _feed(self) -> None:
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    env=self._environment,
                    text=True,
                    encoding="utf-8",
                    start_new_session=True,  # Ctrl-C is for the training, whose end ends this too
                )
            except OSError as error:
                self.problem = str(error)
                return
            self._process = process
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                for line in iter(self._waiting.get, None):
                    process.stdin.write(line + "\n")
                    process.stdin.flush()
            with contextlib.suppress(OSError):
                process.stdin.close()
            if process.wait() != 0 and self.problem is None:
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines()
                self.problem = lines[-1] if lines else "its process died"
