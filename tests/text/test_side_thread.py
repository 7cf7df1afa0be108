"""Learning byte pairs of text without white space ends, and a signal ends it before."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from inklings.errors import SourceError, TokenizerError
from inklings.text import vocabularies
from inklings.text.side_thread import feed_aside
from inklings.text.vocabularies import LONGEST_WORD, make_tokenizer

ENDLESS = """
import os, random, signal, threading
from inklings.text import vocabularies
# words for which the trainer takes long
vocabularies.LONGEST_WORD, vocabularies.LEARNING_UNBROKEN = 10**5, 10**9
if {number} == signal.SIGTERM:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
def texts():
    yield "".join(random.choices("ACGT", k=3_000_000)), True
    threading.Timer(0.5, os.kill, (os.getpid(), {number})).start()
try:
    vocabularies.make_tokenizer("bpe:4096", texts)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_ends_a_library_that_does_not_look_for_one(number: int) -> None:
    child = [sys.executable, "-c", ENDLESS.format(number=number)]
    assert (
        subprocess.run(child, capture_output=True, text=True, timeout=120, check=True).stdout
        == "interrupted\n"
    )


def test_what_is_made_and_what_goes_wrong_come_back() -> None:
    assert feed_aside(list, ["a", "b"]) == ["a", "b"]

    def broken() -> Iterator[str]:
        yield "a"
        raise SourceError("no text")

    with pytest.raises(SourceError, match="no text"):
        make_tokenizer("bpe:300", lambda: ((text, True) for text in broken()))


def test_a_thread_that_is_left_gets_no_further_text() -> None:
    begun, left, ended = threading.Event(), threading.Event(), threading.Event()

    def texts() -> Iterator[str]:
        yield "first"
        begun.set()
        left.wait(60)
        yield "second"

    def work(given: Iterator[str]) -> list[str]:
        try:
            return list(given)
        finally:
            ended.set()

    class Interrupt(threading.Thread):
        def join(self, timeout: float | None = None) -> None:
            begun.wait(60)
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inklings.text.side_thread.threading.Thread", Interrupt)
        with pytest.raises(KeyboardInterrupt):
            feed_aside(work, texts())
    left.set()
    assert ended.wait(60)


@pytest.mark.parametrize("unit", ["ACGT", "A", "\u4e00\u4e8c\u4e09", "=-", "0123456789", "\t"])
def test_text_without_blanks_gives_byte_pairs(unit: str) -> None:
    text = "".join(random.Random(0).choices(unit, k=200_000))
    tokenizer = make_tokenizer("bpe:300", lambda: iter([(text, True)]))
    assert tokenizer.vocab_size <= 300
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert (
        max(len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size))
        <= LONGEST_WORD
    )


def test_of_text_made_of_long_words_an_even_share_is_learned_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vocabularies, "LEARNING_UNBROKEN", 2**16)
    monkeypatch.setattr(vocabularies, "_LONGEST_TEXT", 2**12)
    prose = "a word and another word. " * 50_000
    assert "".join(vocabularies._bounded(iter([prose]))) == prose
    lines = "\n".join("ACGT" * 15 for _ in range(20_000))
    taken = sum(map(len, vocabularies._bounded(iter([prose, lines, "x" * 10**6])))) - len(prose)
    assert 2**16 < taken < 6 * 2**16


def test_long_words_are_no_words_and_a_text_of_nothing_else_is_refused() -> None:
    long = "x" * (LONGEST_WORD + 1)
    tokenizer = make_tokenizer("word:10", lambda: iter([(f"{long} a {long} {long[1:]} a", True)]))
    assert [tokenizer.token_name(token) for token in range(2, tokenizer.vocab_size)] == [
        "' a'",
        f"' {long[1:]}'",
    ]
    with pytest.raises(
        TokenizerError, match=r"no word of 512 characters or fewer.*'char', 'byte' or 'bpe:N'"
    ):
        make_tokenizer("word:10", lambda: iter([(long, True)]))
