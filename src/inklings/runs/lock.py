"""A lock on a run directory, freed by the system when the process that holds it ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout, lock_descriptor

from inklings.durable import disk_errors, refuse_links_out
from inklings.errors import RunError
from inklings.runs.interruption import Interruption


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
        DiskError: it cannot be written to, or a link in it leads out of it: whoever holds the lock
            writes and removes files there.
    """
    refuse_links_out(run)
    path = run / "lock"
    with disk_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with disk_errors(path):
            free = lock_descriptor(descriptor, blocking=False)
        if not free:
            raise RunError(
                f"{run} is being {doing} by another process ({_holder(path)}). Wait for it, or"
                f" {advice}."
            )
        with disk_errors(path):
            os.ftruncate(descriptor, 0)
            holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
            os.write(descriptor, f" {holder}".encode())  # Windows lets nobody read the first byte
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is made if absent, after waiting for who holds it.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM came while it waited.
        DiskError: it cannot be written to, or a link in it leads out of it.
    """
    refuse_links_out(folder)
    lock = FileLock(folder / "lock")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _wait_for(lock)
    try:
        yield
    finally:
        lock.release()


def _wait_for(lock: FileLock) -> None:
    with Interruption() as interruption:
        while not interruption.asked:
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0.5)
                return
    raise KeyboardInterrupt


def is_locked(run: Path) -> bool:
    """Return whether a process trains in the run directory now."""
    with contextlib.suppress(OSError):
        descriptor = os.open(run / "lock", os.O_RDWR)
        try:
            return not lock_descriptor(descriptor, blocking=False)
        finally:
            os.close(descriptor)
    return False


def _holder(path: Path) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(1)
            holder = json.loads(file.read())
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"
