"""Text that is not UTF-8: what it is, and the command that converts it."""

from __future__ import annotations

import codecs

_CONTAINERS: dict[bytes, tuple[str, str]] = {
    b"\x1f\x8b": (
        "compressed with gzip",
        "Name it with .gz at the end, or pipe it: gzip -dc FILE | inklings prepare -",
    ),
    b"\x28\xb5\x2f\xfd": (
        "compressed with zstd",
        "Name it with .zst at the end, or pipe it: zstd -dc FILE | inklings prepare -",
    ),
    b"BZh": ("compressed with bzip2", "Unpack it first: bzip2 -dk FILE."),
    b"\xfd7zXZ\x00": ("compressed with xz", "Unpack it first: xz -dk FILE."),
    b"PK\x03\x04": (
        "a zip archive, or an office document",
        "Unpack it, or save the document as text.",
    ),
    b"PAR1": ("a Parquet file", "Name it with .parquet at the end."),
    b"ARROW1": ("an Arrow file", "Save it as Parquet."),
    b"%PDF-": ("a PDF document", "Make text of it: pdftotext FILE NEW.txt."),
    b"SQLite format 3": ("an SQLite database", "Export the table as CSV."),
}
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark begins alike
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PATTERNS = {"utf-32le": b"x000", "utf-32be": b"000x", "utf-16le": b"x0x0", "utf-16be": b"0x0x"}
"""Where the zeros are among four bytes of ASCII characters."""
_UNDEFINED = frozenset(b"\x81\x8d\x8f\x90\x9d")
"""Bytes that Windows-1252 has no character for."""


def foreign(block: bytes) -> str | None:
    """Return what a file that begins with this block is, if it is not UTF-8 text.

    It is a clause for a message, with what would read it.
    """
    for beginning, (what, advice) in _CONTAINERS.items():
        if block.startswith(beginning):
            return f"is {what}. {advice}"
    encoding = next(
        (name for mark, name in _MARKS.items() if block.startswith(mark)), None
    ) or _without_mark(block)
    if encoding is None:
        return None
    return (
        f"is {encoding.upper()}, not UTF-8. Re-encode it: iconv -f {encoding} -t utf-8 FILE > NEW."
    )


def _without_mark(block: bytes) -> str | None:
    start = block[:64]
    if len(start) < 8 or len(start) % 2:
        start = start[: len(start) // 4 * 4]
    shape = bytes(b"0"[0] if byte == 0 else b"x"[0] for byte in start)
    return next(
        (
            name
            for name, pattern in _PATTERNS.items()
            if len(shape) >= 8 and (pattern * 16)[: len(shape)] == shape
        ),
        None,
    )


def advice(error: UnicodeDecodeError, *, utf8_before: bool) -> str:
    """Return what to try with bytes that are not UTF-8.

    `utf8_before` says whether earlier bytes had characters beyond ASCII in UTF-8.
    """
    data = error.object[error.start :]
    high = {byte for byte in data if byte >= 0x80}
    drop = "iconv -c -f utf-8 -t utf-8 FILE > NEW leaves out what is broken."
    if error.reason == "unexpected end of data" and utf8_before:
        return f"It breaks off within a character: is the file whole? {drop}"
    if error.object[error.start] == 0xED and data[1:2] and 0xA0 <= data[1] <= 0xBF:
        return f"It is half of a surrogate pair, which UTF-8 does not have. {drop}"
    if utf8_before:
        return f"What stands before it is UTF-8, so it may be damaged there: {drop}"
    if high & _UNDEFINED:
        unknown = (
            "It is neither Latin-1 nor Windows-1252 text; find out what it is (`file -i FILE`)"
        )
        return f"{unknown}, then: iconv -f ENCODING -t utf-8 FILE > NEW."
    if any(byte < 0xA0 for byte in high):
        return "Re-encode it; if it is Windows-1252: iconv -f windows-1252 -t utf-8 FILE > NEW."
    return "Re-encode it; if it is Latin-1: iconv -f latin1 -t utf-8 FILE > NEW."
