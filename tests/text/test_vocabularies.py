"""Vocabularies are learned from the training part only.

And anybody's tokenizer.json becomes one of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from inklings.errors import TokenizerError
from inklings.text import vocabularies
from inklings.text.tokenizers import BOUNDARY, Tokenizer
from inklings.text.vocabularies import make_tokenizer, names_a_file, read_tokenizer

PROSE = "It was the best of times, it was the worst of times. " * 20


class Text:
    """A text in two parts that counts how often it is read."""

    def __init__(self, training: str, held_out: str = "") -> None:
        self.parts = [(training, True), (held_out, False)]
        self.readings = 0

    def __call__(self) -> Iterator[tuple[str, bool]]:
        self.readings += 1
        return iter(self.parts)


def test_characters_are_numbered_by_code_point_after_the_boundary() -> None:
    tokenizer = make_tokenizer("char", Text("zebra"))
    assert tokenizer.vocab_size == 6
    assert tokenizer.encode("aberz").tolist() == [1, 2, 3, 4, 5]
    assert tokenizer.boundary == 0


def test_the_names_of_the_lectures_have_27_tokens(corpora: Path) -> None:
    names = (corpora / "names" / "names.txt").read_text().split("\n")
    tokenizer = make_tokenizer(
        "auto", lambda: iter((name, place % 10 < 8) for place, name in enumerate(names))
    )
    assert tokenizer.kind == "char"
    assert tokenizer.vocab_size == 27
    assert tokenizer.encode("az").tolist() == [1, 26]


def test_there_is_an_unknown_character_only_if_held_out_text_needs_one() -> None:
    assert make_tokenizer("char", Text("abc", "cab")).unknown == "error"
    needed = make_tokenizer("char", Text("abc", "xa"))
    assert (needed.unknown, needed.unknown_token, needed.vocab_size) == ("replace", 1, 5)
    assert make_tokenizer("char", Text("abc", "xa"), unknown="error").vocab_size == 4
    assert make_tokenizer("char", Text("abc", "xa"), unknown="skip").vocab_size == 4
    assert make_tokenizer("char", Text("abc", "abc"), unknown="replace").vocab_size == 5


def test_auto_spells_what_only_held_out_text_has() -> None:
    assert make_tokenizer("auto", Text("abc", "xa")).kind == "char+bytes"
    assert make_tokenizer("auto", Text("abc", "cab")).kind == "char"
    assert make_tokenizer("auto", Text("abcx", "a")).kind == "char"
    for rule in ("error", "skip", "replace"):
        made = make_tokenizer("auto", Text("abc", "xa"), unknown=rule)
        assert (made.kind, made.unknown) == ("char", rule)


@pytest.mark.parametrize("spec", ["char", "char+bytes", "word:100", "bpe:400"])
def test_only_the_training_part_is_learned_from(spec: str) -> None:
    alone = make_tokenizer(spec, Text(PROSE), unknown="skip")
    beside = make_tokenizer(
        spec, Text(PROSE, "Zebras zigzag; zebras zigzag. " * 50), unknown="skip"
    )
    assert alone.hash == beside.hash


def test_auto_looks_at_the_size_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabularies, "AUTO_LARGE", "bpe:300")
    monkeypatch.setattr(vocabularies, "AUTO_BYTES", 20)
    assert make_tokenizer("auto", Text("a" * 10, "a" * 9)).kind == "char"
    assert make_tokenizer("auto", Text("a" * 10, "b" * 10)).kind == "bpe"
    assert make_tokenizer("auto", Text("a" * 10, "\u00e9" * 5)).kind == "bpe"


def test_byte_pairs_grow_to_the_size_asked_for_or_until_the_text_has_no_more() -> None:
    assert make_tokenizer("bpe:280", Text(PROSE)).vocab_size == 280
    assert 257 < make_tokenizer("bpe:5000", Text(PROSE)).vocab_size < 400
    assert make_tokenizer("bpe:257", Text(PROSE)).vocab_size == 257
    assert make_tokenizer("byte", Text(PROSE)).vocab_size == 257


def test_the_most_frequent_words_are_kept() -> None:
    text = "to be or not to be <unk> <unk> <unk> that is the question to"
    tokenizer = make_tokenizer("word:3:spaced", Text(text))
    assert [tokenizer.token_name(token) for token in range(5)] == [
        BOUNDARY,
        "<unk>",
        "' to'",
        "' be'",
        "' is'",
    ]
    assert tokenizer.encode("<unk> to").tolist() == [1, 2]


def test_learning_reads_the_text_once_and_byte_never() -> None:
    specs = (("byte", 0), ("char", 1), ("char+bytes", 1), ("bpe:300", 1), ("word:5", 1))
    for spec, readings in specs:
        text = Text(PROSE)
        make_tokenizer(spec, text)
        assert text.readings == readings


def test_a_long_text_is_thinned_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabularies, "LEARNING_CHARACTERS", 1000)
    pieces = [f"word{place} " * 10 for place in range(1000)]
    taken = list(vocabularies._training_texts(lambda: iter((piece, True) for piece in pieces)))
    assert sum(map(len, taken)) < 8000
    assert taken[:5] == pieces[:5]
    assert sum(text in pieces[500:] for text in taken) >= 5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("chars", "Did you mean 'char'"),
        ("bpe", "needs a size, as in bpe:4096"),
        ("word", "needs a size"),
        ("bpe:256", "whole number from 257"),
        ("bpe:many", "whole number from 257"),
        ("bpe:-1", "whole number from 257"),
        ("word:0", "whole number from 1"),
        ("nowhere.json", "nowhere.json is missing"),
        ("", "unknown tokenizer"),
    ],
)
def test_a_spec_that_is_none_is_explained(spec: str, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        make_tokenizer(spec, Text(PROSE))


@pytest.mark.parametrize("spec", ["char", "char+bytes", "word:5", "bpe:300"])
def test_without_training_text_nothing_is_learned(spec: str) -> None:
    with pytest.raises(TokenizerError, match="no training text"):
        make_tokenizer(spec, Text("", "held out"))


def byte_level(*, special: str | None = "</s>", prefix: bool = False) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=270,
        special_tokens=[special] if special else [],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    backend.train_from_iterator([PROSE], trainer)
    return backend


def read(backend: tokenizers.Tokenizer, folder: Path, **options: str) -> Tokenizer:
    backend.save(str(folder / "tokenizer.json"))
    return read_tokenizer(folder / "tokenizer.json", **options)  # type: ignore[arg-type]


def test_a_byte_level_file_keeps_bytes_and_its_own_end_of_text(tmp_path: Path) -> None:
    tokenizer = read(byte_level(), tmp_path)
    assert (tokenizer.kind, tokenizer.boundary, tokenizer.vocab_size) == ("file", 0, 270)
    assert tokenizer.lossless
    assert tokenizer.cuts_at_words
    text = "the best </s> \u00e9 <|endoftext|>\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert 0 not in tokenizer.encode(text)


def test_a_file_without_an_end_of_text_gets_one(tmp_path: Path) -> None:
    tokenizer = read(byte_level(special=None), tmp_path)
    assert (tokenizer.boundary, tokenizer.vocab_size) == (270, 271)
    assert tokenizer.decode(tokenizer.encode(BOUNDARY)) == BOUNDARY


def test_what_a_file_adds_pads_or_cuts_is_left_out(tmp_path: Path) -> None:
    backend = byte_level()
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 0)]
    )
    backend.enable_truncation(3)
    backend.enable_padding(length=64)
    tokenizer = read(backend, tmp_path)
    for text in (PROSE, "best"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert 0 not in tokenizer.encode(text)


def test_files_that_may_lose_bytes_are_taken_to(tmp_path: Path) -> None:
    lower = byte_level()
    lower.normalizer = normalizers.Lowercase()
    prefixed = byte_level(prefix=True)
    words = tokenizers.Tokenizer(
        models.WordLevel({"<eos>": 0, "[UNK]": 1, "best": 2, "of": 3}, unk_token="[UNK]")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    for backend in (lower, prefixed, words):
        tokenizer = read(backend, tmp_path)
        assert not tokenizer.lossless
        assert not tokenizer.cuts_at_words


def test_the_unknown_token_of_a_file_is_found(tmp_path: Path) -> None:
    words = tokenizers.Tokenizer(
        models.WordLevel({"<eos>": 0, "[UNK]": 1, "best": 2, "of": 3}, unk_token="[UNK]")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = read(words, tmp_path)
    assert (tokenizer.boundary, tokenizer.unknown, tokenizer.unknown_token) == (0, "replace", 1)
    assert tokenizer.encode("best worst of").tolist() == [2, 1, 3]
    assert tokenizer.unknown_characters("best worst of") == ["worst"]
    assert read(words, tmp_path, unknown="skip").encode("best worst of").tolist() == [2, 3]
    with pytest.raises(TokenizerError, match="lacks 'worst'"):
        read(words, tmp_path, unknown="error").encode("best worst of")


def test_a_file_that_lets_text_spell_the_end_is_noticed(tmp_path: Path) -> None:
    words = tokenizers.Tokenizer(
        models.WordLevel({"<eos>": 0, "[UNK]": 1, "best": 2}, unk_token="[UNK]")
    )
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    with pytest.raises(TokenizerError, match="end of a document"):
        read(words, tmp_path).encode("best <eos> best")


def test_a_file_that_drops_what_it_lacks_says_so(tmp_path: Path) -> None:
    backend = tokenizers.Tokenizer(models.BPE(vocab={"a": 0, "b": 1}, merges=[]))
    tokenizer = read(backend, tmp_path)
    assert (tokenizer.unknown, tokenizer.lossless) == ("skip", False)
    with pytest.raises(TokenizerError, match="must be 'auto' or 'skip'"):
        read(backend, tmp_path, unknown="replace")


def test_subword_pieces_give_their_blanks(tmp_path: Path) -> None:
    vocabulary = [
        ("<unk>", 0.0),
        ("\u2581", -2.0),
        ("\u2581the", -1.0),
        ("\u2581cat", -1.5),
        ("s", -2.0),
        ("<0x0A>", -3.0),
    ]
    backend = tokenizers.Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()]
    )
    tokenizer = read(backend, tmp_path)
    tokens = tokenizer.encode("the cats").tolist()
    assert tokenizer.decode(tokens) == "the cats"
    assert b"".join(map(tokenizer.token_bytes, tokens)) == b" the cats"
    assert tokenizer.token_bytes(5) == b"\n"


def test_a_tokenizer_of_a_run_can_be_given_as_a_file(tmp_path: Path) -> None:
    ours = make_tokenizer("bpe:300", Text(PROSE))
    ours.save(tmp_path / "tokenizer.json")
    for path in (tmp_path / "tokenizer.json", tmp_path):
        again = make_tokenizer(str(path), Text(""))
        assert again.hash == ours.hash


def test_a_vocabulary_in_a_file_takes_another_rule_for_what_it_lacks(tmp_path: Path) -> None:
    ours = make_tokenizer("char", Text("abc"))
    ours.save(tmp_path / "tokenizer.json")
    assert read_tokenizer(tmp_path / "tokenizer.json").unknown == "error"
    skipping = read_tokenizer(tmp_path / "tokenizer.json", unknown="skip")
    assert skipping.encode("axb").tolist() == ours.encode("ab").tolist()
    with pytest.raises(TokenizerError, match="no token that stands for what it lacks"):
        read_tokenizer(tmp_path / "tokenizer.json", unknown="replace")


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b"\xff\xfe\x00"])
def test_a_file_that_is_no_tokenizer_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(TokenizerError, match=r"is not a tokenizer\.json"):
        read_tokenizer(tmp_path / "tokenizer.json")


def test_names_of_files_are_told_from_names_of_tokenizers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "char").write_text("")
    (tmp_path / "mine").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "byte").mkdir()
    made = ("char", "byte", "bpe:300", "word:9:lower", "auto", "cahr", "")
    paths = ("mine", "some.json", "run", "run/", "./char", "gone/run", str(tmp_path))
    assert not any(map(names_a_file, made))
    assert all(map(names_a_file, paths))
