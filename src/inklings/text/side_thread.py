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

_NAME = "aside"


def left_at_work() -> bool:
    """Return whether a thread was left behind.

    Then the process has to end by `os._exit`: a library that comes back to Python while Python ends
    aborts it.
    """
    return any(thread.name == _NAME for thread in threading.enumerate())


def aside(work: Callable[[], T]) -> T:
    """Return what `work` gives, run in a thread of its own.

    Whatever interrupts the wait leaves that thread behind, and it does not keep the process alive:
    see `left_at_work`.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # whatever it is, the caller gets it
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name=_NAME, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK)
    return outcome.result()


def feed_aside(work: Callable[[Iterator[str]], T], texts: Iterable[str]) -> T:
    """Return what `work` makes of the texts, as `aside` does; a thread left behind gets no more."""
    left = threading.Event()

    def given() -> Iterator[str]:
        for text in texts:
            if left.is_set():
                raise InterruptedError
            yield text

    try:
        return aside(lambda: work(given()))
    finally:
        left.set()
