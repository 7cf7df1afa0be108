"""A vocabulary that is taken over.

Old tokens keep their numbers, whatever is added, and rules are what they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import TokenizerError
from inklings.text.characters import Texts, UnknownChoice
from inklings.text.extension import extended, is_extension, with_policy
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import make_tokenizer, read_tokenizer

POLICIES = st.sampled_from(["error", "skip", "replace"])
words = st.text(st.characters(codec="utf-8"), max_size=20)


def texts_of(training: str, held_out: str = "") -> Texts:
    def texts() -> Iterator[tuple[str, bool]]:
        yield training, True
        if held_out:
            yield held_out, False

    return texts


def characters(training: str, unknown: UnknownChoice = "error") -> Tokenizer:
    return make_tokenizer("char", texts_of(training), unknown=unknown)


@given(
    old=words.filter(bool),
    new=words,
    before=POLICIES,
    unknown=st.sampled_from(["auto", "error", "skip", "replace"]),
)
def test_an_extended_vocabulary_writes_old_text_as_before_and_new_text_too(
    old: str, new: str, before: UnknownChoice, unknown: UnknownChoice
) -> None:
    tokenizer = characters(old, before)
    larger = extended(tokenizer, texts_of(new), unknown=unknown)
    assert np.array_equal(larger.encode(old), tokenizer.encode(old))
    assert larger.decode(larger.encode(new + old)) == new + old
    assert is_extension(larger, tokenizer)
    assert is_extension(tokenizer, larger) == (larger.vocab_size == tokenizer.vocab_size)
    marked = int(larger.unknown == "replace" and tokenizer.unknown_token is None)
    assert larger.vocab_size == tokenizer.vocab_size + len(set(new) - set(old)) + marked
    again = Tokenizer.from_json(larger.to_json())
    assert again.hash == larger.hash and np.array_equal(again.encode(new), larger.encode(new))
    assert (
        larger.backend.encode(new + old, add_special_tokens=False).ids
        == larger.encode(new + old).tolist()
    )
    same = larger.vocab_size == tokenizer.vocab_size and larger.unknown == tokenizer.unknown
    assert (larger.hash == tokenizer.hash) == same


@given(old=words.filter(bool), text=words, before=POLICIES, unknown=POLICIES)
def test_a_rule_for_unknown_characters_is_followed(
    old: str, text: str, before: UnknownChoice, unknown: UnknownChoice
) -> None:
    tokenizer = characters(old, before)
    if unknown == "replace" and before != "replace":
        with pytest.raises(TokenizerError, match="--extend-vocabulary"):
            with_policy(tokenizer, unknown)
        return
    other = with_policy(tokenizer, unknown)
    assert is_extension(other, tokenizer) and other.vocab_size == tokenizer.vocab_size
    known = "".join(character for character in text if character in old)
    if unknown == "error" and known != text:
        with pytest.raises(TokenizerError, match="lacks"):
            other.encode(text)
        return
    tokens = other.encode(text)
    assert other.backend.encode(text, add_special_tokens=False).ids == tokens.tolist(), (
        "the reference agrees"
    )
    expected = known if unknown == "skip" else "".join(c if c in old else "\ufffd" for c in text)
    assert other.decode(tokens) == expected
    assert other.count_unknown(text, tokens) == len(text) - len(known)
    assert (
        with_policy(other, before).hash == tokenizer.hash
        if before != "replace" or unknown != "error"
        else True
    )


def test_held_out_text_adds_nothing() -> None:
    assert (
        extended(characters("ab"), texts_of("b", held_out="xyz")).vocab_size
        == characters("ab").vocab_size
    )


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("byte", "no text is new"),
        ("bpe:260", "no text is new"),
        ("word:3", "more new words than rows"),
    ],
)
def test_what_has_no_characters_is_not_extended(spec: str, reason: str, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(spec, texts_of("one two"))
    with pytest.raises(TokenizerError, match=reason):
        extended(tokenizer, texts_of("three"))
    (tmp_path / "theirs.json").write_text(tokenizer.backend.to_str())
    with pytest.raises(TokenizerError, match="somebody else's"):
        extended(read_tokenizer(tmp_path / "theirs.json"), texts_of("three"))


def test_a_vocabulary_that_knows_every_text_keeps_its_rule() -> None:
    for spec in ("byte", "bpe:260"):
        tokenizer = make_tokenizer(spec, texts_of("one two"))
        assert with_policy(tokenizer, "skip") is tokenizer
    words = make_tokenizer("word:3", texts_of("one two"))
    assert len(with_policy(words, "skip").encode("one three two")) == 2
    with pytest.raises(TokenizerError, match="three"):
        with_policy(words, "error").encode("one three two")
