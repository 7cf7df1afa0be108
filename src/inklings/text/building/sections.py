"""How far a build is, on disk, so that one that was killed goes on.

A section is what `SECTION` characters add to the files of a build. When one is finished, the files
are synced, and the journal beside the store says how long each is now and which hash the section's
bytes have. Whoever goes on cuts the files to the last whole section and reads the text from there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from inklings import durable
from inklings.errors import RunError

SECTION = 2**26
"""Characters of a section: what a build that is killed loses at most. A text that is shorter is
built in one go.
"""
JOURNAL = "sections.json"
_READ = 2**20
"""Bytes that are hashed at a time."""


class GrowingFile:
    """A file that sections are appended to, with the hash of what was since the last one ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.length = 0
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()

    def begin(self, length: int) -> None:
        """Open the file, cut to `length` bytes."""
        self._file = open(self.path, "r+b" if length else "wb")  # noqa: SIM115  # `close` does
        self._file.truncate(length)
        self._file.seek(length)
        self.length = length

    def write(self, data: bytes | memoryview) -> None:
        """Append to the file."""
        assert self._file is not None
        self._file.write(data)
        self._digest.update(data)
        self.length += memoryview(data).nbytes

    def end_section(self) -> dict[str, Any]:
        """Wait until the disk has all; the length of the file, and the hash of the section."""
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        ended, self._digest = self._digest, hashlib.sha256()
        return {"bytes": self.length, "sha256": ended.hexdigest()}

    def holds(self, start: int, facts: dict[str, Any]) -> bool:
        """Return whether the bytes of a section, from `start`, are as they were written."""
        left, digest = facts["bytes"] - start, hashlib.sha256()
        try:
            with open(self.path, "rb") as file:
                file.seek(start)
                while left and (block := file.read(min(left, _READ))):
                    digest.update(block)
                    left -= len(block)
        except OSError:
            return False
        return not left and digest.hexdigest() == facts["sha256"]

    def close(self) -> None:
        """Let go of the file; what was written stays."""
        if self._file is not None:
            self._file.close()


class Journal:
    """What is finished of a build, kept beside its folder.

    Attributes:
        path: Its file.
        vocabulary: The hash of the vocabulary, once that is in the folder.
        download: Length, hash and characters of the file that keeps a remote text, once it is
            whole.
        sections: Of each section: `characters` that were read before its end, `files` and `splits`.
    """

    def __init__(self, folder: Path) -> None:
        """Read the journal in a folder, if there is one that can be read."""
        self.path = folder / JOURNAL
        self.vocabulary: str | None = None
        self.download: dict[str, Any] | None = None
        self.sections: list[dict[str, Any]] = []
        try:
            kept = durable.read_checked_json(self.path)
        except RunError:  # absent or damaged: the build begins anew
            return
        self.vocabulary, self.download, self.sections = (
            kept["vocabulary"],
            kept["download"],
            kept["sections"],
        )

    @property
    def characters(self) -> int:
        """Characters of the text that are in finished sections."""
        return int(self.sections[-1]["characters"]) if self.sections else 0

    def add(
        self, characters: int, splits: dict[str, dict[str, Any]], files: Sequence[GrowingFile]
    ) -> None:
        """Write that a section is finished.

        Args:
            characters: how many of the text are read.
            splits: what is needed to go on with each split.
            files: all that grow; the disk has their bytes before the journal says so.
        """
        ended = {file.path.name: file.end_section() for file in files}
        self.sections.append({"characters": characters, "files": ended, "splits": splits})
        self.write()

    def write(self) -> None:
        """Write all that is finished."""
        durable.write_checked_json(
            self.path,
            {"vocabulary": self.vocabulary, "download": self.download, "sections": self.sections},
        )

    def drop_damaged(self, files: Sequence[GrowingFile]) -> str | None:
        """Forget the first section that is not as it was written, and all after it.

        Return which it was and in which file, in words.
        """
        begins = {file.path.name: 0 for file in files}
        for number, section in enumerate(self.sections):
            for file in files:
                facts = section["files"][file.path.name]
                if not file.holds(begins[file.path.name], facts):
                    damaged = f"{file.path}, section {number + 1} of {len(self.sections)}"
                    del self.sections[number:]
                    return damaged
                begins[file.path.name] = facts["bytes"]
        return None
