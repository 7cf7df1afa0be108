"""Text cut into chunks that can be tokenised in parallel, to the tokens of the whole text."""

from __future__ import annotations

import re
from collections.abc import Iterator

CHUNK = 2**13
"""Least characters of a chunk (the last one excepted): enough to keep every core busy."""

# Byte-level BPE's pre-tokenisation (the GPT-2 pattern) and splitting at white space never join a
# blank or newline to a non-space before it, and look ahead only from white space; so a cut between
# the two changes nothing on either side.
_CUT = re.compile(r"(?<=\S)(?=[ \n])")


def chunks(text: str, size: int = CHUNK) -> Iterator[str]:
    """Cut the text, before white space that follows a non-space, into `size` characters or more."""
    start = 0
    while len(text) - start > size:
        found = _CUT.search(text, start + size)
        if found is None:
            break
        yield text[start : found.start()]
        start = found.start()
    if start < len(text):
        yield text[start:]
