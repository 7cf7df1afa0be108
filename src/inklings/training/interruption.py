"""Ctrl-C and SIGTERM: the step in progress is finished and saved before the process goes."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interruption:
    """Within the block, the first signal only sets `asked`; a second Ctrl-C interrupts at once, as ever.

    Signals can be handled in the main thread alone; elsewhere nothing is changed. What handled them before does so
    again after the block. Of blocks within one another, each learns of the signal.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._ask()

    def _ask(self) -> None:
        self.asked = True
        outer = getattr(self._before.get(signal.SIGTERM), "__self__", None)
        if isinstance(outer, Interruption):
            outer._ask()

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
