"""Handling of Ctrl-C, SIGTERM and SIGHUP: the step in progress is finished and saved first."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from types import FrameType, TracebackType
from typing import Any

SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that ask a process to end; a terminal that is closed sends SIGHUP, which Windows does not
have.
"""


class Interruption:
    """A block in which the first signal only sets `asked`; a second Ctrl-C interrupts at once.

    Signals can be handled in the main thread alone; elsewhere nothing is changed. The handlers from
    before are restored after the block. Of nested blocks, each learns of the signal, and one that
    begins after it too. A SIGHUP that is ignored (`nohup`) stays ignored.

    Args:
        at_once: the first signal interrupts too, as long as no other block is within this one: for
            work that saves nothing on its way, around training that does.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self.asked = False
        self._at_once = at_once
        self._before: dict[signal.Signals, Any] = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        at_once = self._at_once or (self.asked and number == signal.SIGINT)
        self._ask()
        if at_once:
            raise KeyboardInterrupt

    def _ask(self) -> None:
        self.asked = True
        outer = self._outer()
        if outer is not None:
            outer._ask()

    def _outer(self) -> Interruption | None:
        outer = getattr(self._before.get(signal.SIGTERM), "__self__", None)
        return outer if isinstance(outer, Interruption) else None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if not is_ignored_hangup(number):
                    self._before[number] = signal.signal(number, self._handle)
            outer = self._outer()
            self.asked = self.asked or (outer is not None and outer.asked)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def is_ignored_hangup(number: signal.Signals) -> bool:
    """Return whether this is SIGHUP and the process was started to outlive its terminal."""
    return number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) == signal.SIG_IGN


@contextlib.contextmanager
def held_signals() -> Iterator[None]:
    """Hold signals back from processes started within the block, until `release_signals`."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # it lets signals through when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def exit_reason(code: int | None) -> str:
    """Say how a process ended, by its exit code."""
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}: perhaps the machine ran out of memory" if name == "SIGKILL" else name


def release_signals() -> None:
    """Let through what was held back since the start of this process."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
