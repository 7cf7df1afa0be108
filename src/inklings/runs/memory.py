"""The long-term memory of a run: what its model wrote of given texts, for every row to read.

RUN/memory/ store/ vectors and facts about the entries; whose weights and tokens they are of
(`memory/persistence.py`) documents/ the texts (`memory_documents.py`) table.json the table of a
memory whose vectors are in a database; never how to log in lock held by the command that changes it

The first addition saves the empty memory before it begins. An addition writes its documents, under
numbers that are new, and then the store in one rename. Wherever it is stopped, the memory that was
there is whole; documents without entries are passed over, and `compact` drops them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from inklings.durable import write_json
from inklings.errors import ArchitectureError, InputError, RunError
from inklings.events import OnEvent, silent
from inklings.memory.entries import Info
from inklings.memory.persistence import MANIFEST, save
from inklings.memory.store import Memory
from inklings.models.contract import Architecture
from inklings.models.remembering import Remembering, Written
from inklings.runs.memory_documents import (
    Document,
    keep_documents,
    new_documents,
    read_documents,
    write_documents,
)
from inklings.text.excerpt import around, token_text
from inklings.text.tokenizers import Tokenizer

STORE = "store"
DOCUMENTS = "documents"
TABLE = "table.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Hit:
    """An entry that a search found, and the text that it is from."""

    id: int
    distance: float
    """Squared L2 distance."""
    age: int
    """Additions made after the one that added it."""
    document: str
    position: int
    """The place of the value in the document; the boundary that opens it is at 0."""
    value: str
    """The token that followed."""
    before: str
    """The text before the value."""
    after: str


@dataclass(frozen=True, eq=False)
class StoredText:
    """A document, and what the model has stored of it already."""

    name: str
    tokens: Int64[np.ndarray, " n"]
    """Its boundaries included."""
    written: Written


@dataclass(frozen=True, eq=False)
class Addition:
    """The result of an addition."""

    ids: Int64[np.ndarray, " n"]
    """The ids of the new entries."""
    documents: list[str]
    """Names of the documents added."""
    known: list[str]
    """Names of those left out, because they are there already, or came twice."""
    evicted: int
    """Entries that gave way."""


@dataclass(frozen=True)
class DocumentInfo:
    """The entries of one document in the memory."""

    name: str
    tokens: int
    entries: int
    first_id: int
    last_id: int


@dataclass(frozen=True)
class MemoryInfo:
    """The size and origin of a long-term memory."""

    memory: Info
    documents: list[DocumentInfo]
    """Those that it has entries of, in the order in which they were added."""
    bytes: int
    """Bytes on the disk."""
    model: str
    """SHA-256 of the weights that wrote it."""
    tokenizer: str
    table: str | None
    """Its table in the database; None where there is none."""


class RunMemory:
    """An open long-term memory; `open_memory.py` opens and makes them.

    Every change is saved. If saving fails, the memory on disk is the one from before: open it
    again.
    """

    def __init__(
        self,
        folder: Path,
        memory: Memory,
        model: Remembering,
        tokenizer: Tokenizer,
        weights: str,
        table: str | None,
    ) -> None:
        self.folder = folder
        self.memory = memory
        self.model = model
        self.tokenizer = tokenizer
        self.weights = weights
        """SHA-256 of the model's weights."""
        self.table = table
        self._documents: dict[int, Document] | None = None

    def __len__(self) -> int:
        return len(self.memory)

    def documents(self) -> list[Document]:
        """Return the documents that the memory has entries of, in the order of addition.

        Raises:
            RunError: one is damaged or missing.
        """
        return [
            self._document(number) for number in np.unique(self.memory.entries().documents).tolist()
        ]

    def add_text(self, name: str, text: str) -> Int64[np.ndarray, " n"]:
        """Add one document; returns the ids of its entries. Errors as `add`."""
        return self.add([(name, text)]).ids

    def add(self, texts: Sequence[tuple[str, str]], *, on_event: OnEvent = silent) -> Addition:
        """Let the model write of documents, and keep what it wrote: all of it, or nothing.

        Args:
            texts: name and text of each document.
            on_event: told how many tokens were read, in the events of `prepare`.

        Raises:
            InputError: no text is given, one is empty, all are there already, or there are more
                entries than the capacity.
            TokenizerError: a text cannot be encoded.
            ArchitectureError: what the model wrote does not belong to the text.
            DiskError: the disk is full, or may not be written to.
        """
        empty = [name for name, text in texts if not text]
        if empty or not texts:
            raise InputError(
                f"{empty[0] if empty else 'what is to be added'} holds no text; give some."
            )
        boundary = self.tokenizer.boundary
        encoded = self.tokenizer.encode_batch([text for _, text in texts])
        lines = [np.concatenate([[boundary], tokens, [boundary]]) for tokens in encoded]
        documents, known = self._new_documents(
            list(zip([name for name, _ in texts], lines, strict=True))
        )
        parts: list[Written] = []
        done, total = 0, sum(len(document.tokens) for document in documents)
        with torch.no_grad():
            for document in documents:
                parts.append(self.model.written(self._as_row(document.tokens)))
                done += len(document.tokens)
                on_event(
                    {
                        "event": "prepare",
                        "stage": "done" if done == total else "writing",
                        "done": done,
                        "total": total,
                    }
                )
        return self._keep(documents, parts, known)

    def add_stored(self, texts: Sequence[StoredText]) -> Addition:
        """Keep what the model has stored of documents already. Errors as `add`."""
        documents, known = self._new_documents([(text.name, text.tokens) for text in texts])
        new = {document.name for document in documents}
        return self._keep(documents, [text.written for text in texts if text.name in new], known)

    def _keep(
        self, documents: Sequence[Document], parts: Sequence[Written], known: list[str]
    ) -> Addition:
        """Add what was written of new documents, and save."""
        for document, part in zip(documents, parts, strict=True):
            self._check(document, part)
        count, room = sum(len(part.values) for part in parts), self.memory.config.capacity
        if count > room:
            raise InputError(
                f"the text makes {count:,} entries, and the memory holds {room:,} at most; nothing"
                " was added. Give less text, or a larger --capacity when the memory is made."
            )
        if not os.path.lexists(self.folder / STORE / MANIFEST):
            self._save()  # so that texts without a manifest can only have lost it
        # before the entries that name them: until those are there, nobody looks at these
        write_documents(self.folder / DOCUMENTS, documents)
        self._all().update((document.number, document) for document in documents)
        before = len(self)
        self.memory.age(steps=1)
        ids = self.memory.add(
            np.concatenate([part.vectors for part in parts]),
            values=np.concatenate([part.values for part in parts]),
            positions=np.concatenate([part.positions for part in parts]),
            documents=np.repeat(
                [document.number for document in documents], [len(part.values) for part in parts]
            ),
            scores=np.concatenate([part.scores for part in parts]),
        )
        self._save()
        return Addition(
            ids, [document.name for document in documents], known, before + count - len(self)
        )

    def search(self, text: str, k: int = 5) -> list[Hit]:
        """Return the k entries nearest to the model's query at the end of a text, nearest first.

        It changes nothing.

        Raises:
            InputError: the memory is empty, it has fewer than k entries, or the text is empty.
            TokenizerError: the text cannot be encoded.
            RunError: the document of a hit is damaged or missing.
        """
        if not len(self):
            raise InputError(
                f"the memory in {self.folder} is empty: there is nothing to find. `inklings memory"
                " RUN add FILE` fills it."
            )
        if not 1 <= k <= len(self):
            raise InputError(
                f"k is {k}; this memory has {len(self):,} entries: ask for 1 to {len(self):,} of"
                " them."
            )
        tokens = self.tokenizer.encode(text)
        if not len(tokens):
            raise InputError(
                "the text to search for is empty; give what stands before the place that is sought."
            )
        with torch.no_grad():
            queries = self.model.queries(self._as_row(np.append(self.tokenizer.boundary, tokens)))
        hits = self.memory.search(queries[-1:], k, count_uses=False)
        rows = zip(
            *(
                column[0].tolist()
                for column in (hits.ids, hits.distances, hits.ages, hits.documents, hits.positions)
            ),
            strict=True,
        )
        # an approximate backend may find fewer
        return [self._hit(*row) for row in rows if row[0] >= 0]

    def remove(self, ids: Sequence[int]) -> None:
        """Remove entries for good.

        Raises:
            InputError: an id is unknown, or given twice; nothing was removed.
            DiskError: the disk is full, or may not be written to.
        """
        self.memory.remove(np.array(ids, dtype=np.int64))
        self._save()

    def forget(self, factor: float, seed: int = 0) -> Int64[np.ndarray, " n"]:
        """Forget each entry with probability `factor`; returns the ids.

        The same seed forgets the same entries of a memory.

        Raises:
            InputError: the factor is not a probability, or the seed is negative.
            DiskError: the disk is full, or may not be written to.
        """
        if seed < 0:
            raise InputError(f"seed is {seed}; it must be 0 or more.")
        forgotten = self.memory.forget(factor, np.random.default_rng(seed))
        self._save()
        return forgotten

    def compact(self) -> int:
        """Free the room of removed entries, and drop documents without entries.

        Return how many of them.

        Answers stay the same.

        Raises:
            RunError: a document is damaged.
            DiskError: the disk is full, or may not be written to.
        """
        self.memory.compact()
        self._save()
        self._documents = None
        return keep_documents(
            self.folder / DOCUMENTS, set(self.memory.entries().documents.tolist())
        )

    def info(self) -> MemoryInfo:
        """Describe the memory, with its measured recall.

        Raises:
            RunError: a document is damaged or missing.
        """
        entries = self.memory.entries()
        order = np.lexsort((entries.ids, entries.documents))
        numbers, starts, counts = np.unique(
            entries.documents[order], return_index=True, return_counts=True
        )
        first, last = entries.ids[order[starts]], entries.ids[order[starts + counts - 1]]
        documents = [
            DocumentInfo(
                self._document(number).name, len(self._document(number).tokens) - 2, *facts
            )
            for number, *facts in zip(
                *(column.tolist() for column in (numbers, counts, first, last)), strict=True
            )
        ]
        size = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        return MemoryInfo(
            self.memory.info(), documents, size, self.weights, self.tokenizer.hash, self.table
        )

    def _new_documents(
        self, lines: Sequence[tuple[str, Int64[np.ndarray, " _"]]]
    ) -> tuple[list[Document], list[str]]:
        """Return the documents that are not there yet, numbered, and the names of the others."""
        # beyond what a killed addition left, and beyond entries whose file was lost
        number = 1 + max((*self._all(), *self.memory.entries().documents.tolist()), default=-1)
        documents, known = new_documents(lines, self.documents(), number)
        if not documents:
            some = f"{known[0]} is" if len(known) == 1 else f"all {len(known)} texts are"
            raise InputError(
                f"{some} in the memory already, word for word; nothing was added. Remove the"
                " entries first to add them anew."
            )
        return documents, known

    def _check(self, document: Document, written: Written) -> None:
        """Refuse entries that are not of their document."""
        inside = (written.positions >= 1) & (written.positions < len(document.tokens))
        if not inside.all() or (document.tokens[written.positions] != written.values).any():
            raise ArchitectureError(
                f"{type(self.model).__name__}.written gave values that do not stand at their"
                f" positions in {document.name}; positions count from the boundary that opens the"
                " document, which is 0."
            )

    def _as_row(self, tokens: Int64[np.ndarray, " n"]) -> torch.Tensor:
        device = self.model.device if isinstance(self.model, Architecture) else None
        return torch.as_tensor(tokens.astype(np.int64), device=device)[None]

    def _hit(self, number: int, distance: float, age: int, document: int, position: int) -> Hit:
        found = self._document(document)
        value = token_text(self.tokenizer, int(found.tokens[position]))
        return Hit(
            number,
            distance,
            age,
            found.name,
            position,
            value,
            *around(self.tokenizer, found.tokens, position),
        )

    def _all(self) -> dict[int, Document]:
        """Return every document there is, with entries or without; read when first needed."""
        if self._documents is None:
            self._documents = read_documents(self.folder / DOCUMENTS)
        return self._documents

    def _document(self, number: int) -> Document:
        if number not in self._all():
            raise RunError(
                f"{self.folder / DOCUMENTS} is damaged: document {number} is missing. Restore it"
                " from a copy."
            )
        return self._all()[number]

    def _save(self) -> None:
        if self.table is not None:
            write_json(self.folder / TABLE, {"format_version": FORMAT_VERSION, "table": self.table})
        save(self.memory, self.folder / STORE, model=self.weights, tokenizer=self.tokenizer.hash)
