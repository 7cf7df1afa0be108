"""From characters to tokens through a table of code points, many texts at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int32, UInt32

Tokens = Int32[np.ndarray, " _"]
CodePoints = UInt32[np.ndarray, " _"]


def numbers_of(text: str) -> CodePoints:
    """Return the code points of a text.

    Raises:
        UnicodeEncodeError: it holds half of a character.
    """
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


def table_of(characters: Mapping[str, int]) -> Tokens:
    """Return the token of each code point, -1 where there is none.

    The last entry stands for all higher ones.
    """
    table = np.full(max(map(ord, characters), default=0) + 2, -1, dtype=np.int32)
    table[list(map(ord, characters))] = list(characters.values())
    return table


def spelled(
    code_points: CodePoints, tokens: Tokens, lengths: Sequence[int], byte_table: Tokens
) -> list[Tokens]:
    """Return the tokens of texts, with the UTF-8 of each character that has none in its place.

    Args:
        code_points: (N,) of all texts, one behind the other.
        tokens: (N,) what stands for each; -1 where nothing does.
        lengths: how many characters each text has.
        byte_table: (256,) the token of each byte.
    """
    known = tokens >= 0
    in_utf8 = 1 + sum((code_points >= least).astype(np.int64) for least in (0x80, 0x800, 0x10000))
    sizes = np.where(known, 1, in_utf8)
    result = np.repeat(tokens, sizes)
    missing = code_points[~known].astype("<u4").tobytes().decode("utf-32-le").encode()
    result[np.repeat(~known, sizes)] = byte_table[np.frombuffer(missing, dtype=np.uint8)]
    ends = np.concatenate(([0], np.cumsum(sizes)))[np.cumsum(lengths, dtype=np.int64)]
    return cut(result, np.diff(ends, prepend=0).tolist())


def cut(tokens: Tokens, lengths: Sequence[int]) -> list[Tokens]:
    """Cut tokens into consecutive parts of the given lengths."""
    ends = np.cumsum(lengths).tolist()
    return [tokens[end - length : end] for end, length in zip(ends, lengths, strict=True)]
