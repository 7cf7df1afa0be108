"""Words with punctuation apart.

What is lost is how much white space there was, and capitals where one says so.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import TokenizerError
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import make_tokenizer

SENTENCE = (
    'He said: "Don\'t go (yet)!"  Well -- I\n\tdid... <|endoftext|> snake_case e\u0301 x² ½ <unk>'
)
texts = st.text(
    st.one_of(st.sampled_from("ab .,!?\"'()-_\n\t<|>é\u0301"), st.characters(codec="utf-8")),
    max_size=30,
)


def made(text: str, way: str = "") -> Tokenizer:
    return make_tokenizer(f"word:999{way}", lambda: iter([(text, True)]))


def single_blanks(text: str, tokenizer: Tokenizer) -> str:
    """A text as the vocabulary reads it.

    One blank for every stretch of white space, none at the ends.
    """
    normalizer = tokenizer.backend.normalizer
    assert normalizer is not None
    return str(normalizer.normalize_str(text))


@given(text=texts.filter(lambda text: bool(text.strip())))
def test_all_but_the_amount_of_white_space_comes_back(text: str) -> None:
    tokenizer = made(text)
    tokens = tokenizer.encode(text)
    assert tokenizer.boundary not in tokens
    assert tokenizer.decode(tokens) == single_blanks(text, tokenizer)
    assert tokenizer.encode(tokenizer.decode(tokens)).tolist() == tokens.tolist()
    before = [tokenizer.boundary, *tokens.tolist()]
    streamed = [tokenizer.bytes_after(a, b) for a, b in zip(before, tokens.tolist(), strict=False)]
    assert b"".join(streamed).decode() == tokenizer.decode(tokens)
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again.hash == tokenizer.hash and again.decode(tokens) == tokenizer.decode(tokens)


def test_a_sentence_is_cut_at_its_punctuation() -> None:
    tokenizer = made(SENTENCE)
    assert tokenizer.decode(tokenizer.encode(SENTENCE)) == " ".join(SENTENCE.split())
    assert tokenizer.encode("said go yet").tolist() == [
        tokenizer.encode(word)[0] for word in ("said", "go", "yet")
    ]
    assert len(tokenizer.encode("He said, go!")) == 5
    assert not tokenizer.cuts_at_words and not tokenizer.lossless


def test_capitals_go_where_one_says_so() -> None:
    tokenizer = made(SENTENCE, ":lower")
    assert np.array_equal(tokenizer.encode("HE SAID"), tokenizer.encode("he said"))
    assert tokenizer.decode(tokenizer.encode(SENTENCE)) == " ".join(SENTENCE.lower().split())


def test_words_between_white_space_are_as_they_were() -> None:
    tokenizer = made("stop. stop now", ":spaced")
    assert [tokenizer.token_name(token) for token in tokenizer.encode("stop. now").tolist()] == [
        "' stop.'",
        "' now'",
    ]
    assert (
        tokenizer.decode(tokenizer.encode("stop. now")) == "stop. now" and tokenizer.cuts_at_words
    )


def test_a_way_that_there_is_not_is_refused() -> None:
    with pytest.raises(TokenizerError, match="lower"):
        made("a", ":lowr")
