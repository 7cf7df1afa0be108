"""`metrics.jsonl`: what happened in a run, one event a line, appended; cut back to the checkpoint on resume."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from inklings.durable import disk_errors
from inklings.errors import RunError

Event = dict[str, Any]

_LINES = 256
_SECONDS = 2.0


class MetricsLog:
    """The open end of a metrics file; lines are written in groups, for a step can be shorter than a write."""

    def __init__(self, path: Path, *, length: int) -> None:
        """Open a file for appending after its first `length` bytes; what lies behind them is cut off.

        Raises:
            RunError: the file is shorter than that.
        """
        self._path = path
        self._waiting: list[bytes] = []
        self._next = time.monotonic() + _SECONDS
        with disk_errors(path):
            # unbuffered: after a failed write nothing is left to fail again when it is closed
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115  # closed by __exit__
            size = self._file.seek(0, os.SEEK_END)
            if size < length:
                self._file.close()
                raise RunError(f"{path} is damaged: it has {size} bytes and its checkpoint knows {length}.")
            if size > length:
                self._file.truncate(length)
                self._file.seek(0, os.SEEK_END)

    def append(self, event: Event) -> None:
        """Add an event; it is on its way to the disk within some seconds of further events."""
        self._waiting.append(json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        if len(self._waiting) >= _LINES or time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Hand all lines to the operating system: they survive the process, if not the machine."""
        with disk_errors(self._path):
            left = memoryview(b"".join(self._waiting))
            while left:
                left = left[self._file.write(left) :]
        self._waiting.clear()
        self._next = time.monotonic() + _SECONDS

    def sync(self) -> int:
        """Write all lines to the disk and return the length of the file."""
        self.flush()
        with disk_errors(self._path):
            os.fsync(self._file.fileno())
        return self._file.tell()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self._file.close()


def read_metrics(path: Path) -> list[Event]:
    """All events; a last line that was torn by a crash is left out.

    Raises:
        RunError: the file is missing, or a line that is not the last is not an event.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path} is missing.") from None
    lines = data.split(b"\n")[:-1]
    events: list[Event] = []
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not (isinstance(event, dict) and "event" in event):
            raise RunError(f"{path} is damaged in line {number}.")
        events.append(event)
    return events
