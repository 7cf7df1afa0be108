"""Parquet: a column is read, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

from inklings.errors import SourceError
from inklings.text.documents import Text
from inklings.text.formats.compressions import import_arrow
from inklings.text.formats.decoding import file_errors
from inklings.text.formats.format import FileFormat, TextFile
from inklings.text.formats.records import Wanted, no_field, record_texts


def _read(file: TextFile, wanted: Wanted) -> Iterator[Text]:
    pyarrow = import_arrow(f"reading {file.where}")
    try:
        with file_errors(file), pyarrow.parquet.ParquetFile(file.path) as table:
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


PARQUET = FileFormat(name="parquet", suffixes=(".parquet",), read=_read, compressible=False)
