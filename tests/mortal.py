"""A process that kills itself at a chosen call of those that make files durable."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

DURABLE = ("rename", "replace", "unlink", "mkdir", "rmdir")


def make_mortal(fatal: int, *, after: bool, more: tuple[str, ...] = ()) -> None:
    """Let this process be killed before, or after, call number `fatal`; nothing is synced.

    Args:
        fatal: the number of the call, from 1.
        after: whether the call is made first.
        more: further functions of `os` whose calls count.
    """
    calls = 0

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            mine = calls == fatal
            if mine and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return real(*given, **named)
            finally:
                if mine:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call

    for name in (*DURABLE, *more):
        setattr(os, name, guarded(getattr(os, name)))
    setattr(os, "fsync", guarded(lambda descriptor: None))  # noqa: B010
