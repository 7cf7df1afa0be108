"""Tokens are what the vocabulary says, decode to what was encoded.

And never hold a boundary that a text spelled.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.errors import RunError, TokenizerError
from inklings.text.token_bytes import byte_names
from inklings.text.tokenizers import BOUNDARY, Tokenizer
from inklings.text.vocabularies import make_tokenizer

TRAINING = "the cat sat on the mat; the dog's log fell.\n\n  It isn't a café.\n"
TEXTS = st.text(max_size=80) | st.lists(
    st.sampled_from([BOUNDARY, "the ", "cat", "\n", " ", "é", "日本", "🙂", "<|", "|>"])
).map("".join)
KNOWN = st.text(st.sampled_from(sorted(set(TRAINING))), max_size=60)


def made(spec: str, training: str = TRAINING, held_out: str = "", **options: str) -> Tokenizer:
    return make_tokenizer(spec, lambda: iter([(training, True), (held_out, False)]), **options)  # type: ignore[arg-type]


BYTE, BPE, CHAR, WORD = made("byte"), made("bpe:300"), made("char"), made("word:5:spaced")
SPELLING = made("char+bytes")
REPLACING, SKIPPING = made("char", unknown="replace"), made("char", unknown="skip")


@given(TEXTS)
def test_every_byte_is_kept(text: str) -> None:
    for tokenizer in (BYTE, BPE, SPELLING):
        tokens = tokenizer.encode(text)
        assert tokenizer.lossless
        assert tokenizer.decode(tokens) == text
        assert b"".join(map(tokenizer.token_bytes, tokens.tolist())) == text.encode()


@given(KNOWN)
def test_char_keeps_every_character_that_it_knows(text: str) -> None:
    tokens = CHAR.encode(text)
    assert CHAR.lossless
    assert len(tokens) == len(text)
    assert CHAR.decode(tokens) == text


@given(TEXTS)
def test_no_text_spells_the_boundary(text: str) -> None:
    for tokenizer in (BYTE, BPE, SPELLING, REPLACING, SKIPPING, WORD):
        assert tokenizer.boundary not in tokenizer.encode(text + BOUNDARY + text + " " + BOUNDARY)


@given(st.lists(TEXTS, max_size=5))
def test_the_quick_ways_equal_the_reference(texts: list[str]) -> None:
    for tokenizer in (BYTE, SPELLING, REPLACING, SKIPPING):
        reference = tokenizer.backend.encode_batch(texts, add_special_tokens=False)
        for tokens, encoding in zip(tokenizer.encode_batch(texts), reference, strict=True):
            assert tokens.dtype == np.int32
            assert tokens.tolist() == encoding.ids


@given(st.lists(KNOWN, max_size=4))
def test_the_quick_way_for_known_characters_equals_the_reference(texts: list[str]) -> None:
    for text, tokens in zip(texts, CHAR.encode_batch(texts), strict=True):
        assert tokens.tolist() == CHAR.backend.encode(text, add_special_tokens=False).ids


@given(st.lists(TEXTS, max_size=5))
def test_a_batch_is_its_texts_one_by_one(texts: list[str]) -> None:
    for tokenizer in (BYTE, BPE, SPELLING, WORD, REPLACING, SKIPPING):
        for text, tokens in zip(texts, tokenizer.encode_batch(texts), strict=True):
            assert tokens.tolist() == tokenizer.encode(text).tolist()


def test_known_characters_are_one_token_and_others_their_bytes() -> None:
    tokens = SPELLING.encode("caf\u00e9 \u65e5Z\U0001f642").tolist()
    assert [SPELLING.token_bytes(token) for token in tokens] == [
        *(character.encode() for character in "caf\u00e9 "),
        *(bytes([byte]) for byte in "\u65e5Z\U0001f642".encode()),
    ]
    assert SPELLING.unknown_characters("\u65e5Z") == []
    assert SPELLING.count_unknown("\u65e5Z", SPELLING.encode("\u65e5Z")) == 0
    assert SPELLING.spells_all


def test_each_token_is_needed_by_some_text() -> None:
    never = {0xC0, 0xC1, *range(0xF5, 0x100)}
    shown = [SPELLING.token_bytes(token) for token in range(1, SPELLING.vocab_size)]
    assert len(set(shown)) == len(shown)
    assert {data[0] for data in shown if len(data) == 1} == set(range(256)) - never


def test_unknown_characters_are_refused_by_name() -> None:
    with pytest.raises(TokenizerError, match=r"lacks '!', 'Z', 'ß'"):
        CHAR.encode("the Zß! ZZ")
    assert CHAR.unknown_characters("the Zß! ZZ") == ["!", "Z", "ß"]


def test_a_long_list_of_unknown_characters_is_cut() -> None:
    with pytest.raises(TokenizerError, match="and 80 more"):
        CHAR.encode("".join(map(chr, range(0x4E00, 0x4E00 + 100))))


def test_unknown_characters_are_replaced_or_skipped_where_that_is_the_policy() -> None:
    assert REPLACING.decode(REPLACING.encode("cZat")) == "c\ufffdat"
    assert not REPLACING.lossless
    assert SKIPPING.decode(SKIPPING.encode("cZaßt")) == "cat"
    assert not SKIPPING.lossless
    assert REPLACING.unknown_characters("cZat") == SKIPPING.unknown_characters("cZat") == ["Z"]
    assert BPE.unknown_characters("cZaßt") == []


def test_words_join_by_blanks_and_rare_ones_are_unknown() -> None:
    assert WORD.vocab_size == 7
    assert not WORD.lossless
    assert WORD.decode(WORD.encode("the\n  zebra the")) == "the <unk> the"
    assert WORD.unknown_characters("the zebra <unk> the") == ["zebra"]
    assert b"".join(map(WORD.token_bytes, WORD.encode("the the").tolist())) == b" the the"


def test_the_policies_for_unknown_words() -> None:
    assert made("word:1", "a a b", unknown="skip").encode("a b a").tolist() == [2, 2]
    with pytest.raises(TokenizerError, match="lacks 'b'"):
        made("word:1", "a a b", unknown="error").encode("a b a")


def test_boundaries_vanish_when_decoded() -> None:
    for tokenizer in (BYTE, BPE, CHAR, SPELLING):
        tokens = [tokenizer.boundary, *tokenizer.encode("cat").tolist(), tokenizer.boundary]
        assert tokenizer.decode(tokens) == "cat"
        assert tokenizer.token_bytes(tokenizer.boundary) == b""


def test_half_a_character_decodes_to_the_replacement_character() -> None:
    assert BYTE.decode(BYTE.encode("é")[:1]) == "\ufffd"
    assert BYTE.token_bytes(int(BYTE.encode("é")[0])) == b"\xc3"


@pytest.mark.parametrize("tokenizer", [BYTE, BPE, CHAR, SPELLING, WORD], ids=lambda t: t.kind)
def test_lone_surrogates_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="udcff"):
        tokenizer.encode("cat\udcff")


@pytest.mark.parametrize("token", [-1, BPE.vocab_size])
def test_a_token_outside_the_vocabulary_is_refused(token: int) -> None:
    with pytest.raises(TokenizerError, match=f"0 to {BPE.vocab_size - 1}"):
        BPE.decode([token])


def test_byte_names_are_those_of_gpt2() -> None:
    assert len(set(byte_names())) == 256
    assert byte_names()[ord(" ")] == "\u0120"
    assert byte_names()[ord("\n")] == "\u010a"
    assert byte_names()[ord("A")] == "A"


def test_token_names_tell_what_a_token_is() -> None:
    assert CHAR.token_name(0) == BOUNDARY
    assert CHAR.token_name(1) == repr("\n")
    assert REPLACING.token_name(1) == "<unk>"
    assert BYTE.token_name(int(BYTE.encode("é")[0])) == "<0xC3>"


@pytest.mark.parametrize(
    "tokenizer",
    [BYTE, BPE, CHAR, SPELLING, REPLACING, SKIPPING, WORD],
    ids=lambda t: f"{t.kind}-{t.unknown}",
)
def test_saved_and_loaded_it_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    text = "the cat" + ("" if tokenizer is CHAR else BOUNDARY + "Ü")
    assert loaded.hash == tokenizer.hash
    assert loaded.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert (loaded.kind, loaded.boundary, loaded.vocab_size) == (
        tokenizer.kind,
        tokenizer.boundary,
        tokenizer.vocab_size,
    )
    assert (loaded.unknown, loaded.lossless) == (tokenizer.unknown, tokenizer.lossless)


def test_hashes_differ_where_encodings_do() -> None:
    assert len({t.hash for t in (BYTE, BPE, CHAR, SPELLING, REPLACING, SKIPPING, WORD)}) == 7
    assert made("char").hash == CHAR.hash
    assert made("bpe:300").hash == BPE.hash


def test_every_flipped_letter_of_a_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    CHAR.save(path)
    good = path.read_bytes()
    for place in range(0, len(good), 37):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        if good[place : place + 1].isspace():
            continue  # another blank between two JSON values changes nothing
        with pytest.raises(RunError):
            Tokenizer.load(path)


def test_a_file_that_is_missing_foreign_or_newer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(RunError, match="missing"):
        Tokenizer.load(path)
    path.write_text("[]")
    with pytest.raises(RunError, match="not written by Inklings"):
        Tokenizer.load(path)
    path.write_text(json.dumps({**json.loads(CHAR.to_json()), "format_version": 99}))
    with pytest.raises(RunError, match="Upgrade"):
        Tokenizer.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match="damaged"):
        Tokenizer.load(path)
