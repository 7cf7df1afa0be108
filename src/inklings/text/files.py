"""Text from files: plain, JSONL, CSV or Parquet, compressed or not; read as a stream, in memory that does not grow with them."""

from __future__ import annotations

import codecs
import contextlib
import csv
import glob
import gzip
import hashlib
import json
import os
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from inklings.durable import disk_errors
from inklings.errors import MissingExtraError, SourceError, nearest
from inklings.text.documents import Text, lines

BLOCK = 2**20
"""Bytes read at a time."""
LONGEST_RECORD = 2**28
"""Characters that one JSON or CSV record may have: it is held in memory whole."""

Kind = Literal["text", "jsonl", "csv", "parquet"]
Compression = Literal["", ".gz", ".zst"]

KINDS: dict[str, Kind] = {".txt": "text", ".md": "text", ".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}
COMPRESSIONS: tuple[Compression, Compression] = (".gz", ".zst")
KNOWN = ", ".join(KINDS) + ", each also as " + " or ".join(COMPRESSIONS)


@dataclass(frozen=True)
class TextFile:
    """A file and how it is read."""

    path: Path
    kind: Kind
    compression: Compression
    where: str
    """What to call it in a message."""


def text_file(path: Path, where: str | None = None) -> TextFile:
    """How a file is read, by its suffixes; one without a suffix that we know is taken for plain text."""
    suffix = path.suffix.lower()
    compression = next((c for c in COMPRESSIONS if c == suffix), "")
    inner = Path(path.stem).suffix.lower() if compression else suffix
    kind = KINDS.get(inner, "text")
    if kind == "parquet" and compression:
        raise SourceError(f"{path} is a compressed Parquet file. Parquet compresses itself: give the file without {compression}.")
    return TextFile(path, kind, cast(Compression, compression), where or str(path))


def find_files(given: str) -> list[TextFile]:
    """The files that a path, a folder or a pattern names, in the order of their names.

    A folder gives all files in it, at any depth, that have a suffix we know; hidden ones are left out. A pattern (`*`, `?`,
    `[...]`, `**`) gives every file that it matches.

    Raises:
        SourceError: there is no such file, or none that can be read.
    """
    path = Path(given).expanduser()
    if path.is_file():
        return [text_file(path)]
    if path.is_dir():
        inside = [(found.relative_to(path), found) for found in path.rglob("*") if found.is_file()]
        shown = sorted((name.as_posix(), found) for name, found in inside if not any(part.startswith(".") for part in name.parts))
        files = [found for _, found in shown if _has_known_suffix(found)]
        if not files:
            raise SourceError(f"the folder {given} holds no text files. Read are {KNOWN}; for others, give the file or a pattern.")
        return [text_file(found) for found in files]
    if glob.has_magic(given):
        matched = [found for name in sorted(glob.glob(str(path), recursive=True)) if (found := Path(name)).is_file()]  # noqa: PTH207 (Path.glob takes no absolute pattern)
        if not matched:
            raise SourceError(f"no file matches the pattern {given}.")
        return [text_file(found) for found in matched]
    if path.exists():
        raise SourceError(f"{given} is neither a file nor a folder; pipe it into `-` to read it as a stream.")
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = nearest(path.name, siblings) if siblings else ""
    raise SourceError(f"there is no file or folder {given}.{hint}")


def read_texts(file: TextFile, field: str) -> Iterator[Text]:
    """The texts in a file: the file itself, or the field of each of its records.

    Raises:
        SourceError: the file cannot be read, is not UTF-8 text, or a record has no such field; says where.
        MissingExtraError: it needs pyarrow.
    """
    if file.kind == "text":
        yield Text(_chunks(file), file.where)
    elif file.kind == "jsonl":
        yield from _jsonl(file, field)
    elif file.kind == "csv":
        yield from _csv(file, field)
    else:
        yield from _parquet(file, field)


def sample(file: TextFile) -> str:
    """The beginning of a plain text file: about a megabyte, or less."""
    return next(_chunks(file), "")


def content_hash(file: TextFile) -> str:
    """Hexadecimal SHA-256 of the bytes of a file as it lies on the disk."""
    with _named(file), open(file.path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def keep_stream(read: Callable[[int], bytes], folder: Path) -> Path:
    """Copy a stream that can be read only once, given by its `read`, into a file named by its content, and return that.

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


def _has_known_suffix(path: Path) -> bool:
    name = path.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    return Path(name).suffix in KINDS


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
        raise SourceError(f"{file.where} cannot be read: {error}.") from error


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
        return cast("contextlib.AbstractContextManager[Any]", arrow.input_stream(str(file.path), compression="zstd"))
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
    for block in _with_end(_blocks(file)):
        if decoded == 0 and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise SourceError(f"{file.where} is UTF-16, not UTF-8. Re-encode it: iconv -f utf-16 -t utf-8 FILE > NEW.")
        if (zero := block.find(b"\0")) >= 0:
            raise SourceError(f"{file.where} is not text: byte {decoded + zero:,} is zero. Inklings reads UTF-8 text: {KNOWN}.")
        try:
            text = held + decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            place = decoded + len(block) - len(error.object) + error.start
            found = error.object[error.start]
            raise SourceError(
                f"{file.where} is not UTF-8: byte {place:,} (0x{found:02x}) cannot be decoded. Re-encode it; if it is Latin-1: "
                f"iconv -f latin1 -t utf-8 FILE > NEW."
            ) from error
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


def _jsonl(file: TextFile, field: str) -> Iterator[Text]:
    advice = "A JSONL file has one JSON object a line."
    for number, line in enumerate(lines(_chunks(file), file.where, longest=LONGEST_RECORD, advice=advice), start=1):
        if not line or line.isspace():
            continue
        where = f"line {number} of {file.where}"
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise SourceError(f"{where} is not JSON: {error}. {advice}") from error
        if not isinstance(record, dict):
            raise SourceError(f"{where} is JSON, but no object: {line[:60]}. {advice}")
        yield record_text(record, field, where)


def _csv(file: TextFile, field: str) -> Iterator[Text]:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_RECORD))  # the default refuses fields above 128 KiB
    advice = "Is a quotation mark not closed?"
    rows = csv.reader(line + "\n" for line in lines(_chunks(file), file.where, longest=LONGEST_RECORD, advice=advice))
    try:
        header = next(rows, [])
        if field not in header:
            raise _no_field(field, header, f"{file.where} (columns are named by its first line)")
        column = header.index(field)
        for row in rows:
            if len(row) > column:
                yield Text([row[column]], f"line {rows.line_num} of {file.where}")
            elif any(row):
                raise SourceError(f"the record that ends in line {rows.line_num} of {file.where} has no column {field!r}: it is too short.")
    except csv.Error as error:
        raise SourceError(f"line {rows.line_num} of {file.where} is not CSV: {error}. {advice}") from error


def _parquet(file: TextFile, field: str) -> Iterator[Text]:
    pyarrow = _arrow(f"reading {file.where}")
    try:
        with _named(file), pyarrow.parquet.ParquetFile(file.path) as table:
            names = table.schema_arrow.names
            if field not in names:
                raise _no_field(field, names, file.where)
            number = 0
            for batch in table.iter_batches(batch_size=64, columns=[field]):
                for value in batch.column(0):
                    number += 1
                    yield record_text({field: value.as_py()}, field, f"record {number} of {file.where}")
    except pyarrow.ArrowException as error:
        raise SourceError(f"{file.where} is not a whole Parquet file: {error}.") from error


def record_text(record: dict[str, Any], field: str, where: str) -> Text:
    """The text in a field of a record.

    Raises:
        SourceError: the field is missing, is not text, or cannot be UTF-8.
    """
    if field not in record:
        raise _no_field(field, record, where)
    text = record[field]
    if not isinstance(text, str):
        raise SourceError(f"field {field!r} of {where} is not text: {str(text)[:60]} ({type(text).__name__}).")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair
            raise SourceError(f"field {field!r} of {where} is not valid Unicode: {error.reason} at character {error.start:,}.") from error
    return Text([text.replace("\r\n", "\n")], where)


def _no_field(field: str, names: Iterable[str], where: str) -> SourceError:
    listed = list(names)
    return SourceError(
        f"there is no field {field!r} in {where}.{nearest(field, listed)} It has: {', '.join(listed) or 'none'}. "
        f"Name the one that holds the text with the setting `field`."
    )
