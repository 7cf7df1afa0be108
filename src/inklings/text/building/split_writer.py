"""One split of a store, as it is written."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import numpy as np

from inklings.text.building.encoding import StoredPart
from inklings.text.building.sections import GrowingFile
from inklings.text.documents import SplitName
from inklings.text.rules import RULES, Sieve
from inklings.text.tokenizers import Tokens


class SplitWriter:
    """Appends the documents of one split to its file.

    Attributes:
        sieve: The rules, and what they did; None where they keep every document.
        tokens_file: The tokens.
        column_files: By name, what is held for each document (24 bytes more with rules) as far as
            sections are finished; a build that goes on reads it.
    """

    def __init__(
        self,
        folder: Path,
        name: SplitName,
        *,
        boundary: int,
        dtype: np.dtype[Any],
        sieve: Sieve | None,
    ) -> None:
        self.folder = folder
        self.name = name
        self.dtype = dtype
        self.boundary = np.array([boundary], dtype=np.int32)
        self.sieve = sieve
        self.pending: list[Tokens] = []
        self.offsets = array("q")
        self.document_bytes = array("q")
        self.tokens = 0
        self.characters = 0
        self.unknown = 0
        self.open = False
        """Whether the last document goes on."""
        self.tokens_file = GrowingFile(folder / f"{name}.tokens.bin")
        self.column_files = {
            column: GrowingFile(folder.parent / f"{name}.{column}.part")
            for column in self._columns()
        }

    def _columns(self) -> dict[str, array[Any]]:
        columns: dict[str, array[Any]] = {"offsets": self.offsets, "bytes": self.document_bytes}
        if self.sieve is not None:
            columns |= self.sieve.columns
        return columns

    @property
    def files(self) -> list[GrowingFile]:
        """All files that grow."""
        return [self.tokens_file, *self.column_files.values()]

    def begin(self, state: dict[str, Any] | None) -> None:
        """Open the files: empty, or as they were when `state` returned this."""
        if state is None:
            for file in self.files:
                file.begin(0)
            return
        self.tokens, self.characters, self.unknown = (
            state["tokens"],
            state["characters"],
            state["unknown"],
        )
        self.tokens_file.begin(self.tokens * self.dtype.itemsize)
        for name, column in self._columns().items():
            file = self.column_files[name]
            file.begin(state["columns"][name] * column.itemsize)
            column.frombytes(file.path.read_bytes())
        self.open = state["open"] is not None
        if self.open:
            self.document_bytes.append(state["open"])
        if self.sieve is not None:
            self.sieve.dropped.update(state["dropped"])

    def state(self) -> dict[str, Any]:
        """Write what is held of each document; what `begin` needs to go on from here."""
        self.flush()
        columns = self._columns()
        lengths = {name: len(column) for name, column in columns.items()}
        lengths["bytes"] -= self.open  # those of a document that goes on will change
        for name, column in columns.items():
            file = self.column_files[name]
            file.write(column[file.length // column.itemsize : lengths[name]].tobytes())
        return {
            "tokens": self.tokens,
            "characters": self.characters,
            "unknown": self.unknown,
            "columns": lengths,
            "open": self.document_bytes[-1] if self.open else None,
            "dropped": {} if self.sieve is None else dict(self.sieve.dropped),
        }

    def add(self, part: StoredPart, tokens: Tokens, *, unknown: int, newline: int) -> None:
        """Take the next part of the text.

        Args:
            part: the part.
            tokens: what it is encoded as.
            unknown: how many of these the vocabulary lacks.
            newline: bytes that a document counts beside its own.
        """
        if part.first:
            self.offsets.append(self.tokens)
            self.document_bytes.append(newline)
            self._put(self.boundary)
        self.document_bytes[-1] += (
            len(part.text) if part.text.isascii() else len(part.text.encode())
        )
        self.characters += len(part.text)
        self.unknown += unknown
        self.open = not part.last
        self._put(tokens)

    def _put(self, tokens: Tokens) -> None:
        self.pending.append(tokens)
        self.tokens += len(tokens)

    def flush(self) -> None:
        """Write the tokens that have gathered."""
        if self.pending:
            tokens = np.concatenate(self.pending)
            self.tokens_file.write(tokens.astype(self.dtype).data)
            self.pending = []

    def finish(self) -> dict[str, Any]:
        """Write a last boundary, and the numbers of each document; what is in the files."""
        if self.offsets:
            self.offsets.append(self.tokens)
            self._put(self.boundary)
        self.flush()
        np.save(self.folder / f"{self.name}.offsets.npy", np.array(self.offsets, dtype=np.int64))
        np.save(
            self.folder / f"{self.name}.bytes.npy", np.array(self.document_bytes, dtype=np.int64)
        )
        nothing = dict.fromkeys(RULES, 0)
        return {
            "documents": len(self.document_bytes),
            "tokens": self.tokens,
            "bytes": sum(self.document_bytes),
            "characters": self.characters,
            "unknown": self.unknown,
            "dropped": nothing if self.sieve is None else self.sieve.dropped,
        }

    def close(self) -> None:
        """Let go of the files; what was written stays."""
        for file in self.files:
            file.close()
