"""Real text that every Python carries: no download, no file."""

from __future__ import annotations

import functools
import importlib
import re
import sys
import unicodedata

from inklings.durable import sha256
from inklings.errors import SourceError, unknown_name
from inklings.text.documents import Layout, Source, Text
from inklings.text.sources.reading import choose_layout, make_source
from inklings.text.sources.scheme import SourceRequest, SourceScheme

ABOUT: dict[str, str] = {
    "unicode-names": "the names of 12,886 characters of Unicode 3.2, one a line",
    "python-docs": (
        "the language reference of Python, as its help system carries it; a topic is a document"
    ),
}
_SPELLED_BY_RULE = ("CJK UNIFIED IDEOGRAPH-", "CJK COMPATIBILITY IDEOGRAPH-", "HANGUL SYLLABLE ")


def builtin(name: str) -> tuple[tuple[str, ...], Layout]:
    """Return the texts of `builtin:NAME`, and its layout.

    Raises:
        SourceError: there is no such text.
    """
    if name == "unicode-names":
        return ("\n".join(unicode_names()),), "lines"
    if name == "python-docs":
        return python_docs(), "documents"
    raise SourceError(unknown_name("builtin text", name, ABOUT))


@functools.cache
def unicode_names() -> tuple[str, ...]:
    """Return the 12,886 names in `unicodedata.ucd_3_2_0`, in the order of their characters.

    The same in every Python.

    Left out are the 82,270 characters whose names only number them or spell their sound by rule:
    CJK ideographs and Hangul syllables.
    """
    names = (unicodedata.ucd_3_2_0.name(chr(point), "") for point in range(sys.maxunicode + 1))
    return tuple(name for name in names if name and not name.startswith(_SPELLED_BY_RULE))


@functools.cache
def python_docs() -> tuple[str, ...]:
    """Return the topics of `pydoc_data.topics` by name, without those that others contain.

    Many topics are sections of longer ones ("for" of "compound statements"): split by document,
    they would put held-out text into the training part. A topic is left out if half of its text or
    more, by paragraphs, occurs in longer topics.

    Raises:
        SourceError: this Python comes without them.
    """
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ModuleNotFoundError:
        raise SourceError(
            "this Python was installed without pydoc_data, which holds builtin:python-docs. Try"
            " builtin:unicode-names."
        ) from None
    seen: set[str] = set()
    kept = []
    for name, text in sorted(topics.items(), key=lambda item: (-len(item[1]), item[0])):
        paragraphs = [paragraph.strip() for paragraph in re.split(r"\n\s*\n", text)]
        known = sum(len(paragraph) for paragraph in paragraphs if paragraph in seen)
        if 2 * known < sum(map(len, paragraphs)):
            kept.append(name)
            seen.update(paragraphs)
    return tuple(topics[name] for name in sorted(kept))


def _open(request: SourceRequest) -> Source:
    data = request.data
    texts, layout = builtin(data.source.removeprefix("builtin:"))
    hashes = [sha256(text.encode()) for text in texts]
    return make_source(
        data,
        data.source,
        choose_layout(data, layout),
        lambda _: (Text([text], data.source) for text in texts),
        hashes,
    )


SCHEME = SourceScheme(
    name="builtin",
    form="builtin:NAME",
    takes=lambda name: name.startswith("builtin:"),
    open=_open,
    known=lambda: {f"builtin:{name}": (about, "in every Python") for name, about in ABOUT.items()},
)
