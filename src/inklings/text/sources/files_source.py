"""A source made of files."""

from __future__ import annotations

import dataclasses
import itertools
import re
import warnings
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from inklings.config import DataConfig
from inklings.errors import InklingsError, SourceError
from inklings.text.documents import Source, Text, guess_layout
from inklings.text.formats.decoding import ForeignTextError, file_errors
from inklings.text.formats.files import content_hash, left_out_of, read_texts, sample
from inklings.text.formats.format import TextFile
from inklings.text.formats.records import Wanted
from inklings.text.sources.reading import choose_layout, make_source

NAMED = 5
"""Most files that a message names one by one."""
SAMPLED = 16
"""Files whose beginnings are looked at to guess the layout of a folder."""
_BETWEEN_DOCUMENTS = ("<|endoftext|>", "<|end_of_text|>", "<|eos|>", "<eos>")
"""Tokens that corpora are written with where one document ends."""
_QUOTES = ("``", "''", '""', "\u201c\u201d", "\u2018\u2019")
"""What stands around words that a text is about."""
_RECORDS = re.compile(r'\s*(\[\s*)?\{\s*"[^"\n]*"\s*:')
"""How a file of JSON objects begins, be they in an array or not."""


def source_of_files(data: DataConfig, files: list[TextFile], address: str) -> Source:
    """Make the source of the files, read as `data` says.

    Args:
        data: the settings.
        files: in the order in which they are read.
        address: a SOURCE that names the same files another time.

    Raises:
        SourceError: they hold no text.
    """
    records = any(file.format.records for file in files)
    if not records and data.field != DataConfig.field:
        warnings.warn(
            f"field {data.field!r} is ignored: {data.source} is plain text, it has no fields.",
            stacklevel=2,
        )
    if not records and data.skip_bad:
        warnings.warn(
            f"skip_bad is ignored: {data.source} is plain text, it has no records.", stacklevel=2
        )
    marked_up = any(".md" in file.path.suffixes for file in files)
    samples = [] if records else [_sample(file, files) for file in files[:SAMPLED]]
    layout = choose_layout(data, "documents" if records or marked_up else guess_layout(samples))
    stamps = array("q", itertools.chain.from_iterable(map(_stamp, files)))
    hashes = [f"{_format_name(file)} {content_hash(file)}" for file in files]
    source = make_source(
        data,
        address,
        layout,
        lambda wanted: _texts_of(files, stamps, wanted, data.source),
        hashes,
    )
    if next(source.pieces(), None) is None:
        where = files[0].where if len(files) == 1 else data.source
        bad = sum(source.left_out.values()) - source.left_out["empty"]
        left = (
            f" Left out as bad: {bad:,} records; without --data.skip-bad the first is shown."
            if bad
            else ""
        )
        raise SourceError(f"{where} holds no text: it is empty or blank.{left}")
    return dataclasses.replace(
        source, notes=_notes(data, files, samples), files_left_out=left_out_of(data.source)
    )


def _stamp(file: TextFile) -> tuple[int, int]:
    """Return the size of a file in bytes, and when it was written in nanoseconds."""
    with file_errors(file):
        facts = file.path.stat()
    return facts.st_size, facts.st_mtime_ns


def _texts_of(
    files: list[TextFile], stamps: array[int], wanted: Wanted, given: str
) -> Iterator[Text]:
    """Read files one after the other; what is wrong with one says what to do about all.

    One that is no longer as its stamp says was written to since its content was hashed.
    """
    for number, file in enumerate(files):
        try:
            for text in read_texts(file, wanted):
                yield (
                    text
                    if file.format.records
                    else text._replace(chunks=_chunks_of(text, file, files))
                )
        except SourceError as error:
            more = _others_alike(error, file, files, wanted) + _pattern_without(file, files, given)
            if not more:
                raise
            raise SourceError(f"{error}{more}") from error
        if _stamp(file) != tuple(stamps[2 * number : 2 * number + 2]):
            raise SourceError(
                f"{file.where} changed while it was being read. Run the same command again when"
                " nothing writes to it."
            )


def _chunks_of(text: Text, file: TextFile, files: list[TextFile]) -> Iterator[str]:
    """Yield the text of a plain file, which is decoded as it is read."""
    try:
        yield from text.chunks
    except ForeignTextError as error:
        raise SourceError(f"{error}{_others_alike(error, file, files)}") from error


def _sample(file: TextFile, files: list[TextFile]) -> str:
    try:
        return sample(file)
    except ForeignTextError as error:
        raise SourceError(f"{error}{_others_alike(error, file, files)}") from error


def _others_alike(
    error: SourceError, file: TextFile, files: list[TextFile], wanted: Wanted | None = None
) -> str:
    """Name the other files that are no UTF-8 text either, so that all are mended at once.

    Args:
        error: what is wrong with one.
        file: that one.
        files: all of them.
        wanted: which field of records is text.
    """
    if not isinstance(error, ForeignTextError):
        return ""
    field = DataConfig.field if wanted is None else wanted.field
    bad = [other.where for other in files if other != file and _is_foreign(other, field)]
    if not bad:
        return ""
    named = ", ".join(bad[:NAMED]) + (f" and {len(bad) - NAMED:,} more" if bad[NAMED:] else "")
    return f" Nor are {len(bad):,} of the other {len(files) - 1:,} files UTF-8 text: {named}."


def _is_foreign(file: TextFile, field: str) -> bool:
    """Return whether the bytes of a file are no UTF-8 text, whatever else is wrong with it."""
    try:
        for text in read_texts(file, Wanted(field, skip_bad=True)):
            for _ in text.chunks:
                pass
    except ForeignTextError:
        return True
    except InklingsError:
        return False
    return False


def _pattern_without(file: TextFile, files: list[TextFile], given: str) -> str:
    """Return the pattern that leaves a file of a folder out, where its suffix tells it apart."""
    others = Counter(other.path.suffix for other in files)
    del others[file.path.suffix]  # a pattern of its own suffix would read it again
    if not others or not Path(given).is_dir():
        return ""
    suffix, count = others.most_common(1)[0]
    pattern = Path(given) / "**" / f"*{suffix}"
    return f" A pattern leaves it out, as '{pattern}' reads {count:,} of the {len(files):,} files."


def _format_name(file: TextFile) -> str:
    return file.format.name + (file.compression.name if file.compression else "")


def _stands_in(text: str, name: str) -> bool:
    """Return whether a token stands in a text by itself: in quotes it is what the text is about."""
    places = re.finditer(re.escape(name), text)
    around = (
        text[max(0, found.start() - 1) : found.start()] + text[found.end() : found.end() + 1]
        for found in places
    )
    return any(marks not in _QUOTES for marks in around)


def _notes(data: DataConfig, files: list[TextFile], samples: list[str]) -> tuple[str, ...]:
    """Return what the beginnings of plain text files tell about a better way to read them."""
    found = []
    for file, text in zip(files, samples, strict=False):
        name = next((name for name in _BETWEEN_DOCUMENTS if _stands_in(text, name)), None)
        if name is not None and data.document_separator is None:
            found.append(
                f"{file.where} holds {name!r}, which is read as text: --data.document-separator"
                f" '{name}' cuts documents there."
            )
        if text.count("\r") > text.count("\n") and data.document_separator is None:
            found.append(
                f"{file.where} has carriage returns (\\r) where lines end; they are kept, and are"
                " no line ends here. --data.document-separator $'\\r' makes each line a document;"
                " tr '\\r' '\\n' < FILE > NEW makes line feeds of them."
            )
        if _RECORDS.match(text):
            found.append(
                f"{file.where} looks like JSON, and is read as plain text, braces and all: under a"
                " name that ends in .jsonl or .json the text of each record is read (--data.field"
                " says which)."
            )
    return tuple(dict.fromkeys(found))
