"""Text from files.

Plain, JSONL, CSV or Parquet, compressed or not; read as a stream, in memory that does not grow with
them.
"""

from __future__ import annotations

import codecs
import contextlib
import glob
import gzip
import hashlib
import os
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from inklings.durable import disk_errors
from inklings.errors import MissingExtraError, SourceError, nearest
from inklings.text.documents import Text
from inklings.text.formats.encodings import advice, foreign
from inklings.text.formats.records import (
    DELIMITERS,
    Wanted,
    json_records,
    no_field,
    record_texts,
    table_records,
)

BLOCK = 2**20
"""Bytes read at a time."""

Kind = Literal["text", "jsonl", "json", "csv", "tsv", "parquet"]
Compression = Literal["", ".gz", ".zst"]

KINDS: dict[str, Kind] = {
    ".txt": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
NAMED_ONLY = (".json",)
"""Not taken from a folder, where such a file is more often about the texts than one of them."""
COMPRESSIONS: tuple[Compression, Compression] = (".gz", ".zst")
KNOWN = ", ".join(KINDS) + ", each also as " + " or ".join(COMPRESSIONS)
_IN_FOLDERS = [suffix for suffix in KINDS if suffix not in NAMED_ONLY]
_IN_FOLDERS_SAID = ", ".join(_IN_FOLDERS) + ", each also as " + " or ".join(COMPRESSIONS)


@dataclass(frozen=True)
class TextFile:
    """A file and how it is read."""

    path: Path
    kind: Kind
    compression: Compression
    where: str
    """What to call it in a message."""


def text_file(path: Path, where: str | None = None) -> TextFile:
    """How a file is read, by its suffixes.

    One without a suffix that we know is taken for plain text.
    """
    suffix = path.suffix.lower()
    compression = next((c for c in COMPRESSIONS if c == suffix), "")
    inner = Path(path.stem).suffix.lower() if compression else suffix
    kind = KINDS.get(inner, "text")
    if kind == "parquet" and compression:
        raise SourceError(
            f"{path} is a compressed Parquet file. Parquet compresses itself: give the file without"
            f" {compression}."
        )
    return TextFile(path, kind, cast(Compression, compression), where or str(path))


def find_files(given: str) -> list[TextFile]:
    """The files that a path, a folder or a pattern names, in the order of their names.

    A folder gives all files in it, at any depth, that have a suffix we know, but for `NAMED_ONLY`;
    hidden ones are left out. A pattern (`*`, `?`, `[...]`, `**`) gives every file that it matches.

    Raises:
        SourceError: there is no such file, or none that can be read.
    """
    path = Path(given).expanduser()
    try:
        path.exists()
    except OSError as error:
        raise SourceError(f"{given} cannot be read: {error.strerror}.") from None
    if path.is_file():
        return [text_file(path)]
    if path.is_dir():
        shown = _shown(path)
        files = [found for found in shown if _suffix(found) in _IN_FOLDERS]
        if not files:
            others = f" It holds {list_suffixes(left_out_of(given))}." if shown else ""
            what = f"Read are {_IN_FOLDERS_SAID}; for others, give the file or a pattern."
            raise SourceError(f"the folder {given} holds no text files. {what}{others}")
        return [text_file(found) for found in files]
    if glob.has_magic(given):
        matched = [
            found
            for name in sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # absolute patterns
            if (found := Path(name)).is_file()
        ]
        if not matched:
            raise SourceError(f"no file matches the pattern {given}.")
        return [text_file(found) for found in matched]
    if path.exists():
        raise SourceError(
            f"{given} is neither a file nor a folder; pipe it into `-` to read it as a stream."
        )
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = nearest(path.name, siblings) if siblings else ""
    raise SourceError(f"there is no file or folder {given}.{hint}")


def left_out_of(given: str) -> dict[str, int]:
    """How many files of a folder `find_files` leaves out, by suffix.

    Nothing where a path is no folder.
    """
    path = Path(given).expanduser()
    suffixes = (
        Counter(_suffix(found) for found in _shown(path)) if path.is_dir() else Counter[str]()
    )
    return {
        suffix: count for suffix, count in sorted(suffixes.items()) if suffix not in _IN_FOLDERS
    }


def list_suffixes(counts: Mapping[str, int]) -> str:
    """Such counts in words."""
    return ", ".join(
        f"{count:,} {suffix or 'without a suffix'}" for suffix, count in counts.items()
    )


def _shown(folder: Path) -> list[Path]:
    """All files in a folder, at any depth, in the order of their names, but for hidden ones."""
    inside = [(found.relative_to(folder), found) for found in folder.rglob("*") if found.is_file()]
    return [
        f
        for _, f in sorted(
            (name.as_posix(), f)
            for name, f in inside
            if not any(part.startswith(".") for part in name.parts)
        )
    ]


def read_texts(file: TextFile, field: str | Wanted) -> Iterator[Text]:
    """The texts in a file: the file itself, or the field of each of its records.

    Raises:
        SourceError: the file cannot be read, is not UTF-8 text, or a record has no such field; says
            where.
        MissingExtraError: it needs pyarrow.
    """
    wanted = Wanted(field) if isinstance(field, str) else field
    if file.kind == "text":
        yield Text(_chunks(file), file.where)
    elif file.kind in ("jsonl", "json"):
        yield from json_records(_chunks(file), wanted, file.where)
    elif file.kind == "parquet":
        yield from _parquet(file, wanted)
    else:
        yield from table_records(
            _chunks(file), wanted, file.where, delimiters=DELIMITERS if file.kind == "csv" else "\t"
        )


def sample(file: TextFile) -> str:
    """The beginning of a plain text file: about a megabyte, or less."""
    return next(_chunks(file), "")


def content_hash(file: TextFile) -> str:
    """Hexadecimal SHA-256 of the bytes of a file as it lies on the disk."""
    with _named(file), open(file.path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def keep_stream(read: Callable[[int], bytes], folder: Path) -> Path:
    """Copy a stream that can be read only once into a file named by its content.

    The stream is given by its `read`; the file is returned.

    Raises:
        SourceError: the stream has no bytes.
        DiskError: there is no room for it.
    """
    temporary = folder / f".{uuid.uuid4().hex[:8]}.tmp"
    digest = hashlib.sha256()
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                while block := read(BLOCK):
                    digest.update(block)
                    file.write(block)
                if file.tell() == 0:
                    raise SourceError("standard input is empty: pipe a text into it.")
                file.flush()
                os.fsync(file.fileno())
            kept = folder / f"{digest.hexdigest()}.txt"
            temporary.replace(kept)
        finally:
            temporary.unlink(missing_ok=True)
    return kept


def _suffix(path: Path) -> str:
    """The suffix of a file's name, without that of a compression that we read."""
    name = path.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    return Path(name).suffix


@contextlib.contextmanager
def _named(file: TextFile) -> Iterator[None]:
    """Say in one clear message which file cannot be read, and why."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{file.where} is not a whole gzip file: {error}.") from error
    except FileNotFoundError as error:
        raise SourceError(f"{file.where} has vanished.") from error
    except PermissionError as error:
        raise SourceError(f"no permission to read {file.where}.") from error
    except OSError as error:
        window = "too much memory" in str(error)  # of a frame that `zstd --long` made
        hint = (
            f" It was compressed with a long window: zstd -d --long=31 {file.where} -o NEW"
            " unpacks it."
            if window
            else ""
        )
        raise SourceError(f"{file.where} cannot be read: {error}.{hint}") from error


def _blocks(file: TextFile) -> Iterator[bytes]:
    """The decompressed bytes of a file."""
    with _named(file), _opened(file) as stream:
        while block := stream.read(BLOCK):
            yield block


def _opened(file: TextFile) -> contextlib.AbstractContextManager[Any]:
    """The file, to be read as decompressed bytes."""
    if file.compression == ".zst":
        # Arrow's reader, because that of zstandard takes a file that breaks off for a whole one
        arrow = _arrow(f"{file.where} is compressed with zstd, which")
        return cast(
            "contextlib.AbstractContextManager[Any]",
            arrow.input_stream(str(file.path), compression="zstd"),
        )
    return gzip.open(file.path, "rb") if file.compression == ".gz" else open(file.path, "rb")


def _arrow(what: str) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError(what, "hub") from error
    return pyarrow


def _chunks(file: TextFile) -> Iterator[str]:
    """A file as text: UTF-8, without a byte order mark, with line feeds for line ends."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    decoded = 0  # bytes given to the decoder before this block
    held = ""  # a carriage return whose next character is not read yet
    beyond_ascii = False  # whether a character was decoded that UTF-8 writes in several bytes
    for block in _with_end(_blocks(file)):
        if decoded == 0 and (what := foreign(block)):
            raise SourceError(f"{file.where} {what}")
        if (zero := block.find(b"\0")) >= 0:
            raise SourceError(
                f"{file.where} is not text: byte {decoded + zero:,} is zero. Inklings reads UTF-8"
                f" text: {KNOWN}."
            )
        try:
            text = held + decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            place = decoded + len(block) - len(error.object) + error.start
            found = error.object[error.start]
            before = beyond_ascii or not error.object[: error.start].isascii()
            raise SourceError(
                f"{file.where} is not UTF-8: byte {place:,} (0x{found:02x}) cannot be decoded."
                f" {advice(error, utf8_before=before)}"
            ) from error
        beyond_ascii = beyond_ascii or not text.isascii()
        if decoded == 0:
            text = text.removeprefix("\ufeff")
        decoded += len(block)
        held = "\r" if block and text.endswith("\r") else ""
        text = text.removesuffix(held).replace("\r\n", "\n")
        if text:
            yield text


def _with_end(blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield from blocks
    yield b""


def _parquet(file: TextFile, wanted: Wanted) -> Iterator[Text]:
    pyarrow = _arrow(f"reading {file.where}")
    try:
        with _named(file), pyarrow.parquet.ParquetFile(file.path) as table:
            names = table.schema_arrow.names
            if wanted.field not in names:
                raise no_field(wanted.field, names, file.where)
            number = 0
            for batch in table.iter_batches(batch_size=64, columns=[wanted.field]):
                for value in batch.column(0):
                    number += 1
                    yield from record_texts(
                        {wanted.field: value.as_py()}, wanted, f"record {number} of {file.where}"
                    )
    except pyarrow.ArrowException as error:
        raise SourceError(f"{file.where} is not a whole Parquet file: {error}.") from error
