"""The folder in which a store is built.

It has a name of its own beside the store's, so that nobody takes a part for the whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import lock_descriptor

from inklings import durable
from inklings.errors import InputError, InterruptedWorkError
from inklings.text.building.sections import JOURNAL

_ABANDONED = 24 * 3600
"""Seconds after which a half-built store that nobody touches is taken for one whose builder was
killed.
"""
_FORGOTTEN = 30 * _ABANDONED
"""The same for one that could go on."""


@contextlib.contextmanager
def building_folder(path: Path) -> Iterator[Path]:
    """Give the folder in which a store is built, which appears at `path` if the block ends well.

    Beside it is what makes the build resumable: if there is something finished when the block
    fails, all stays, and is given to the next who builds the same; so is what a killed process
    left. If `path` appeared meanwhile (another process built the same), that one stays.

    Raises:
        DiskError: it cannot be written.
        InterruptedWorkError: for a `KeyboardInterrupt`, where what is finished stays.
    """
    with durable.disk_errors(path), durable.folders_above(path):
        around, lock = _left_behind(path) or _new(path)
        _remove_abandoned(path.parent, around)
        stays = False
        try:
            folder = around / "store"
            folder.mkdir(exist_ok=True)
            yield folder
            durable.appear(folder, path)
        except BaseException as error:
            # what a user gave cannot be used: with other settings it is another store
            stays = (around / JOURNAL).is_file() and not isinstance(error, InputError)
            if stays and isinstance(error, KeyboardInterrupt):
                raise InterruptedWorkError(
                    f"interrupted; what is prepared of the text is kept in {around}. The same"
                    " command goes on there."
                ) from error
            raise
        finally:
            if not stays:
                shutil.rmtree(around, ignore_errors=True)
            os.close(lock)
            if not stays:  # Windows removes no file that is open
                shutil.rmtree(around, ignore_errors=True)


def _new(path: Path) -> tuple[Path, int]:
    around = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    around.mkdir()
    lock = os.open(around / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    with contextlib.suppress(OSError):  # not every file system has locks
        lock_descriptor(lock, blocking=False)
    return around, lock


def _left_behind(path: Path) -> tuple[Path, int] | None:
    """Return a folder with a journal whose builder has ended, and its lock, which is held now."""
    for around in sorted(path.parent.glob(f".{path.name}.*.tmp")):
        with contextlib.suppress(OSError):
            lock = os.open(around / "lock", os.O_RDWR)
            try:
                # looked at only after the lock is ours: who had it may have removed all
                if lock_descriptor(lock, blocking=False) and (around / JOURNAL).is_file():
                    return around, lock
            except OSError:
                os.close(lock)
                raise
            os.close(lock)
    return None


def _remove_abandoned(stores: Path, ours: Path) -> None:
    """Delete what builders of any store left when they were killed, and nobody goes on with."""
    for around in stores.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            newest = max(file.stat().st_mtime for file in (around, *around.rglob("*")))
            limit = _FORGOTTEN if (around / JOURNAL).is_file() else _ABANDONED
            if around != ours and time.time() - newest > limit:
                shutil.rmtree(around)
