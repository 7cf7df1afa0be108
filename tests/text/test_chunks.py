"""Chunks put together are the text, and their tokens put together are the text's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inklings.text.chunks import chunks
from inklings.text.vocabularies import make_tokenizer

LETTERS = [
    "a",
    "the",
    "'s",
    "'ll",
    "!",
    "--",
    "1",
    "42",
    "é",
    "日",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u3000",
    "\xa0",
    "\x1c",
    "\x85",
    "<|endoftext|>",
]
TEXTS = st.lists(st.sampled_from(LETTERS), max_size=60).map("".join)
LEARNED_FROM = " the 42 a's --\n\n a'll !1 \t the--  the\r\n é日 " * 5
TOKENIZERS = [
    make_tokenizer(spec, lambda: iter([(LEARNED_FROM, True)]))
    for spec in ("bpe:320", "word:20", "byte")
]


@given(TEXTS, st.integers(1, 12))
def test_nothing_is_lost_and_no_chunk_is_small(text: str, size: int) -> None:
    parts = list(chunks(text, size))
    assert "".join(parts) == text
    assert all(len(part) >= size for part in parts[:-1])
    assert all(parts)


@given(TEXTS, st.integers(1, 12))
def test_chunks_have_the_tokens_of_the_whole(text: str, size: int) -> None:
    for tokenizer in TOKENIZERS:
        parts = [*tokenizer.encode_batch(list(chunks(text, size))), np.empty(0, np.int32)]
        assert np.concatenate(parts).tolist() == tokenizer.encode(text).tolist()


def test_a_long_text_is_cut_near_the_size_asked_for() -> None:
    assert [len(part) for part in chunks("word " * 100, 50)] == [54, *[50] * 8, 46]
    assert len(list(chunks("x" * 1000, 50))) == 1
