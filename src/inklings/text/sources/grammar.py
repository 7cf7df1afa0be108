"""The grammar of SOURCE.

A path, stdin, a builtin, a well-known name, or a data set of the Hugging Face hub.
"""

from __future__ import annotations

import dataclasses
import functools
import glob
import hashlib
import json
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from inklings.config import DataConfig
from inklings.durable import sha256
from inklings.errors import ConfigError, SourceError, nearest
from inklings.text.cache import cache_directory
from inklings.text.documents import Layout, Source, Text, TextPiece, documents, guess_layout
from inklings.text.formats.files import (
    content_hash,
    find_files,
    keep_stream,
    left_out_of,
    read_texts,
    sample,
    text_file,
)
from inklings.text.formats.format import TextFile
from inklings.text.formats.records import Wanted
from inklings.text.sources import builtin, hub, well_known

SAMPLED = 16
"""Files whose beginnings are looked at to guess the layout of a folder."""
_BETWEEN_DOCUMENTS = ("<|endoftext|>", "<|end_of_text|>", "<|eos|>", "<eos>")
"""Tokens that corpora are written with where one document ends."""
_RECORDS = re.compile(r'\s*(\[\s*)?\{\s*"[^"\n]*"\s*:')
"""How a file of JSON objects begins, be they in an array or not."""
_READER = 1
"""Counted up when the same bytes begin to give other documents: it is part of every fingerprint."""


def open_source(
    data: DataConfig, *, cache: Path | None = None, host: str = well_known.HOST
) -> Source:
    """The text that `data.source` names, read as `data` says.

    By its layout, its separator and its field.

    Local files are read once, to hash them. A well-known text is downloaded if it is not in the
    cache, stdin is copied there.

    Args:
        data: what to read, and how.
        cache: where downloads and stdin are kept; None: the user's cache folder.
        host: where the well-known texts come from.

    Raises:
        SourceError: the source is unknown, missing, empty, or not text.
        DownloadError: it cannot be fetched.
        MissingExtraError: reading it needs an optional dependency.
        ConfigError: layout and separator contradict each other.
    """
    _check_cutting(data)
    given = data.source
    cache = cache or cache_directory()
    if given.startswith("builtin:"):
        return _builtin(data)
    if given in well_known.ALIASES:
        return dataclasses.replace(_from_hub(data, well_known.ALIASES[given]), name=given)
    if given.startswith("hf:"):
        return _from_hub(data, given)
    if given in well_known.CORPORA:
        if Path(given).exists():
            warnings.warn(
                f"{given!r} is taken for the well-known text; to read the local one, write"
                f" ./{given}.",
                stacklevel=2,
            )
        return _well_known(data, cache / "downloads" / given, host)
    if given == "-":
        kept = _stdin(cache / "stdin")
        return _from_files(data, [text_file(kept, where="standard input")], str(kept))
    return _from_files(data, _local_files(given), str(Path(given).expanduser().absolute()))


def _check_cutting(data: DataConfig) -> None:
    """Refuse settings that say in two ways, or in none that can be used, what a document is.

    The error is a `ConfigError`.
    """
    separator, opening = data.document_separator, data.document_opening
    if separator is not None and not separator:
        raise ConfigError("document_separator is empty; give the text between two documents.")
    if opening is not None:
        if separator is not None:
            raise ConfigError(
                "document_separator and document_opening are both given: a document is what one of"
                " them cuts. Give one."
            )
        try:
            re.compile(opening)
        except re.error as error:
            raise ConfigError(
                f"document_opening {opening!r} is not a regular expression: {error}."
            ) from None
    if data.layout == "lines" and (separator or opening):
        name, what = (
            ("document_separator", "the separator cuts")
            if separator
            else ("document_opening", "an opening line begins")
        )
        raise ConfigError(
            f"layout is 'lines' and {name} is given: a document is a line, or what {what}. Give one"
            " of them."
        )


def _local_files(given: str) -> list[TextFile]:
    """The files that a path names; a name that is nothing at all may be a misspelt source."""
    if not given:
        raise SourceError(
            "the source is empty. Give a path, `-`, builtin:NAME, a well-known name, or"
            " hf:OWNER/NAME."
        )
    try:
        return find_files(given)
    except SourceError as error:
        if glob.has_magic(given) or os.path.lexists(Path(given).expanduser()):
            raise
        names = [
            *well_known.CORPORA,
            *well_known.ALIASES,
            *(f"builtin:{name}" for name in builtin.ABOUT),
        ]
        if "://" in given:
            raise SourceError(
                f"{given} is an address, not a source. Download it and give the path of the file."
            ) from error
        hint = nearest(given, names)
        if not hint and os.sep in given:
            raise
        raise SourceError(
            f"{error} Nor is it one of the texts known by name.{hint} They are: {', '.join(names)}."
        ) from error


@functools.cache
def _stdin(folder: Path) -> Path:
    """Stdin, copied into a file: once in a process, since it can be read only once."""
    if sys.stdin is None or sys.stdin.isatty():
        raise SourceError(
            "the source is `-`, but nothing is piped in. Example: cat book.txt | inklings prepare -"
        )
    return keep_stream(sys.stdin.buffer.read, folder)


def _builtin(data: DataConfig) -> Source:
    texts, layout = builtin.builtin(data.source.removeprefix("builtin:"))
    hashes = [sha256(text.encode()) for text in texts]
    return _local_source(
        data,
        data.source,
        _layout(data, layout),
        lambda _: (Text([text], data.source) for text in texts),
        hashes,
    )


def _well_known(data: DataConfig, folder: Path, host: str) -> Source:
    corpus = well_known.CORPORA[data.source]
    files = [
        (text_file(well_known.obtain(file, folder, host=host), where=data.source), file.split)
        for file in corpus.files
    ]
    source = _local_source(
        data,
        data.source,
        _layout(data, corpus.layout),
        lambda wanted: (
            Text(text.chunks, text.where, split)
            for file, split in files
            for text in read_texts(file, wanted)
        ),
        [file.converted_sha256 or file.sha256 for file in corpus.files],
        opening=corpus.opening,
    )
    fixed = all(split is not None for _, split in files)
    return dataclasses.replace(source, default_split=corpus.default_split, fixed_splits=fixed)


def _from_files(data: DataConfig, files: list[TextFile], address: str) -> Source:
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
    layout = _layout(data, "documents" if records or marked_up else guess_layout(samples))
    hashes = [f"{_format_name(file)} {content_hash(file)}" for file in files]
    source = _local_source(
        data,
        address,
        layout,
        lambda wanted: (t for file in files for t in read_texts(file, wanted)),
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


def _format_name(file: TextFile) -> str:
    return file.format.name + (file.compression.name if file.compression else "")


def _notes(data: DataConfig, files: list[TextFile], samples: list[str]) -> tuple[str, ...]:
    """What the beginnings of plain text files tell about a better way to read them."""
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


def _from_hub(data: DataConfig, given: str) -> Source:
    address = hub.parse_address(given, field=data.field)
    address = dataclasses.replace(address, revision=hub.commit(address))
    layout = _layout(data, "documents")
    field = address.field

    def read(wanted: Wanted) -> Iterator[Text]:
        return hub.read_hub(address, dataclasses.replace(wanted, field=field))

    source = _local_source(data, str(address), layout, read, [str(address)])
    return dataclasses.replace(source, remote=True)


def _layout(data: DataConfig, known: Layout) -> Layout:
    """The layout that was asked for, or else the known one."""
    if data.layout != "auto":
        return data.layout
    return (
        "documents"
        if data.document_separator is not None or data.document_opening is not None
        else known
    )


def _local_source(
    data: DataConfig,
    address: str,
    layout: Layout,
    texts: Callable[[Wanted], Iterable[Text]],
    hashes: list[str],
    *,
    opening: str | None = None,
) -> Source:
    """A source of texts.

    `hashes` say what is in them, `opening` how its documents are known to begin.
    """
    if layout == "lines" or data.document_separator is not None:
        opening = None
    opening = data.document_opening or opening

    left_out: Counter[str] = Counter()

    def read() -> Iterator[TextPiece]:
        left_out.clear()
        wanted = Wanted(data.field, data.skip_bad, left_out)
        return documents(texts(wanted), layout, data.document_separator, opening, left_out=left_out)

    described = {
        "reader": _READER,
        "content": hashes,
        "layout": layout,
        "separator": data.document_separator,
        "field": data.field,
    }
    if opening is not None:
        described["opening"] = opening
    if data.skip_bad:
        described["skip_bad"] = True
    fingerprint = hashlib.sha256(json.dumps(described).encode()).hexdigest()
    return Source(
        name=data.source,
        address=address,
        fingerprint=fingerprint,
        layout=layout,
        read=read,
        left_out=left_out,
    )
