"""Formats of text files, by their suffix, and how files are compressed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inklings.registry import Registry
from inklings.text.documents import Text
from inklings.text.formats.records import Wanted


@dataclass(frozen=True)
class TextFile:
    """A file, and how it is read."""

    path: Path
    format: FileFormat
    compression: Compression | None
    where: str
    """What to call it in a message."""


@dataclass(frozen=True, kw_only=True)
class FileFormat:
    """A kind of file that texts are read from, and everything that is asked about it."""

    name: str
    """Part of the fingerprint of every text that is read so."""
    suffixes: tuple[str, ...]
    read: Callable[[TextFile, Wanted], Iterator[Text]]
    """Reads the texts of a file, streamed; errors say where."""
    records: bool = True
    """Whether it has records with fields; otherwise the file is one text."""
    in_folders: bool = True
    """Whether it is taken from a folder, and not only where it is named."""
    compressible: bool = True
    """Whether it may be compressed as a whole; otherwise it compresses itself."""


@dataclass(frozen=True, kw_only=True)
class Compression:
    """A way in which any file may be compressed as a whole."""

    name: str
    """The suffix of files that are compressed so."""
    open: Callable[[TextFile], AbstractContextManager[Any]]
    """Opens a file, to be read as bytes that are no longer compressed."""


FORMATS: Registry[FileFormat] = Registry(
    "file format",
    {
        "text": "inklings.text.formats.plain:TEXT",
        "jsonl": "inklings.text.formats.json_records:JSONL",
        "json": "inklings.text.formats.json_records:JSON",
        "csv": "inklings.text.formats.tables:CSV",
        "tsv": "inklings.text.formats.tables:TSV",
        "parquet": "inklings.text.formats.parquet:PARQUET",
    },
)
"""Every format by its name."""

COMPRESSIONS: Registry[Compression] = Registry(
    "compression",
    {
        ".gz": "inklings.text.formats.compressions:GZIP",
        ".zst": "inklings.text.formats.compressions:ZSTD",
    },
)
"""Every compression by its suffix."""


def list_known(*, in_folders: bool = False) -> str:
    """Return the suffixes that are read, for messages; those read from folders if asked."""
    suffixes = [s for f in FORMATS if f.in_folders or not in_folders for s in f.suffixes]
    return ", ".join(suffixes) + ", each also as " + " or ".join(COMPRESSIONS.places)
