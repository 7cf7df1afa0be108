"""Text that comes out piece by piece is the text, however the bytes were cut.

And never more than may be shown.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inklings.errors import ConfigError
from inklings.generation.text_stream import TextStream

# Few different characters, of one to four bytes, so that stop strings overlap themselves and each
# other.
TEXT = st.text(alphabet="ab\n\u00e9\u4e2d\U0001f600", max_size=20)
STOPS = st.lists(
    st.text(alphabet="ab\n\u00e9\u4e2d\U0001f600", min_size=1, max_size=4), max_size=3
).map(tuple)


def pieces_of(
    data: bytes, cuts: list[int], stop: tuple[str, ...] = ()
) -> tuple[list[str], TextStream]:
    stream = TextStream(stop)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [stream.push(data[a:b]) for a, b in itertools.pairwise(places)]
    return [*pieces, stream.finish()], stream


def until_stop(text: str, stop: tuple[str, ...]) -> str:
    """The definition, by brute force.

    The first end of a stop string, and of several that end there the longest.
    """
    for end in range(1, len(text) + 1):
        ending = [s for s in stop if text[:end].endswith(s)]
        if ending:
            return text[: end - max(map(len, ending))]
    return text


@given(data=st.binary(max_size=40), cuts=st.lists(st.integers(0, 1000), max_size=40))
@example(data="\U0001f600".encode(), cuts=[1, 2, 3])
@example(data=b"\xf0\x9f", cuts=[1])
def test_bytes_cut_anywhere_give_the_same_text(data: bytes, cuts: list[int]) -> None:
    pieces, stream = pieces_of(data, cuts)
    assert "".join(pieces) == data.decode("utf-8", errors="replace")
    assert not stream.stopped


@given(text=TEXT, cuts=st.lists(st.integers(0, 1000), max_size=40), stop=STOPS)
@example(text="aab", cuts=[1, 2], stop=("ab",))
@example(text="abb", cuts=[], stop=("bb", "a"))
@example(text="abab", cuts=[1, 2, 3], stop=("bb", "bab"))
def test_it_ends_before_the_first_stop_string(
    text: str, cuts: list[int], stop: tuple[str, ...]
) -> None:
    pieces, stream = pieces_of(text.encode(), cuts, stop)
    assert "".join(pieces) == until_stop(text, stop)
    assert stream.stopped == any(s in text for s in stop)


@given(text=TEXT, stop=STOPS)
def test_nothing_is_held_longer_than_it_must_be(text: str, stop: tuple[str, ...]) -> None:
    """At every moment what was shown is the longest part that no continuation can take back."""
    stream = TextStream(stop)
    shown = ""
    for end in range(1, len(text) + 1):
        shown += stream.push(text[end - 1].encode())
        if stream.stopped:
            return
        held = text[len(shown) : end]
        assert text[:end].startswith(shown)
        assert not held or any(s.startswith(held) for s in stop)


def test_a_character_comes_with_its_last_byte() -> None:
    stream = TextStream()
    assert [stream.push(bytes([byte])) for byte in "\U0001f600".encode()] == [
        "",
        "",
        "",
        "\U0001f600",
    ]
    assert stream.finish() == ""


def test_what_follows_a_stop_string_is_ignored() -> None:
    stream = TextStream(("END",))
    assert stream.push(b"on EN") == "on "
    assert stream.push(b"D and on") == ""
    assert stream.push(b"more") == ""
    assert stream.finish() == ""


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ConfigError, match="stop string is empty"):
        TextStream(("a", ""))
