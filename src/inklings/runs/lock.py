"""A lock on a run directory, freed by the system when the process that holds it ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from inklings.durable import disk_errors
from inklings.errors import RunError


@contextlib.contextmanager
def locked(
    run: Path, *, doing: str = "trained", advice: str = "train another run"
) -> Iterator[None]:
    """Hold the lock of a run directory, or of a folder in it, against other processes.

    The operating system ties the lock to the open file, so a killed process leaves none behind: its
    lock file, if it lies there, is simply taken over.

    Args:
        run: the directory.
        doing: what the holder does with it, for the message.
        advice: what else than waiting can be done, for the message.

    Raises:
        RunError: another process holds it.
    """
    path = run / "lock"
    with disk_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try_lock(descriptor):
            raise RunError(
                f"{run} is being {doing} by another process ({_holder(path)}). Wait for it, or"
                f" {advice}."
            )
        with disk_errors(path):
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(
                descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
            )
        yield
    finally:
        os.close(descriptor)


def is_locked(run: Path) -> bool:
    """Return whether a process trains in the run directory now."""
    try:
        descriptor = os.open(run / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            # a byte far behind the text, so that others can read who holds the lock
            os.lseek(descriptor, 1 << 20, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"
