"""Decoding: from the bytes of a file to its text, in blocks."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import zlib
from collections.abc import Iterator
from typing import Any

from inklings.errors import SourceError
from inklings.text.formats.encodings import advice, foreign
from inklings.text.formats.format import TextFile, list_known

BLOCK = 2**20
"""Bytes read at a time."""


class ForeignTextError(SourceError):
    """The bytes of a file are no UTF-8 text."""


def read_chunks(file: TextFile) -> Iterator[str]:
    """Yield a file as text: UTF-8, without a byte order mark, with line feeds for line ends.

    Raises:
        ForeignTextError: it is none.
        SourceError: it cannot be read.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    decoded = 0  # bytes given to the decoder before this block
    held = ""  # a carriage return whose next character is not read yet
    beyond_ascii = False  # whether a character was decoded that UTF-8 writes in several bytes
    for block in _with_end(_blocks(file)):
        if decoded == 0 and (what := foreign(block)):
            raise ForeignTextError(f"{file.where} {what}")
        if (zero := block.find(b"\0")) >= 0:
            raise ForeignTextError(
                f"{file.where} is not text: byte {decoded + zero:,} is zero. Inklings reads UTF-8"
                f" text: {list_known()}."
            )
        try:
            text = held + decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            place = decoded + len(block) - len(error.object) + error.start
            found = error.object[error.start]
            before = beyond_ascii or not error.object[: error.start].isascii()
            raise ForeignTextError(
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


def _blocks(file: TextFile) -> Iterator[bytes]:
    """Yield the decompressed bytes of a file."""
    with file_errors(file), _opened(file) as stream:
        while block := stream.read(BLOCK):
            yield block


def _opened(file: TextFile) -> contextlib.AbstractContextManager[Any]:
    return file.compression.open(file) if file.compression else open(file.path, "rb")


@contextlib.contextmanager
def file_errors(file: TextFile) -> Iterator[None]:
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
