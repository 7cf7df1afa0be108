"""Documents, streamed: a line, a file, a record, or what a separator cuts.

A document may be larger than memory.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from inklings.errors import SourceError

Layout = Literal["lines", "documents"]
SplitName = Literal["train", "validation", "test"]

PIECE = 2**20
"""Characters that a piece of a long document has at most, if a good place to cut is near."""
LONGEST_PIECE = 4 * PIECE
"""Characters after which a piece is cut even where there is no good place."""
LONGEST_LINE = 16 * PIECE
"""Characters that a document of the layout `lines` may have."""
FEWEST_DOCUMENTS = 10
"""With fewer documents than this, each is cut into splits; with fewer lines, a text is not taken
for a list of lines.
"""
SHORT_LINE = 200
"""A text whose median line is shorter than this may be a list of lines."""


class TextPiece(NamedTuple):
    """A document, or a part of one that is too long to be held whole.

    The texts of the pieces from one `first` to the next `last` are, concatenated, the document; a
    short document is one piece with both flags set. Pieces of two documents are never interleaved,
    and no piece is empty. None is longer than `LONGEST_PIECE`, except a document of the layout
    `lines`, which is one piece of up to `LONGEST_LINE`.

    A document is cut where the pre-tokenisation of byte-level BPE (the GPT-2 pattern) cuts too:
    directly after a newline that stands between two characters which are not white space, or is
    followed by one space and such a character; or else directly before a space that is followed by
    a letter. So the tokens of the pieces are the tokens of the whole, unless a stretch of
    `LONGEST_PIECE` characters has no such place. A named tuple and no dataclass, because there may
    be millions.
    """

    text: str
    first: bool
    """Opens a document."""
    last: bool
    """Closes a document."""
    split: SplitName | None = None
    """Where it belongs; None before splits are assigned, unless the source itself fixes them."""


@dataclass(frozen=True)
class Source:
    """A text that can be read again and again, the same each time."""

    name: str
    """Name of the file, as the user gave it."""
    address: str
    """A SOURCE that names the same text another time: absolute, the kept copy of stdin, a pinned
    revision.
    """
    fingerprint: str
    """Hexadecimal SHA-256 of the content (remote: of its name and revision) and of how it is read.
    """
    layout: Layout
    """In `lines`, a document is one line, without its newline."""
    read: Callable[[], Iterator[TextPiece]]
    """Reads the source from its start."""
    default_split: tuple[float, float, float] | None = None
    """The shares of train, validation and test that this text is known by."""
    fixed_splits: bool = False
    """Whether the pieces say themselves where they belong."""
    remote: bool = False
    """Whether it comes over the network each time it is read; then documents go to splits by their
    hash.
    """
    notes: tuple[str, ...] = ()
    """What a user should know of how it is read."""
    files_left_out: Mapping[str, int] = field(default_factory=dict)
    """How many files of a folder are not read, by suffix."""
    left_out: Counter[str] = field(default_factory=Counter)
    """How many files and records the last reading that came to its end found without a text, by
    what is wrong with them.
    """

    def pieces(self) -> Iterator[TextPiece]:
        """Return all documents in order, in bounded memory; blank documents are left out.

        Raises:
            SourceError: something in the source is not text, raised when it is reached.
        """
        return self.read()


class Text(NamedTuple):
    """A file or a record, as a stream of chunks of any length, with line feeds for line ends."""

    chunks: Iterable[str]
    where: str
    """What to call it in a message."""
    split: SplitName | None = None


def documents(
    texts: Iterable[Text],
    layout: Layout,
    separator: str | None,
    opening: str | None = None,
    *,
    left_out: Counter[str] | None = None,
) -> Iterator[TextPiece]:
    """Iterate over the documents of the texts.

    They are its lines, or what the separator cuts, or what an opening line begins, or each text
    whole.

    Args:
        texts: files or records.
        layout: whether a document is a line.
        separator: what stands between two documents.
        opening: a pattern for lines that begin a document.
        left_out: where texts without a document are counted as "empty".

    Raises:
        SourceError: the layout is `lines` and a line is longer than `LONGEST_LINE`.
    """
    for text in texts:
        if layout == "lines":
            found = _lines(text)
        else:
            if separator is not None:
                ended = _ended_by(text.chunks, separator)
            else:
                ended = (
                    _ended_once(text.chunks)
                    if opening is None
                    else _opened_by(text.chunks, opening)
                )
            found = _pieces(ended, text.split)
        first = next(found, None)
        if first is not None:
            yield first
            yield from found
        elif left_out is not None:
            left_out["empty"] += 1


def _lines(text: Text) -> Iterator[TextPiece]:
    """Yield the lines of a text that are not blank."""
    advice = "Is it one long text? Then try --data.layout documents."
    for line in lines(text.chunks, text.where, longest=LONGEST_LINE, advice=advice):
        if line and not line.isspace():
            yield TextPiece(line, True, True, text.split)


def lines(chunks: Iterable[str], where: str, *, longest: int, advice: str) -> Iterator[str]:
    """Iterate over the lines of a text without their newlines.

    What follows the last newline is a line too, even if it is empty.

    Args:
        chunks: the text of a file, in chunks.
        where: what is read, for messages.
        longest: most characters of a line.
        advice: what the message for a longer line ends in.

    Raises:
        SourceError: a line has more than `longest` characters.
    """
    held: list[str] = []
    length = 0
    number = 1
    for chunk in chunks:
        *ended, rest = chunk.split("\n")
        for line in ended:
            if held:
                line, held, length = "".join((*held, line)), [], 0
            yield line
            number += 1
        held.append(rest)
        length += len(rest)
        if length > longest:
            raise SourceError(
                f"line {number} of {where} has more than {longest:,} characters. {advice}"
            )
    yield "".join(held)


def guess_layout(samples: Iterable[str]) -> Layout:
    """Return `lines` if every text is a list of short lines, else `documents`.

    A text is taken for a list of lines if it has at least `FEWEST_DOCUMENTS` of them, none is
    blank, and the median line is shorter than `SHORT_LINE` characters: names, sentences and
    quotations are; prose and verse have blank lines between their paragraphs, and unwrapped prose
    has long lines. A sample is the beginning of a text, cut anywhere.
    """
    counted = 0
    for sample in samples:
        counted += 1
        found = sample.rstrip("\n").split("\n")
        lengths = [len(line) for line in found if line and not line.isspace()]
        if (
            len(lengths) < max(FEWEST_DOCUMENTS, len(found))
            or statistics.median(lengths) >= SHORT_LINE
        ):
            return "documents"
    return "lines" if counted else "documents"


def _ended_once(chunks: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield chunks, and whether a document ends after each: only after the last."""
    for chunk in chunks:
        yield chunk, False
    yield "", True


def _ended_by(chunks: Iterable[str], separator: str) -> Iterator[tuple[str, bool]]:
    """Yield chunks, and whether a document ends after each: wherever the separator stood."""
    held = ""
    kept = len(separator) - 1  # the end of a chunk may be the beginning of a separator
    for chunk in chunks:
        *ended, held = (held + chunk).split(separator)
        for text in ended:
            yield text, True
        safe = len(held) - kept
        if safe > 0:
            yield held[:safe], False
            held = held[safe:]
    yield held, True


def _opened_by(chunks: Iterable[str], opening: str) -> Iterator[tuple[str, bool]]:
    """Yield chunks, and whether a document ends after each.

    It ends before every line that the whole pattern fits.
    """
    pattern = re.compile(opening)
    held = ""
    for chunk in chunks:
        *ended, held = (held + chunk).split("\n")
        for line in ended:
            if pattern.fullmatch(line):
                yield "", True
            yield f"{line}\n", False
        if (
            len(held) > LONGEST_LINE
        ):  # no heading: what comes of it is passed on, so that memory does not grow
            yield held, False
            held = ""
    if pattern.fullmatch(held):
        yield "", True
    yield held, True


def _pieces(chunks: Iterable[tuple[str, bool]], split: SplitName | None) -> Iterator[TextPiece]:
    """Yield documents, given as chunks and their ends, as pieces; blank ones are left out."""
    held: list[str] = []
    length = 0
    first = True
    for chunk, last in chunks:
        held.append(chunk)
        length += len(chunk)
        if length <= PIECE and not last:
            continue
        text = "".join(held)
        while (cut := _place_to_cut(text)) is not None:
            yield TextPiece(text[:cut], first, False, split)
            text, first = text[cut:], False
        if last:
            if not first or (text and not text.isspace()):
                yield TextPiece(text, first, True, split)
            text, first = "", True
        held, length = [text], len(text)


def _place_to_cut(text: str) -> int | None:
    """Return where the next piece ends.

    None if all of `text` can be one, or can become one with what follows.
    """
    if len(text) <= PIECE:
        return None
    place = text.rfind("\n", 0, PIECE)
    while place > 0:
        if _ends_a_token(text, place):
            return place + 1
        place = text.rfind("\n", 0, place)
    place = text.find("\n", PIECE, LONGEST_PIECE)
    while place > 0:
        if _ends_a_token(text, place):
            return place + 1
        place = text.find("\n", place + 1, LONGEST_PIECE)
    if len(text) <= LONGEST_PIECE:
        return None
    place = text.rfind(" ", 0, LONGEST_PIECE)
    while place > 0:
        if text[place + 1].isalpha():
            return place
        place = text.rfind(" ", 0, place)
    return LONGEST_PIECE


def _ends_a_token(text: str, newline: int) -> bool:
    """Return whether the GPT-2 pattern always ends a token after this newline.

    False at the end of what is read.
    """
    following = text[newline + 1 : newline + 3]
    if following[:1] == " ":
        return not following[1:].isspace() and len(following) == 2
    return bool(following) and not following[0].isspace() and not text[newline - 1].isspace()
