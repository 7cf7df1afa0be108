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
from inklings.errors import SourceError
from inklings.text.documents import Source, Text, guess_layout
from inklings.text.formats.decoding import file_errors
from inklings.text.formats.files import content_hash, left_out_of, read_texts, sample
from inklings.text.formats.format import TextFile
from inklings.text.formats.records import Wanted
from inklings.text.sources.reading import choose_layout, make_source

SAMPLED = 16
"""Files whose beginnings are looked at to guess the layout of a folder."""
_BETWEEN_DOCUMENTS = ("<|endoftext|>", "<|end_of_text|>", "<|eos|>", "<eos>")
"""Tokens that corpora are written with where one document ends."""
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
    samples = [] if records else [sample(file) for file in files[:SAMPLED]]
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
    """Read files one after the other; where one of several cannot be, say how it is left out.

    One that is no longer as its stamp says was written to since its content was hashed.
    """
    for number, file in enumerate(files):
        try:
            yield from read_texts(file, wanted)
        except SourceError as error:
            # a pattern of its own suffix would read it again
            others = Counter(other.path.suffix for other in files)
            del others[file.path.suffix]
            if not others or not Path(given).is_dir():
                raise
            suffix, count = others.most_common(1)[0]
            pattern = Path(given) / "**" / f"*{suffix}"
            raise SourceError(
                f"{error} A pattern leaves it out, as '{pattern}' reads {count:,} of the"
                f" {len(files):,} files."
            ) from error
        if _stamp(file) != tuple(stamps[2 * number : 2 * number + 2]):
            raise SourceError(
                f"{file.where} changed while it was being read. Run the same command again when"
                " nothing writes to it."
            )


def _format_name(file: TextFile) -> str:
    return file.format.name + (file.compression.name if file.compression else "")


def _notes(data: DataConfig, files: list[TextFile], samples: list[str]) -> tuple[str, ...]:
    """Return what the beginnings of plain text files tell about a better way to read them."""
    found = []
    for file, text in zip(files, samples, strict=False):
        name = next((name for name in _BETWEEN_DOCUMENTS if name in text), None)
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
