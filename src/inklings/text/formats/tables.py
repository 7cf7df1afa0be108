"""Tables of text: a row is a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from inklings.text.documents import Text
from inklings.text.formats.decoding import read_chunks
from inklings.text.formats.format import FileFormat, TextFile
from inklings.text.formats.records import DELIMITERS, Wanted, table_records


def _reader(delimiters: str) -> Callable[[TextFile, Wanted], Iterator[Text]]:
    return lambda file, wanted: table_records(
        read_chunks(file), wanted, file.where, delimiters=delimiters
    )


CSV = FileFormat(name="csv", suffixes=(".csv",), read=_reader(DELIMITERS))
TSV = FileFormat(name="tsv", suffixes=(".tsv",), read=_reader("\t"))
