"""Compressed files, read as they unpack."""

from __future__ import annotations

import gzip
from contextlib import AbstractContextManager
from typing import Any, cast

from inklings.errors import import_extra
from inklings.text.formats.format import Compression, TextFile


def import_arrow(what: str) -> Any:
    """Import pyarrow, or raise an error that says what needs it."""
    import_extra("pyarrow.parquet", what, "hub")
    return import_extra("pyarrow", what, "hub")


def _open_gzip(file: TextFile) -> AbstractContextManager[Any]:
    return gzip.open(file.path, "rb")


def _open_zstd(file: TextFile) -> AbstractContextManager[Any]:
    # Arrow's reader, because that of zstandard takes a file that breaks off for a whole one
    arrow = import_arrow(f"{file.where} is compressed with zstd, which")
    stream = arrow.input_stream(str(file.path), compression="zstd")
    return cast("AbstractContextManager[Any]", stream)


GZIP = Compression(name=".gz", open=_open_gzip)
ZSTD = Compression(name=".zst", open=_open_zstd)
