"""The event log of a run, `metrics.jsonl`: one event a line.

Lines are appended; on resume the file is cut back to the checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import cast

from inklings.durable import disk_errors, parse_json, read_bytes
from inklings.errors import RunError
from inklings.events import EvaluationEvent, LoggedEvent

NEEDED: dict[str, dict[str, type | tuple[type, ...]]] = {
    "step": {"step": int, "loss": (int, float)},
    "evaluation": {"step": int, "loss": (int, float)},
    "sample": {"step": int, "texts": list},
}
"""Fields of these events that readers rely on."""

_LINES = 256
_SECONDS = 2.0


class MetricsLog:
    """A metrics file, open for appending.

    Lines are written in groups, for a step can be shorter than a write.
    """

    def __init__(self, path: Path, *, length: int) -> None:
        """Open a file for appending after its first `length` bytes.

        What lies behind them is cut off.

        One that is shorter has lost events: what is left of them is kept, up to the last whole
        line.
        """
        self._path = path
        self._waiting: list[bytes] = []
        self._next = time.monotonic() + _SECONDS
        with disk_errors(path):
            # unbuffered: after a failed write nothing is left to fail again when it is closed
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115  # closed by __exit__
            size = self._file.seek(0, os.SEEK_END)
            if size < length:
                length = path.read_bytes().rfind(b"\n") + 1
            if size > length:
                self._file.truncate(length)
                self._file.seek(0, os.SEEK_END)
            self._hash = hashlib.sha256(path.read_bytes())

    def append(self, event: LoggedEvent) -> None:
        """Add an event; it is written within some seconds of further events."""
        self._waiting.append(
            json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        )
        if len(self._waiting) >= _LINES or time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Hand all lines to the operating system: they survive the process, if not the machine."""
        with disk_errors(self._path):
            left = memoryview(b"".join(self._waiting))
            while left:
                written = self._file.write(left)
                self._hash.update(left[:written])
                left = left[written:]
        self._waiting.clear()
        self._next = time.monotonic() + _SECONDS

    def sync(self) -> tuple[int, str]:
        """Write all lines to the disk; return the file's length and its SHA-256."""
        self.flush()
        with disk_errors(self._path):
            os.fsync(self._file.fileno())
        return self._file.tell(), self._hash.hexdigest()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self._file.close()


def sampled_text(texts: Sequence[str]) -> bytes:
    """Return the file of `samples/` that holds the texts of a `sample` event."""
    return "\n\n---\n\n".join(map(str, texts)).encode(errors="replace")


def lost_events(path: Path, *, length: int) -> str | None:
    """Return what is wrong with the first `length` bytes of a metrics file.

    None if nothing seems to be.

    The length is known from a checkpoint.
    """
    try:
        size = path.stat().st_size if os.path.lexists(path) else 0
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}."
    if size < length:
        return f"{path} is damaged: it has {size} bytes and its checkpoint knows {length}."
    return None


def best_evaluation(events: Sequence[LoggedEvent]) -> EvaluationEvent | None:
    """Return the evaluation of the lowest loss, the one that the best weights are of."""
    evaluations = [event for event in events if event["event"] == "evaluation"]
    return min(evaluations, key=lambda event: event["loss"], default=None)


def read_metrics(path: Path) -> list[LoggedEvent]:
    """Return all events; a last line that was torn by a crash is left out.

    Raises:
        RunError: the file is missing or cannot be read, or a line that is not the last is not an
            event.
    """
    events: list[LoggedEvent] = []
    for number, line in enumerate(read_bytes(path).split(b"\n")[:-1], start=1):
        where = f"{path} is damaged in line {number}."
        try:
            event = parse_json(line, where)
        except RunError:
            raise RunError(where) from None
        if not (isinstance(event, dict) and isinstance(event.get("event"), str)):
            raise RunError(where)
        if any(
            not isinstance(event.get(name), kind)
            for name, kind in NEEDED.get(event["event"], {}).items()
        ):
            raise RunError(where)
        events.append(cast(LoggedEvent, event))
    return events
