"""JSON: an array of records, or one record a line."""

from __future__ import annotations

from collections.abc import Iterator

from inklings.text.documents import Text
from inklings.text.formats.decoding import read_chunks
from inklings.text.formats.format import FileFormat, TextFile
from inklings.text.formats.records import Wanted, json_records


def _read(file: TextFile, wanted: Wanted) -> Iterator[Text]:
    return json_records(read_chunks(file), wanted, file.where)


JSONL = FileFormat(name="jsonl", suffixes=(".jsonl", ".ndjson"), read=_read)
# in a folder, such a file is more often about the texts than one of them
JSON = FileFormat(name="json", suffixes=(".json",), read=_read, in_folders=False)
