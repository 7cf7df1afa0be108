"""Vocabularies: from a file or a run, from nothing (`byte`), or learned from streamed text.

Those of characters are made in `characters.py`.

Only the training part is learned from. Learned vocabularies put the boundary at 0 and, where there
is one, the unknown token at 1.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from inklings.durable import read_bytes
from inklings.errors import RunError, TokenizerError, unknown_name
from inklings.text.characters import (
    NO_TRAINING_TEXT,
    Texts,
    UnknownChoice,
    characters_alone,
    characters_and_bytes,
    survey,
    survey_below,
    with_special,
)
from inklings.text.chunks import chunks
from inklings.text.extension import with_policy
from inklings.text.side_thread import feed_aside
from inklings.text.token_bytes import byte_names
from inklings.text.tokenizers import BOUNDARY, UNKNOWN, Tokenizer, UnknownPolicy

AUTO_BYTES = 2_000_000
"""`auto` takes characters below this many bytes of text, and `AUTO_LARGE` from there on."""
AUTO_LARGE = "bpe:4096"
LEARNING_CHARACTERS = 2**28
"""A vocabulary of words or of byte pairs is learned from about this many characters, spread evenly
over the training part.
"""
LONGEST_WORD = 512
"""Bytes after which a word is cut when byte pairs are learned, and characters that a word of
`word:N` may have. The trainer takes time that grows with the square of a word, and a text without
white space is a single one.
"""
LEARNING_UNBROKEN = 2**21
"""Byte pairs are learned from about this many characters, spread evenly, of text that is made of
long words: hardly one comes twice, and the trainer holds each at some sixty times its size.
"""
_LONGEST_TEXT = 2**16
"""Characters that are given to the library at once."""
_LONG_WORDS = re.compile(r"\w{33,}")

_NAMES_OF_THE_END = (BOUNDARY, "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "[SEP]")
_FORMS = (
    "byte, char, char+bytes, word:N, word:N:lower, word:N:spaced, bpe:N, auto, or the path of a"
    " tokenizer.json or of a run"
)
_NAMES = ("byte", "char", "char+bytes", "word:N", "bpe:N", "auto")
_FILE = "tokenizer.json"
"""The vocabulary in the folder of a run, of a prepared text, or of a Hugging Face model."""
WORD_WAYS = ("", "lower", "spaced")
"""What may stand behind `word:N`: words without capitals, or words as they stand between white
space.
"""


def make_tokenizer(spec: str, texts: Texts, *, unknown: UnknownChoice = "auto") -> Tokenizer:
    """Make the tokenizer that `spec` asks for.

    Args:
        spec: `byte`, `char`, `char+bytes`, `word:N`, `bpe:N`, `auto`, or the path of a
            tokenizer.json, or of a folder that has one, such as a run.
        texts: reads the text from its start; called as often as needed, not at all for `byte` and a
            path.
        unknown: the rule for text that the vocabulary lacks.

    Raises:
        TokenizerError: the spec is not one of these, its size is too small, its file is not a
            tokenizer, or there is no training text.
    """
    name, _, size = spec.partition(":")
    if name == "word" and size:
        size, _, way = size.partition(":")
        _check_size(spec, name, size)
        if way not in WORD_WAYS:
            raise TokenizerError(
                f"the tokenizer {spec!r}:"
                f" {unknown_name('way of cutting words', way, WORD_WAYS[1:])} Allowed: {_FORMS}."
            )
        return _learn_words(_training_texts(texts), int(size), unknown, way=way)
    if name == "bpe" and size:
        _check_size(spec, name, size)
        return _learn_byte_pairs(_training_texts(texts), int(size))
    if spec == "byte":
        return _bytes()
    if spec == "auto":
        small = survey_below(texts, n_bytes=AUTO_BYTES)
        if small is None:
            return make_tokenizer(AUTO_LARGE, texts, unknown=unknown)
        # a rule for unknown characters is a wish for a vocabulary that lacks some
        loses = unknown == "auto" and small.new_characters
        return characters_and_bytes(small) if loses else characters_alone(small, unknown)
    if spec == "char":
        return characters_alone(survey(texts), unknown)
    if spec == "char+bytes":
        return characters_and_bytes(survey(texts))
    if names_a_file(spec):
        return read_tokenizer(vocabulary_file(spec), unknown=unknown)
    if name in ("word", "bpe"):
        raise TokenizerError(
            f"the tokenizer {spec!r} needs a size, as in {name}:4096. Allowed: {_FORMS}."
        )
    raise TokenizerError(
        f"{unknown_name('tokenizer', spec, _NAMES)} Or the path of a tokenizer.json or of a run."
    )


def names_a_file(spec: str) -> bool:
    """Return whether a spec is the path of a vocabulary, not a tokenizer to be made.

    The path of a file, or of a folder that has one. What is made wins over a path of its name.
    """
    if spec in _NAMES or spec.startswith(("word:", "bpe:")):
        return False
    path = Path(spec)
    written = spec.endswith(".json") or path.name != spec
    return written or (spec != "" and path.expanduser().exists())


def vocabulary_file(spec: str) -> Path:
    """Return the file of the vocabulary that a path names: itself, or that of a run.

    It may not exist.

    Raises:
        TokenizerError: it is a folder without a vocabulary.
    """
    path = Path(spec).expanduser()
    with contextlib.suppress(OSError):  # what cannot be looked at is told when it is read
        if path.is_dir():
            if not (path / _FILE).exists():
                raise TokenizerError(
                    f"the folder {spec} has no {_FILE}. Name a run, or the file of a vocabulary."
                )
            return path / _FILE
    return path


def _check_size(spec: str, name: str, size: str) -> None:
    smallest = 257 if name == "bpe" else 1
    if not re.fullmatch("[0-9]{1,9}", size) or int(size) < smallest:
        reason = " (256 bytes and the boundary)" if name == "bpe" else ""
        raise TokenizerError(
            f"the tokenizer {spec!r} has no usable size: after {name}: comes a whole number from"
            f" {smallest} up{reason}."
        )


class _EvenShare:
    """Takes all texts up to a limit of characters.

    Beyond it ever fewer are taken, evenly over what came so far.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.seen = 0
        self._due = 1.0

    def takes(self, text: str) -> bool:
        """Return whether the next text is taken."""
        self.seen += len(text)
        self._due += min(1.0, self.limit / self.seen)
        taken = self._due >= 1.0
        self._due -= taken
        return taken


def _training_texts(texts: Texts) -> Iterator[str]:
    """Yield the training part in chunks.

    Beyond `LEARNING_CHARACTERS` ever fewer are taken, evenly over what was read so far.
    """
    share = _EvenShare(LEARNING_CHARACTERS)
    for text, training in texts():
        if training:
            yield from (chunk for chunk in chunks(text) if share.takes(chunk))
    if not share.seen:
        raise TokenizerError(NO_TRAINING_TEXT)


def _bytes() -> Tokenizer:
    vocabulary = {BOUNDARY: 0, **{name: byte + 1 for byte, name in enumerate(byte_names())}}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return Tokenizer(with_special(backend, BOUNDARY), kind="byte", boundary=0)


def _between_blanks() -> pre_tokenizers.PreTokenizer:
    """Split a text into words at white space, with their capitals and punctuation."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            # keeps a text from spelling the boundary
            pre_tokenizers.Split(
                Regex(re.escape(BOUNDARY[0]) + f"(?={re.escape(BOUNDARY[1:])})"), "isolated"
            ),
        ]
    )


def _punctuation_apart() -> pre_tokenizers.PreTokenizer:
    """Split a text into words and punctuation marks.

    A mark keeps the blanks around it, so that it is known where there were some.
    """
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?[^\w ] ?"), "isolated"),
            pre_tokenizers.Split(Regex(r"(?<=\w) (?=\w)"), "removed"),
        ]
    )


def _single_blanks(*, lower: bool) -> normalizers.Normalizer:
    """Return every stretch of white space as one blank, none at the ends.

    And no capitals, if so asked.
    """
    steps = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    return normalizers.Sequence([*([normalizers.Lowercase()] if lower else []), *steps])


def _learn_words(texts: Iterator[str], size: int, unknown: UnknownChoice, *, way: str) -> Tokenizer:
    """Return the `size` most frequent words, punctuation apart unless the way is `spaced`.

    How much white space there was is lost.
    """
    words, normalizer = (
        (_between_blanks(), None)
        if way == "spaced"
        else (_punctuation_apart(), _single_blanks(lower=way == "lower"))
    )
    learner = tokenizers.Tokenizer(models.WordLevel())
    learner.pre_tokenizer = words
    if normalizer is not None:
        learner.normalizer = normalizer
    trainer = trainers.WordLevelTrainer(vocab_size=size + 1, show_progress=False)
    feed_aside(
        lambda given: learner.train_from_iterator(given, trainer), _without_long_words(texts)
    )
    counted = learner.get_vocab()
    # a corpus may spell the unknown token itself (WikiText does); that is one word more, not a
    # second entry
    frequent = [word for word in sorted(counted, key=counted.__getitem__) if word != UNKNOWN][:size]
    if not frequent:
        raise TokenizerError(
            f"the training text has no word of {LONGEST_WORD:,} characters or fewer: a word is what"
            " stands between white space. Use the tokenizer 'char', 'byte' or 'bpe:N'."
        )
    vocabulary = {name: token for token, name in enumerate((BOUNDARY, UNKNOWN, *frequent))}
    backend = tokenizers.Tokenizer(models.WordLevel(vocab=vocabulary, unk_token=UNKNOWN))
    backend.pre_tokenizer = words
    if normalizer is not None:
        backend.normalizer = normalizer
    policy: UnknownPolicy = "replace" if unknown == "auto" else unknown
    return Tokenizer(
        with_special(backend, BOUNDARY), kind="word", boundary=0, unknown=policy, unknown_token=1
    )


def _learn_byte_pairs(texts: Iterator[str], size: int) -> Tokenizer:
    """Learn a byte-level byte-pair encoding with GPT-2's pre-tokenisation (Radford et al. 2019).

    Small corpora give fewer than `size` tokens.
    """
    backend = tokenizers.Tokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    cut = pre_tokenizers.Split(Regex(f".{{{LONGEST_WORD}}}"), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, cut])
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[BOUNDARY], initial_alphabet=alphabet, show_progress=False
    )
    feed_aside(lambda given: backend.train_from_iterator(given, trainer), _bounded(texts))
    backend.pre_tokenizer = (
        words  # encoding cuts nothing: its time grows with a word, not with the square
    )
    return Tokenizer(backend, kind="bpe", boundary=0)


def _bounded(texts: Iterator[str]) -> Iterator[str]:
    """Yield the texts in parts of bounded length.

    Of those that are made of long words, an even share is taken.
    """
    share = _EvenShare(LEARNING_UNBROKEN)
    for text in texts:
        for start in range(0, len(text), _LONGEST_TEXT):
            part = text[start : start + _LONGEST_TEXT]
            unbroken = 2 * sum(map(len, _LONG_WORDS.findall(part))) > len(part)
            if not unbroken or share.takes(part):
                yield part


def _without_long_words(texts: Iterator[str]) -> Iterator[str]:
    """Return the texts without what is too long to be a word."""
    long = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")
    return (long.sub(" ", text) for text in texts)


def read_tokenizer(
    path: Path, *, unknown: UnknownChoice = "auto", boundary: int | None = None
) -> Tokenizer:
    """Read a tokenizer.json, ours or anybody's.

    Ours keeps the rule for unknown text that it was saved with, unless another is asked for.
    Anybody's without a token that ends a text gets the boundary as its last.

    Args:
        path: the file.
        unknown: the rule for text that the vocabulary lacks.
        boundary: the token that ends a text in anybody's; None looks for one by the usual names.

    Raises:
        TokenizerError: there is no such file, it is not a tokenizer, or its rules do not fit
            `unknown`.
    """
    try:
        text = read_bytes(path).decode("utf-8")
    except RunError as error:
        raise TokenizerError(f"cannot read the tokenizer: {error} Allowed: {_FORMS}.") from None
    except UnicodeDecodeError:
        raise TokenizerError(f"{path} is not a tokenizer.json: it is not text.") from None
    if '"sha256"' in text:
        return with_policy(Tokenizer.from_json(text, where=str(path)), unknown)
    try:
        backend = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing narrower
        raise TokenizerError(
            f"{path} is not a tokenizer.json of the `tokenizers` library: {error}"
        ) from None
    vocabulary = backend.get_vocab(with_added_tokens=True)
    if boundary not in vocabulary.values():
        end = next((name for name in _NAMES_OF_THE_END if name in vocabulary), BOUNDARY)
        boundary = with_special(backend, end).token_to_id(end)
    assert boundary is not None
    model = json.loads(backend.to_str())["model"]
    unknown_token = (
        model.get("unk_id")
        if model["type"] == "Unigram"
        else vocabulary.get(model.get("unk_token"))
    )
    policy: UnknownPolicy = "error" if unknown == "auto" else unknown
    if unknown == "auto" and unknown_token is not None:
        policy = "replace"
    made = Tokenizer(
        backend, kind="file", boundary=boundary, unknown=policy, unknown_token=unknown_token
    )
    if unknown_token is None and not made.lossless:
        if unknown not in ("auto", "skip"):
            raise TokenizerError(
                f"{path} has no unknown token and drops what it lacks: data.unknown must be 'auto'"
                f" or 'skip', not {unknown!r}."
            )
        made = Tokenizer(backend, kind="file", boundary=boundary, unknown="skip")
    return made
