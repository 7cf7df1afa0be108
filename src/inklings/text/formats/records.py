"""Records of JSON and CSV files, streamed: each gives the text of one of its fields."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from inklings.errors import SourceError, nearest
from inklings.text.documents import Text, lines

LONGEST_RECORD = 2**28
"""Characters that one JSON or CSV record may have: it is held in memory whole."""
DELIMITERS = ",;\t|"
"""Delimiters between the columns of a CSV file, in the order in which they are tried."""
_CUT = 2**19
"""A beginning of a file longer than this may end anywhere."""
SKIP = "--data.skip-bad leaves out such records, and counts them."


class Repeating(dict[str, Any]):
    """A JSON object in which names stand more than once; of their values it has the last."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        times = Counter(name for name, _ in pairs)
        self.repeated = {name for name, count in times.items() if count > 1}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Repeating(pairs)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


@dataclass(frozen=True)
class Wanted:
    """Which field of a record is text, and what becomes of a record without it."""

    field: str
    skip_bad: bool = False
    """Leave such records out, and count them by what is wrong; otherwise they are refused."""
    left_out: Counter[str] = dataclasses.field(default_factory=Counter)

    def refuse(self, error: SourceError, why: str) -> None:
        """Raise the error, or count the record where bad ones are to be skipped."""
        if not self.skip_bad:
            raise error
        self.left_out[why] += 1


def record_texts(record: Any, wanted: Wanted, where: str) -> Iterator[Text]:
    """Yield the text of a record, or nothing where bad records are skipped.

    Errors as `record_text`.

    Args:
        record: a parsed JSON value.
        wanted: which field is text, and what becomes of bad records.
        where: what is read, for messages.
    """
    if isinstance(record, Repeating) and wanted.field in record.repeated:
        wanted.refuse(
            SourceError(
                f"{where} has the field {wanted.field!r} more than once. Give each a name of its"
                f" own, and say with --data.field which one holds the text. {SKIP}"
            ),
            "with its field twice",
        )
        return
    try:
        text = record_text(record, wanted.field, where)
    except SourceError as error:
        wanted.refuse(error, "without text")
    else:
        yield text


def record_text(record: Any, field: str, where: str) -> Text:
    """Return the text in a field of a record.

    Args:
        record: a parsed JSON value.
        field: the name of the field.
        where: what is read, for messages.

    Raises:
        SourceError: the field is missing, is not text, or cannot be UTF-8.
    """
    if not isinstance(record, dict):
        raise SourceError(
            f"{where} is JSON, but no object: {json.dumps(record)[:60]}. A record is one JSON"
            f" object. {SKIP}"
        )
    if field not in record:
        raise no_field(field, record, where)
    text = record[field]
    if not isinstance(text, str):
        raise SourceError(
            f"field {field!r} of {where} is not text: {str(text)[:60]} ({type(text).__name__})."
            f" {SKIP}"
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair
            raise SourceError(
                f"field {field!r} of {where} is not valid Unicode: {error.reason} at character"
                f" {error.start:,}. {SKIP}"
            ) from error
    return Text([text.replace("\r\n", "\n")], where)


def json_records(chunks: Iterator[str], wanted: Wanted, where: str) -> Iterator[Text]:
    """Iterate over the records of a JSON file: one array, or one record a line.

    Args:
        chunks: the text of a file, in chunks.
        wanted: which field is text, and what becomes of bad records.
        where: what is read, for messages.

    Raises:
        SourceError: it is neither, or a record has no such text.
    """
    first = next((chunk for chunk in chunks if not chunk.isspace()), "")
    rest = _put_back(first, chunks)
    line, _, more = first.strip().partition("\n")
    if line.startswith("[") and not (more and _parsed(line) is not None):
        yield from _array(rest, wanted, where)
        return
    if line.startswith("{") and (inside := _not_a_record(line, more, wanted.field)) is not None:
        raise SourceError(
            f"{where} is JSON, but neither an array of records nor one record a line. Make it that:"
            f" jq -c '.{inside}' FILE > NEW.jsonl (then give NEW.jsonl)."
        )
    yield from _lines_of_json(rest, wanted, where)


def _put_back(first: str, chunks: Iterator[str]) -> Iterator[str]:
    yield first
    yield from chunks


def _not_a_record(line: str, more: str, field: str) -> str | None:
    """Return what jq calls the records of a file that begins with this object.

    None if its first line is a record.
    """
    record = _parsed(line)
    if isinstance(record, dict):
        if more or field in record:
            return None
        arrays = [
            name
            for name, value in record.items()
            if isinstance(value, list) and value and isinstance(value[0], dict)
        ]
        return f"[{json.dumps(arrays[0])}][]" if arrays else None
    begun = line if not more else f"{line}\n{more}"
    found = re.search(r'"(\w+)"\s*:\s*\[\s*\{', begun)
    if found is not None and not re.search(
        rf'"{re.escape(field)}"\s*:\s*"', begun[: found.start()]
    ):
        return f'["{found[1]}"][]'
    return "" if more and line.rstrip().endswith(("{", "[", ",", ":")) else None


def _parsed(line: str) -> Any:
    """Return a line as JSON; None where it is not."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _lines_of_json(chunks: Iterator[str], wanted: Wanted, where: str) -> Iterator[Text]:
    advice = "A JSONL file has one JSON object a line."
    for number, line in enumerate(
        lines(chunks, where, longest=LONGEST_RECORD, advice=advice), start=1
    ):
        if not line or line.isspace():
            continue
        place = f"line {number} of {where}"
        try:
            record = _DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            wanted.refuse(SourceError(f"{place} is not JSON: {error}. {advice} {SKIP}"), "not JSON")
            continue
        yield from record_texts(record, wanted, place)


class _Unread:
    """The part of a JSON text that was read and not parsed yet."""

    def __init__(self, chunks: Iterator[str], where: str) -> None:
        self.chunks = chunks
        self.where = where
        self.text = ""
        self.at = 0

    def more(self) -> bool:
        """Read as much again as is held, so that a long record is not parsed for each block of it.

        False at the end.
        """
        parts = [self.text[self.at :]]
        least = len(parts[0])
        if least > LONGEST_RECORD:
            raise SourceError(
                f"a record of {self.where} has more than {LONGEST_RECORD:,} characters. Is a"
                " bracket not closed?"
            )
        read = 0
        while read <= least and (chunk := next(self.chunks, None)) is not None:
            parts.append(chunk)
            read += len(chunk)
        if read:
            self.text, self.at = "".join(parts), 0
        return read > 0

    def mark(self) -> str:
        """Return the next character that is no white space, which is passed over.

        Empty at the end.
        """
        while True:
            while self.at < len(self.text):
                self.at += 1
                if not self.text[self.at - 1].isspace():
                    return self.text[self.at - 1]
            if not self.more():
                return ""

    def value(self, what: str) -> Any:
        """Return the JSON value that comes next."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except (ValueError, RecursionError) as error:
                if not self.more():
                    raise SourceError(
                        f"{what} is not JSON: {error}. The file begins as an array."
                    ) from error
            else:
                if end < len(self.text) or not self.more():  # a number may go on in the next block
                    self.at = end
                    return value


def _array(chunks: Iterator[str], wanted: Wanted, where: str) -> Iterator[Text]:
    """Yield the elements of one JSON array, of which few are in memory at a time."""
    held = _Unread(chunks, where)
    held.mark()  # the bracket
    number = 0
    found = held.mark()
    while found != "]":
        number += 1
        if number == 1:
            held.at -= 1
        elif found != ",":
            raise SourceError(
                f"after record {number - 1} of {where} stands {found!r}, where an array has ',' or"
                " ']'. Is the file whole?"
            )
        else:
            held.mark()
            held.at -= 1
        yield from record_texts(
            held.value(f"record {number} of {where}"), wanted, f"record {number} of {where}"
        )
        found = held.mark()
    if held.mark():
        raise SourceError(
            f"after the array in {where} something else follows. One array, or one object a line,"
            " is read."
        )


def table_records(
    chunks: Iterator[str], wanted: Wanted, where: str, *, delimiters: str = DELIMITERS
) -> Iterator[Text]:
    """Iterate over the rows of a CSV file, or of another table; its first line names the columns.

    Args:
        chunks: the text of a file, in chunks.
        wanted: which field is text, and what becomes of bad records.
        where: what is read, for messages.
        delimiters: what may stand between columns; the first that fits is taken.

    Raises:
        SourceError: no column has the name that is wanted, or a row does not have the columns of
            the first.
    """
    csv.field_size_limit(
        max(csv.field_size_limit(), LONGEST_RECORD)
    )  # the default refuses fields above 128 KiB
    advice = "Is a quotation mark not closed?"
    first = next(chunks, "")
    if not first:
        yield Text([""], where)
        return
    head = _first_row(first)
    if said := re.match(r'"?sep=(.)"?(?:\r|\n|$)', first, re.IGNORECASE):
        delimiters, head = said[1], _first_row(first[said.end() :])
    rest = _put_back(first, chunks)
    if first[len(_first_row(first)) : len(_first_row(first)) + 1] == "\r":
        rest = (chunk.replace("\r", "\n") for chunk in rest)
    by = next(
        (d for d in delimiters if wanted.field in _cells(head, d)),
        max(delimiters, key=lambda d: len(_cells(head, d))),
    )
    quoted: Literal[0, 3] = csv.QUOTE_MINIMAL if by != "\t" or _quotes(first) else csv.QUOTE_NONE
    numbered = (line + "\n" for line in lines(rest, where, longest=LONGEST_RECORD, advice=advice))
    if said:
        next(numbered)
    rows = csv.reader(numbered, delimiter=by, quoting=quoted, strict=True)
    skipped = 1 if said else 0
    try:
        header = next(rows, [])
        if not header:
            raise SourceError(
                f"the first line of {where} is empty: a table begins with the names of its columns."
            )
        if wanted.field not in header:
            raise no_field(
                wanted.field, header, f"{where} (columns are named by its first line)", no_header=by
            )
        if (count := header.count(wanted.field)) > 1:
            raise SourceError(
                f"{where} has {count} columns of the name {wanted.field!r}. Give each a name of its"
                " own in the first line, and say with --data.field which one holds the text."
            )
        column = header.index(wanted.field)
        for row in rows:
            place = f"line {rows.line_num + skipped} of {where}"
            if not any(row):
                if row:
                    yield Text([""], place)
                continue
            try:
                text = _cell(row, column, header, place)
            except SourceError as error:
                wanted.refuse(error, "of other columns than the header's")
            else:
                yield text
    except csv.Error as error:
        raise SourceError(
            f"line {rows.line_num + skipped} of {where} is not CSV: {error}. {advice}"
        ) from error


def _cell(row: list[str], column: int, header: list[str], where: str) -> Text:
    if len(row) <= column:
        raise SourceError(
            f"the record that ends in {where} has no column {header[column]!r}: it is too short."
            f" {SKIP}"
        )
    if any(row[len(header) :]):
        raise SourceError(
            f"the record that ends in {where} has {len(row)} columns, the first line names"
            f" {len(header)}: is a text with the delimiter in it not quoted? {SKIP}"
        )
    return Text([row[column]], where)


def _first_row(text: str) -> str:
    """Return the text up to the end of its first row, which is no line end within quotes."""
    found = re.match(r'(?:"(?:[^"]|"")*"|[^"\r\n])*', text)
    return found[0] if found else ""


def _cells(head: str, delimiter: str) -> list[str]:
    return next(csv.reader([head], delimiter=delimiter), [])


def _quotes(text: str) -> bool:
    """Return whether quotation marks enclose fields of tab-separated values.

    Where they do not, a mark is a character like any other.
    """
    try:
        for _ in csv.reader(text.splitlines(keepends=True), delimiter="\t", strict=True):
            pass
    except csv.Error as error:
        return "end of data" in str(error) and len(text) > _CUT
    return True


def no_field(
    field: str, names: Iterable[str], where: str, *, no_header: str | None = None
) -> SourceError:
    """Make the error for a record that has no field of that name.

    Args:
        field: the name that is missing.
        names: the names that the record has.
        where: what is read, for messages.
        no_header: the delimiter of a table whose first line may be a record; None for other files.
    """
    listed = [str(name) for name in names]
    advice = "Name the one that holds the text with --data.field."
    if no_header is not None and listed:
        example = no_header.join(
            "text" if number == 0 else f"column{number + 1}" for number in range(len(listed))
        )
        advice += (
            f" If the first line is a record, put one with names before it: (echo '{example}'; cat"
            " FILE) > NEW."
        )
    return SourceError(
        f"there is no field {field!r} in {where}.{nearest(field, listed)} It has:"
        f" {', '.join(listed) or 'none'}. {advice}"
    )
