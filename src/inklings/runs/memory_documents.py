"""The documents behind the entries of a run's long-term memory.

A hit shows its text from them, and a text that is added twice is recognised by them. Each addition
is a file, named after the first of its documents; a file for every document would have a list of
names wait for the disk thousands of times. Numbers are never used for two documents while either
has entries.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from inklings.durable import disk_errors, read_json, sha256, write_json
from inklings.errors import RunError

FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Document:
    """A text as the model read it."""

    number: int
    """Its number in the entries of the memory."""
    name: str
    """For people: the file, and which of its documents."""
    tokens: Int64[np.ndarray, " n"]
    """From the boundary that opens it to the one that closes it, so that an entry's position is an
    index.
    """
    sha256: str
    """Hash of the tokens; see `hash_of`."""


def hash_of(tokens: Int64[np.ndarray, " n"]) -> str:
    """Return the hash that texts are told apart by.

    It is of the tokens, not of the characters, of which a tokenizer may lose some.
    """
    return sha256(tokens.astype("<u4").tobytes())


def new_documents(
    lines: Sequence[tuple[str, Int64[np.ndarray, " _"]]], there: Sequence[Document], number: int
) -> tuple[list[Document], list[str]]:
    """Return the documents that are not there yet, and the names of those that are or come twice.

    Args:
        lines: name and tokens of each.
        there: the documents that are known.
        number: of the first new one.
    """
    hashes = {document.sha256 for document in there}
    documents: list[Document] = []
    known: list[str] = []
    for name, line in lines:
        tokens = line.astype(np.int64)
        digest = hash_of(tokens)
        if digest in hashes:
            known.append(name)
            continue
        hashes.add(digest)
        documents.append(Document(number + len(documents), name, tokens, digest))
    return documents, known


def read_documents(folder: Path) -> dict[int, Document]:
    """Read all documents by number, also those without entries; none where there is no folder.

    Raises:
        RunError: a file is damaged, or from a newer format.
    """
    found: dict[int, Document] = {}
    for path in sorted(folder.glob("*.json"), key=lambda path: path.name):
        for document in _read(path):
            found[document.number] = document
    return found


def write_documents(folder: Path, documents: Sequence[Document]) -> None:
    """Write the documents of one addition, atomically.

    Raises:
        DiskError: the disk is full, or may not be written to.
    """
    _write(folder / f"{documents[0].number}.json", documents)


def keep_documents(folder: Path, numbers: Collection[int]) -> int:
    """Drop all documents but those with these numbers; returns how many were dropped.

    Raises:
        RunError: a file is damaged, or from a newer format.
        DiskError: the disk is full, or may not be written to.
    """
    dropped = 0
    for path in folder.glob("*.json"):
        documents = _read(path)
        kept = [document for document in documents if document.number in numbers]
        dropped += len(documents) - len(kept)
        if not kept:
            with disk_errors(path):
                path.unlink()
        elif len(kept) < len(documents):
            _write(path, kept)
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)
    return dropped


def _write(path: Path, documents: Sequence[Document]) -> None:
    plain = [
        {"number": d.number, "name": d.name, "sha256": d.sha256, "tokens": d.tokens.tolist()}
        for d in documents
    ]
    write_json(
        path, {"format_version": FORMAT_VERSION, "sha256": _content_hash(plain), "documents": plain}
    )


def _read(path: Path) -> list[Document]:
    content: dict[str, Any] = read_json(path, format_version=FORMAT_VERSION)
    plain = content.get("documents")
    try:
        if content.get("sha256") != _content_hash(plain) or not isinstance(plain, list):
            raise RunError(
                f"{path} is damaged or was edited: its hash does not fit. Restore it from a copy."
            )
        return [
            Document(
                int(d["number"]),
                str(d["name"]),
                np.array(d["tokens"], dtype=np.int64),
                str(d["sha256"]),
            )
            for d in plain
        ]
    except (KeyError, TypeError, OverflowError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged: it does not hold documents ({error!r}). Restore it from a copy."
        ) from None


def _content_hash(plain: Any) -> str:
    return sha256(json.dumps(plain, sort_keys=True).encode())
