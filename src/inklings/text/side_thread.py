"""Long work in a compiled library, done in a side thread, so that a signal still ends it.

Python handles signals in the main thread, between two steps of its own. While that thread is inside
a library nothing is handled, be it for minutes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

_LOOK = 0.1
"""Seconds between two looks: not every system wakes a waiting thread for a signal."""


def feed_aside(work: Callable[[Iterator[str]], T], texts: Iterable[str]) -> T:
    """Return what `work` makes of the texts, run in a thread of its own.

    Whatever interrupts the wait leaves that thread behind: it gets no further text, and does not
    keep the process from ending.
    """
    left = threading.Event()
    outcome: Future[T] = Future()

    def given() -> Iterator[str]:
        for text in texts:
            if left.is_set():
                raise InterruptedError
            yield text

    def run() -> None:
        try:
            outcome.set_result(work(given()))
        except BaseException as error:  # whatever it is, the caller gets it
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="aside", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_LOOK)
    finally:
        left.set()
    return outcome.result()
