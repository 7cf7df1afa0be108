"""Sources made from texts: documents as the settings cut them, with a fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from inklings.config import DataConfig
from inklings.errors import ConfigError
from inklings.text.documents import Layout, Source, Text, TextPiece, documents
from inklings.text.formats.records import Wanted

_READER = 1
"""A version of the reader, raised when the same bytes begin to give other documents: it is part of
every fingerprint.
"""


def check_cutting(data: DataConfig) -> None:
    """Refuse settings that define a document in two ways, or in none that can be used.

    Raises:
        ConfigError: they do; the message says which settings.
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


def choose_layout(data: DataConfig, known: Layout) -> Layout:
    """Return the layout that was asked for, or else the known one."""
    if data.layout != "auto":
        return data.layout
    return (
        "documents"
        if data.document_separator is not None or data.document_opening is not None
        else known
    )


def make_source(
    data: DataConfig,
    address: str,
    layout: Layout,
    texts: Callable[[Wanted], Iterable[Text]],
    hashes: list[str],
    *,
    opening: str | None = None,
) -> Source:
    """Make a source of texts.

    Args:
        data: the settings.
        address: a SOURCE that names the same text another time.
        layout: whether a document is a line.
        texts: reads the texts from their start.
        hashes: of the content; part of the fingerprint.
        opening: a pattern for lines that begin a document, where one is known.
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
