"""A text, read as often as a build asks for it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from inklings import durable
from inklings.events import OnEvent
from inklings.text.building.sections import Journal
from inklings.text.documents import TextPiece
from inklings.text.splits import SplitPlan

_REPORTED = 2**20
"""Characters between two events."""


class TextReader:
    """Reads a planned text as often as asked, and reports how far it is.

    A remote one is fetched once and kept in a file, also for a build that goes on.

    Attributes:
        plan: The text and its splits.
        on_event: Called with every event as it happens.
        total: Characters of the text.
    """

    def __init__(self, plan: SplitPlan, on_event: OnEvent, folder: Path, journal: Journal) -> None:
        """Fetch a remote text.

        Args:
            plan: the text and its splits.
            on_event: called with every event as it happens.
            folder: where a remote text is kept.
            journal: of the build.
        """
        self.plan = plan
        self.on_event = on_event
        self._download: Path | None = None
        if plan.characters is not None:
            self.total = plan.characters
        else:
            self._download = folder / "download.jsonl"
            self.total = self._fetch(self._download, journal)

    def _fetch(self, path: Path, journal: Journal) -> int:
        """Return the characters of a remote text, after fetching it if it is not there whole."""
        kept = journal.download
        if (
            kept is not None
            and durable.is_file(path)
            and path.stat().st_size == kept["bytes"]
            and durable.file_sha256(path) == kept["sha256"]
        ):
            self.plan.source.left_out.update(kept["left_out"])
            return int(kept["characters"])
        characters = 0
        with open(path, "w", encoding="utf-8") as file:
            for piece in self._counted(self.plan.pieces(), "downloading", 0, None):
                file.write(json.dumps(piece) + "\n")
                characters += len(piece.text)
            file.flush()
            os.fsync(file.fileno())
        journal.download = {
            "bytes": path.stat().st_size,
            "sha256": durable.file_sha256(path),
            "characters": characters,
            "left_out": dict(self.plan.source.left_out),
        }
        journal.write()
        return characters

    def pieces(self, stage: str, *, after: int = 0) -> Iterator[TextPiece]:
        """Return all pieces in order, but for the first `after` characters.

        `stage` is what the events call this reading.
        """
        read = self.plan.pieces() if self._download is None else _kept(self._download)
        return self._counted(_without(read, after), stage, after, self.total)

    def texts(self) -> Iterator[tuple[str, bool]]:
        """Yield the text of each piece, and whether it is for training."""
        for piece in self.pieces("learning a vocabulary"):
            yield piece.text, piece.split == "train"

    def _counted(
        self, pieces: Iterable[TextPiece], stage: str, done: int, total: int | None
    ) -> Iterator[TextPiece]:
        told = -_REPORTED
        for piece in pieces:
            if done - told >= _REPORTED:
                self.on_event({"event": "prepare", "stage": stage, "done": done, "total": total})
                told = done
            yield piece
            done += len(piece.text)


def _kept(path: Path) -> Iterator[TextPiece]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield TextPiece(*json.loads(line))


def _without(pieces: Iterable[TextPiece], left: int) -> Iterator[TextPiece]:
    """Leave out the first `left` characters."""
    for piece in pieces:
        if left >= len(piece.text):
            left -= len(piece.text)
        elif left:
            yield piece._replace(text=piece.text[left:], first=False)
            left = 0
        else:
            yield piece
