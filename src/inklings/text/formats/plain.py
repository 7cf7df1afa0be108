"""Plain text: a file is one text."""

from __future__ import annotations

from collections.abc import Iterator

from inklings.text.documents import Text
from inklings.text.formats.decoding import read_chunks
from inklings.text.formats.format import FileFormat, TextFile
from inklings.text.formats.records import Wanted


def _read(file: TextFile, wanted: Wanted) -> Iterator[Text]:
    yield Text(read_chunks(file), file.where)


TEXT = FileFormat(name="text", suffixes=(".txt", ".md"), read=_read, records=False)
