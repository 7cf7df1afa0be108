"""What there is of a file whose download stopped, kept until the rest is there.

`PATH.part` is its beginning. `PATH.part.json` says how many bytes of it are whole and which hash
they have, so nothing that a power failure left behind is taken for what was sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import lock_descriptor

from inklings.durable import disk_errors, read_checked_json, sync_directory, write_checked_json
from inklings.errors import RunError

EVERY = 2**24
"""Bytes between two notes of how much is whole: a process that is killed loses no more."""
_READ = 2**20


class PartFile:
    """The beginning of a file; its bytes are written in order."""

    def __init__(self, path: Path, place: Path, file: BinaryIO, url: str, *, stays: bool) -> None:
        """Look for what is whole of it; see `part_file`."""
        self._path, self._place, self._file, self._url = path, place, file, url
        self._stays = stays
        self._finished = False
        self.begin(None)
        if stays:
            self._take_up()

    @property
    def hexdigest(self) -> str:
        """The SHA-256 of what is there."""
        return self._digest.hexdigest()

    def begin(self, validator: str | None) -> None:
        """Begin anew.

        Args:
            validator: what the server calls this state of the file; without one it cannot be gone
                on with.
        """
        self._digest = hashlib.sha256()
        self.length = self._noted = 0
        self.validator = validator

    def write(self, data: bytes) -> None:
        """Append some bytes that the server sent."""
        if self.length == 0:  # over what was there before, of which nobody makes use now
            self._file.seek(0)
        self._file.write(data)
        self._digest.update(data)
        self.length += len(data)
        if self.length - self._noted >= EVERY:
            self._note()

    def finish(self) -> None:
        """Make it the file, synced."""
        self._file.truncate(self.length)  # more may be there of one that was begun anew
        self._file.flush()
        os.fsync(self._file.fileno())
        if os.name == "nt":  # where no file that is open can be renamed
            self._file.close()
        self._place.replace(self._path)
        self._finished = True
        self._notes.unlink(missing_ok=True)
        sync_directory(self._path.parent)

    def leave(self) -> None:
        """Keep what is whole for the next who wants the file, or remove it."""
        if self._finished:
            return
        if self.resumable:
            self._note()
            return
        self._notes.unlink(missing_ok=True)
        if os.name == "nt":  # where no file that is open can be removed
            self._file.close()
        self._place.unlink(missing_ok=True)

    @property
    def resumable(self) -> bool:
        """Whether what is there stays where the download stops now."""
        return self._stays and self.length > 0 and self.validator is not None

    @property
    def _notes(self) -> Path:
        return self._place.with_name(f"{self._place.name}.json")

    def _note(self) -> None:
        if not self.resumable:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        content = {
            "url": self._url,
            "validator": self.validator,
            "length": self.length,
            "content_sha256": self.hexdigest,
        }
        write_checked_json(self._notes, content)
        self._noted = self.length

    def _take_up(self) -> None:
        """Go on behind what is whole; at the beginning where nothing is."""
        try:
            noted = read_checked_json(self._notes)
        except RunError:  # there are none, or they are damaged
            return
        digest, rest = hashlib.sha256(), noted["length"]
        while data := self._file.read(min(_READ, rest)):
            digest.update(data)
            rest -= len(data)
        if noted["url"] != self._url or rest or digest.hexdigest() != noted["content_sha256"]:
            return
        self._digest, self.validator = digest, noted["validator"]
        self.length = self._noted = noted["length"]


@contextlib.contextmanager
def part_file(path: Path, url: str) -> Iterator[PartFile]:
    """Give what there is of a file so far. Where the block fails, what is whole of it stays.

    Where another process is at it, it is empty, and nothing stays.

    Args:
        path: where the file will be; its folder is made.
        url: where it comes from.

    Raises:
        DiskError: the disk is full or may not be written to.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        place = path.with_name(f"{path.name}.part")
        descriptor = _locked(place)
        stays = descriptor is not None
        if descriptor is None:
            place = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
            descriptor = _opened(place)
        with os.fdopen(descriptor, "r+b") as file:
            part = PartFile(path, place, file, url, stays=stays)
            try:
                yield part
            finally:
                part.leave()


def _locked(place: Path) -> int | None:
    """Open a file and lock it; return None where another process has the lock."""
    descriptor = _opened(place)
    try:
        free = lock_descriptor(descriptor, blocking=False)
        # whoever had the lock may have renamed it meanwhile
        if free and os.path.samestat(os.fstat(descriptor), place.stat()):
            return descriptor
    except OSError:  # not every file system has locks
        pass
    os.close(descriptor)
    return None


def _opened(place: Path) -> int:
    return os.open(place, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
