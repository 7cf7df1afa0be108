"""Documents are what was written, in pieces that can be tokenised one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from inklings.errors import SourceError
from inklings.text import documents as module
from inklings.text.documents import Layout, Text, TextPiece, documents, guess_layout

LETTERS = "ab1.'\n\n  \t\u00e9\u00a0"


def as_chunks(text: str, sizes: list[int]) -> Iterator[str]:
    """The text in chunks of the given lengths, then the rest."""
    for size in sizes:
        yield text[:size]
        text = text[size:]
    yield text


def joined(pieces: list[TextPiece]) -> list[str]:
    """The documents that the pieces make; checks that their flags alternate."""
    found: list[str] = []
    inside = False
    for piece in pieces:
        assert piece.first == (not inside)
        assert piece.text
        if piece.first:
            found.append("")
        found[-1] += piece.text
        inside = not piece.last
    assert not inside
    return found


def read(
    text: str, sizes: list[int], layout: Layout = "documents", separator: str | None = None
) -> list[TextPiece]:
    return list(documents([Text(as_chunks(text, sizes), "here")], layout, separator))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 8)
    monkeypatch.setattr(module, "LONGEST_PIECE", 20)


@given(st.text(LETTERS, max_size=200), st.lists(st.integers(0, 30)))
def test_the_pieces_of_a_document_are_the_document(text: str, sizes: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", 8)
        patch.setattr(module, "LONGEST_PIECE", 20)
        pieces = read(text, sizes)
    assert joined(pieces) == ([text] if text.strip() or len(text) > 20 else [])
    assert all(len(piece.text) <= 20 for piece in pieces)


@given(st.text(LETTERS, max_size=200), st.lists(st.integers(0, 30)))
def test_tokens_of_the_pieces_are_the_tokens_of_the_whole(text: str, sizes: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", 8)
        patch.setattr(module, "LONGEST_PIECE", 60)
        pieces = read(text, sizes)
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True).pre_tokenize_str
    if any(len(piece.text) == 60 for piece in pieces) or not pieces:
        return  # a stretch without any place to cut
    assert [token for piece in pieces for token, _ in split(piece.text)] == [
        token for token, _ in split(text)
    ]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("abcd\nefghijkl", "abcd\n"),
        ("ab\ncd\nefghijkl", "ab\ncd\n"),
        ("abcd\n\nefg hijklmn\nopq", "abcd\n\nefg hijklmn\n"),
        ("abcd \n efghijklmn", "abcd \n"),
        ("abcd\n  efghijkl mnopqrstuv", "abcd\n  efghijkl"),
        ("ab cdefghijklmnop     qrstu", "ab"),
        ("abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrst"),
    ],
)
def test_a_piece_ends_at_the_best_place(text: str, first: str) -> None:
    assert read(text, [])[0].text == first


@given(
    st.lists(st.text("ab|\n", max_size=5)),
    st.integers(1, 5),
    st.sampled_from(["|", "||", "a|a", "aba", "ab|ab"]),
)
def test_a_separator_cuts_as_split_does(parts: list[str], size: int, separator: str) -> None:
    text = separator.join(parts)
    assert joined(read(text, [size] * len(text), separator=separator)) == [
        part for part in text.split(separator) if part.strip()
    ]


@given(st.text("ab \n", max_size=60), st.lists(st.integers(0, 9)))
def test_lines_are_documents_and_blank_ones_are_not(text: str, sizes: list[int]) -> None:
    pieces = read(text, sizes, layout="lines")
    assert [piece.text for piece in pieces] == [line for line in text.split("\n") if line.strip()]
    assert all(piece.first and piece.last for piece in pieces)


def test_an_endless_line_is_refused_where_lines_are_documents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LONGEST_LINE", 100)
    with pytest.raises(
        SourceError, match=r"line 2 of here has more than 100 characters.*--data.layout documents"
    ):
        read("short\n" + "x" * 101, [4, 50], layout="lines")
    assert [len(piece.text) for piece in read("short\n" + "x" * 100, [4, 50], layout="lines")] == [
        5,
        100,
    ]


def test_documents_keep_the_split_of_their_text() -> None:
    texts = [Text(["a\nb"], "one", "train"), Text(["c"], "two", "test")]
    assert [(p.text, p.split) for p in documents(texts, "lines", None)] == [
        ("a", "train"),
        ("b", "train"),
        ("c", "test"),
    ]


@pytest.mark.parametrize(
    ("samples", "layout"),
    [
        (["emma\n" * 10], "lines"),
        (["emma\n" * 9], "documents"),
        (["emma\n" * 9 + "olivia"], "lines"),
        (["emma\n" * 10 + "\n" + "olivia\n" * 10], "documents"),
        (["emma\n" * 10 + " \nolivia\n"], "documents"),
        (["word " * 50 + "\n"] * 3, "documents"),
        ([("word " * 50 + "\n") * 20], "documents"),
        (["emma\n" * 10, "olivia\n" * 20], "lines"),
        (["emma\n" * 10, "one long text"], "documents"),
        ([""], "documents"),
        ([], "documents"),
    ],
)
def test_a_list_of_short_lines_is_recognised(samples: list[str], layout: Layout) -> None:
    assert guess_layout(samples) == layout
