"""Tokenizers: text to numbers and back.

A Hugging Face `tokenizers` object, with what a generator needs: which token separates documents,
what becomes of text that the vocabulary lacks, whether bytes get lost, the bytes of every single
token, and a hash that ties the vocabulary to a model. `vocabularies.py` makes them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tokenizers
from jaxtyping import Int32, Integer

from inklings import durable
from inklings.errors import InklingsError, RunError, TokenizerError
from inklings.text.code_points import cut, numbers_of, spelled, table_of
from inklings.text.token_bytes import (
    SPELLS_ALL,
    Kind,
    byte_names,
    bytes_of_tokens,
    fallback_names,
    keeps_all_bytes,
)

FORMAT_VERSION = 1
BOUNDARY = "<|endoftext|>"
"""The token that opens every document and, as a target, ends the one before; the same in all
vocabularies that we make.
"""
UNKNOWN = "<unk>"

UnknownPolicy = Literal["error", "skip", "replace"]
Tokens = Int32[np.ndarray, " _"]

_SHOWN = 20
"""How many unknown characters an error message lists."""


class Tokenizer:
    """Text to tokens and back.

    Encoding never produces the boundary: its name, met in a text, is text like any other.

    Attributes:
        backend: The Hugging Face tokenizer; the reference that the quick ways for characters and
            bytes must equal.
        kind: How it was made; `file` is somebody else's tokenizer.json.
        boundary: The token between documents.
        unknown: What becomes of text that the vocabulary lacks.
        unknown_token: The token that stands for such text, where there is one.
        vocab_size: How many tokens there are, the boundary included.
        hash: SHA-256 of vocabulary, rules and policy; equal for tokenizers that encode alike.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        kind: Kind,
        boundary: int,
        unknown: UnknownPolicy = "error",
        unknown_token: int | None = None,
    ) -> None:
        backend.encode_special_tokens = True  # a special token's name in a text is text
        backend.no_padding()
        backend.no_truncation()
        self.backend = backend
        self.kind = kind
        self.boundary = boundary
        self.unknown = unknown
        self.unknown_token = unknown_token
        self._rules: dict[str, Any] = json.loads(backend.to_str())
        self._ids: dict[str, int] = backend.get_vocab(with_added_tokens=True)
        self.vocab_size = max(self._ids.values()) + 1
        self.hash = durable.sha256(json.dumps(self._fields(), sort_keys=True).encode())

    @functools.cached_property
    def lossless(self) -> bool:
        """Whether decoding gives back the very bytes that were encoded.

        Only then are bits per byte meaningful.
        """
        if self.kind == "file":
            return keeps_all_bytes(self._rules)
        return self.spells_all or (self.kind == "char" and self.unknown == "error")

    @functools.cached_property
    def spells_all(self) -> bool:
        """Whether every text has tokens, whatever the rule for unknown text says."""
        return self.kind in SPELLS_ALL or (self.kind == "file" and self.lossless)

    @functools.cached_property
    def cuts_at_words(self) -> bool:
        """Whether a text can be tokenised part by part, cut where `documents.Piece` is cut.

        The tokens are then those of the whole.
        """
        if self.kind != "file":
            return not self.punctuation_apart
        pre_tokenizer = self._rules["pre_tokenizer"]
        return (
            self.lossless
            and pre_tokenizer["type"] == "ByteLevel"
            and bool(pre_tokenizer.get("use_regex", True))
        )

    @functools.cached_property
    def punctuation_apart(self) -> bool:
        """Whether punctuation marks are words of their own, which hold the blanks around them."""
        return self.kind == "word" and self._rules["normalizer"] is not None

    def encode(self, text: str) -> Tokens:
        """Return the tokens of a text, without a boundary.

        Raises:
            TokenizerError: the vocabulary lacks something in it (listed) and the policy is `error`;
                or it is not Unicode.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of each text; in parallel where the vocabulary is more than a table.

        Errors as `encode`.
        """
        try:
            if self.kind == "byte":
                return self._encode_bytes([text.encode() for text in texts])
            if self.kind in ("char", "char+bytes"):
                return self._encode_characters(texts)
            return self._encode_by_backend(texts)
        except UnicodeEncodeError as error:
            raise TokenizerError(
                f"the text holds {error.object[error.start]!a}, half of a character, which no"
                " encoding can store. Give text that is valid UTF-8."
            ) from None

    def _encode_bytes(self, texts: Sequence[bytes]) -> list[Tokens]:
        tokens = self._byte_table[np.frombuffer(b"".join(texts), dtype=np.uint8)]
        return cut(tokens, [len(text) for text in texts])

    def _encode_characters(self, texts: Sequence[str]) -> list[Tokens]:
        code_points = numbers_of("".join(texts))
        table = self._code_point_table
        tokens = table[np.minimum(code_points, len(table) - 1)]
        lengths = [len(text) for text in texts]
        known = tokens >= 0
        if known.all():
            return cut(tokens, lengths)
        if self.kind == "char+bytes":
            return spelled(code_points, tokens, lengths, self._byte_table)
        if self.unknown == "error":
            self._refuse(sorted(map(chr, np.unique(code_points[~known]).tolist())))
        if self.unknown == "skip":
            before = np.concatenate(([0], np.cumsum(known)))
            ends = np.cumsum(lengths)
            return cut(tokens[known], np.diff(before[ends], prepend=0).tolist())
        assert self.unknown_token is not None
        return cut(np.where(known, tokens, np.int32(self.unknown_token)), lengths)

    def _encode_by_backend(self, texts: Sequence[str]) -> list[Tokens]:
        try:
            encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        except TypeError:
            for text in texts:
                text.encode()  # a lone surrogate is what it chokes on
            raise
        result = [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]
        if self.kind == "file" and any((tokens == self.boundary).any() for tokens in result):
            raise TokenizerError(
                f"the text holds {self.backend.id_to_token(self.boundary)!r}, which this"
                " tokenizer.json reads as the end of a document. Remove it from the text"
                " (`document_separator` cuts there), or choose another tokenizer."
            )
        if self.unknown_token is None or self.unknown == "replace":
            return result
        known = [tokens != self.unknown_token for tokens in result]
        if self.unknown == "error" and not all(part.all() for part in known):
            missing = sorted({word for text in texts for word in self.unknown_characters(text)})
            if missing:
                self._refuse(missing)
        return (
            [tokens[part] for tokens, part in zip(result, known, strict=True)]
            if self.unknown == "skip"
            else result
        )

    def unknown_characters(self, text: str) -> list[str]:
        """Return what in a text the vocabulary lacks, sorted, each once.

        Characters, or words where words are the unit.
        """
        if self.kind == "char":
            return sorted(character for character in set(text) if character not in self._ids)
        if self.unknown_token is None:
            return []
        encoding = self.backend.encode(text, add_special_tokens=False)
        name = self.backend.id_to_token(self.unknown_token)
        parts = {
            text[a:b].strip()
            for token, (a, b) in zip(encoding.ids, encoding.offsets, strict=True)
            if token == self.unknown_token
        }
        return sorted(parts - {name})

    def count_unknown(self, text: str, tokens: Tokens) -> int:
        """Return how many tokens of a text the vocabulary lacks, marked or skipped.

        `tokens` are what `encode` gives for the text.

        A tokenizer.json that drops what it lacks, having no token to stand for it, leaves nothing
        to be counted: 0.
        """
        if self.unknown == "skip":
            units = (
                len(text)
                if self.kind == "char"
                else len(self.backend.encode(text, add_special_tokens=False).ids)
            )
            return units - len(tokens)
        return (
            0 if self.unknown_token is None else int(np.count_nonzero(tokens == self.unknown_token))
        )

    def _refuse(self, missing: list[str]) -> None:
        shown = ", ".join(map(repr, missing[:_SHOWN])) + (
            f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        )
        raise TokenizerError(
            f"the vocabulary ({self.kind}, {self.vocab_size} tokens) lacks {shown}. Remove them"
            " from the text, or train with data.unknown set to 'replace' or 'skip', or with the"
            " tokenizer 'char+bytes', 'byte' or 'bpe:N'."
        )

    def decode(self, tokens: Iterable[int] | Integer[np.ndarray, " n"]) -> str:
        """Turn tokens into text.

        Bytes that do not make a character, and unknown characters, become U+FFFD; boundaries
        vanish.

        An unknown word reads `<unk>`.

        Raises:
            TokenizerError: a token is not in the vocabulary.
        """
        wanted = [int(token) for token in tokens]
        if self.kind == "file" and not self._byte_level:
            for token in wanted:
                self.token_bytes(token)  # raises for one that does not exist
            text: str = self.backend.decode(
                [t for t in wanted if t != self.boundary], skip_special_tokens=False
            )
            return text
        before = [self.boundary, *wanted]
        shown = (
            self.bytes_after(previous, token)
            for previous, token in zip(before, wanted, strict=False)
        )
        return b"".join(shown).decode("utf-8", errors="replace")

    def bytes_after(self, previous: int, token: int) -> bytes:
        """Return the bytes that a token adds to a text behind another token.

        The blank before a word only where one belongs.

        Raises:
            TokenizerError: there is no such token.
        """
        data = self.token_bytes(token)
        joined = self.kind == "word" and (previous == self.boundary or previous in self._marks)
        return data.removeprefix(b" ") if joined and token not in self._marks else data

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that a token adds to a text, for streaming; none for the boundary.

        A word of the tokenizer `word` brings the blank before it; `bytes_after` knows where none
        belongs.

        Raises:
            TokenizerError: there is no such token.
        """
        if not 0 <= token < self.vocab_size:
            raise TokenizerError(
                f"there is no token {token}; this vocabulary has 0 to {self.vocab_size - 1}. Does"
                " the tokenizer belong to the model?"
            )
        return self._token_bytes[token]

    def token_name(self, token: int) -> str:
        """Return what a token looks like in a table.

        Its text quoted, the boundary and single bytes by name.
        """
        if token == self.boundary:
            return BOUNDARY
        if token == self.unknown_token:
            return UNKNOWN
        data = self.token_bytes(token)
        try:
            return repr(data.decode("utf-8"))
        except UnicodeDecodeError:
            return " ".join(f"<0x{byte:02X}>" for byte in data)

    @functools.cached_property
    def _marks(self) -> frozenset[int]:
        """The tokens that are punctuation marks with the blanks around them."""
        if not self.punctuation_apart:
            return frozenset()
        special, cut = (
            (self.boundary, self.unknown_token),
            self.backend.pre_tokenizer.pre_tokenize_str,
        )
        found = (token for name, token in self._ids.items() if len(cut(f"a{name.strip(' ')}a")) > 1)
        return frozenset(token for token in found if token not in special)

    @functools.cached_property
    def _byte_level(self) -> bool:
        decoder = self._rules["decoder"]
        return decoder is not None and decoder["type"] == "ByteLevel"

    @functools.cached_property
    def _byte_table(self) -> Tokens:
        """Token of each byte; -1 where no text needs one."""
        names = fallback_names() if self.kind == "char+bytes" else byte_names()
        return np.array([self._ids.get(name, -1) for name in names], dtype=np.int32)

    @functools.cached_property
    def _code_point_table(self) -> Tokens:
        return table_of({name: token for name, token in self._ids.items() if len(name) == 1})

    @functools.cached_property
    def _token_bytes(self) -> list[bytes]:
        return bytes_of_tokens(
            self.backend,
            self.kind,
            boundary=self.boundary,
            unknown_token=self.unknown_token,
            marks=self._marks,
            byte_level=self._byte_level,
        )

    def _fields(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "boundary": self.boundary,
            "unknown": self.unknown,
            "unknown_token": self.unknown_token,
            "tokenizer": self._rules,
        }

    def to_json(self) -> str:
        """Return everything as one JSON document.

        `tokenizer` in it is what Hugging Face's library reads.
        """
        return json.dumps({**self._fields(), "sha256": self.hash}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str = "the tokenizer") -> Tokenizer:
        """Return the inverse of `to_json`; `where` names the place in errors.

        Raises:
            RunError: it is damaged, was not written by Inklings, or comes from a newer format.
        """
        value = durable.parse_json(text, where)
        if not isinstance(value, dict) or not isinstance(value.get("format_version"), int):
            raise RunError(f"{where} has no format_version: it was not written by Inklings.")
        if value["format_version"] > FORMAT_VERSION:
            raise RunError(
                f"{where} is of format {value['format_version']}; this version reads up to"
                f" {FORMAT_VERSION}. Upgrade Inklings to open it."
            )
        expected = value.pop("sha256", None)
        try:
            found = durable.sha256(json.dumps(value, sort_keys=True).encode())
        except RecursionError:
            found = None
        if found is None or expected != found:
            raise RunError(
                f"{where} is damaged: its content does not fit its hash. Copy it again from the run"
                " that it belongs to."
            )
        try:
            return cls(
                tokenizers.Tokenizer.from_str(json.dumps(value["tokenizer"])),
                kind=value["kind"],
                boundary=value["boundary"],
                unknown=value["unknown"],
                unknown_token=value["unknown_token"],
            )
        except InklingsError:
            raise
        except Exception as error:  # the library raises nothing narrower
            raise RunError(f"{where} is damaged: it describes no tokenizer ({error}).") from None

    def save(self, path: Path) -> None:
        """Write it to a file, atomically."""
        durable.write_bytes(path, self.to_json().encode())

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read what `save` wrote.

        Raises:
            RunError: the file is missing or damaged, was not written by Inklings, or comes from a
                newer format.
        """
        return cls.from_json(durable.read_bytes(path), where=str(path))
