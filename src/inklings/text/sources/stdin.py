"""Standard input (`-`), copied to a file so that it can be read again."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from inklings.errors import SourceError
from inklings.text.documents import Source
from inklings.text.formats.files import keep_stream, text_file
from inklings.text.sources.files_source import source_of_files
from inklings.text.sources.scheme import SourceRequest, SourceScheme


def _open(request: SourceRequest) -> Source:
    kept = _stdin(request.cache / "stdin")
    return source_of_files(request.data, [text_file(kept, where="standard input")], str(kept))


@functools.cache
def _stdin(folder: Path) -> Path:
    """Copy stdin into a file: once in a process, since it can be read only once."""
    if sys.stdin is None or sys.stdin.isatty():
        raise SourceError(
            "the source is `-`, but nothing is piped in. Example: cat book.txt | inklings prepare -"
        )
    return keep_stream(sys.stdin.buffer.read, folder)


SCHEME = SourceScheme(name="stdin", form="`-`", takes=lambda name: name == "-", open=_open)
