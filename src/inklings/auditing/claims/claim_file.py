"""A claim in bits per byte: a JSON file that says what was measured, and on which text.

    {
      "text": "validation.txt",
      "bits_per_byte": 1.0108,
      "loss": 3.29,
      "tokens": 62021846,
      "tokenizer": "tokenizer.json",
      "token_bytes": "token_bytes.json"
    }

Paths are as seen from the file. Instead of `loss` (nats per token) there may be `nats`, their
total. All but the text, the claim and one of these two may be left out; the more is given, the more
is found.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import tokenizers

from inklings.durable import named_once
from inklings.errors import ConfigError
from inklings.values import from_mapping


@dataclass(frozen=True, kw_only=True)
class ClaimFile:
    """The fields of the file."""

    text: str
    """The text that was scored, in UTF-8."""
    bits_per_byte: float
    """The figure that is claimed, and judged."""
    nats: float | None = None
    """The cost of the whole text."""
    loss: float | None = None
    """The cost of a token, in nats."""
    tokens: int | None = None
    """How many tokens were scored."""
    bytes: int | None = None
    """How many bytes they are said to stand for."""
    tokenizer: str | None = None
    """A tokenizer.json, `byte` or `char`."""
    token_bytes: str | None = None
    """The byte table: a JSON list with the number of bytes of each token of the vocabulary."""


@dataclass(frozen=True, kw_only=True)
class ClaimSubject:
    """A claim, with the text itself and what makes its tokens."""

    kind: ClassVar[str] = "claim"

    label: str
    claim: ClaimFile
    text: str
    backend: tokenizers.Tokenizer | None = None
    table: tuple[int, ...] | None = None
    """Bytes of each token, as claimed."""

    @property
    def is_trained(self) -> bool:
        """A claim is of whatever was measured."""
        return True

    @property
    def has_text(self) -> bool:
        """There is always a text."""
        return True

    @cached_property
    def n_bytes(self) -> int:
        """The bytes of the text."""
        return len(self.text.encode())

    @cached_property
    def tokens(self) -> list[int] | None:
        """The tokens of the text, made anew; None where nothing says how."""
        if self.claim.tokenizer == "byte":
            return list(self.text.encode())
        if self.claim.tokenizer == "char":
            return list(map(ord, self.text))
        if self.backend is None:
            return None
        ids: list[int] = self.backend.encode(self.text, add_special_tokens=False).ids
        return ids

    @property
    def n_tokens(self) -> int | None:
        """How many tokens there are, or if nobody can know, how many are claimed."""
        return self.claim.tokens if self.tokens is None else len(self.tokens)

    @property
    def nats(self) -> float | None:
        """The cost of the whole text."""
        if self.claim.nats is not None:
            return self.claim.nats
        count = self.n_tokens
        return None if self.claim.loss is None or count is None else self.claim.loss * count

    @property
    def bits_per_byte(self) -> float | None:
        """What the nats are on the bytes of the text."""
        return None if self.nats is None else self.nats / math.log(2) / self.n_bytes

    @cached_property
    def table_bytes(self) -> int | None:
        """The bytes of the text by the table that is claimed.

        Raises:
            ConfigError: the table has no entry for a token of the text.
        """
        if self.table is None or self.tokens is None:
            return None
        counts = np.bincount(self.tokens)
        if len(counts) > len(self.table):
            raise ConfigError(
                f"the byte table has {len(self.table)} entries, and the text has the token"
                f" {len(counts) - 1}."
            )
        return int(counts @ np.array(self.table[: len(counts)], dtype=np.int64))


def read_claim(path: Path) -> ClaimSubject:
    """Read a claim with its text, tokenizer and byte table.

    Raises:
        ConfigError: a file is missing or is not what it should be, or a field is unknown or
            missing.
    """
    values = _json(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no JSON object. A claim has text, bits_per_byte and loss.")
    claim = from_mapping(ClaimFile, values, where=str(path))
    if claim.nats is None and claim.loss is None:
        raise ConfigError(f"{path}: loss (nats per token) or nats (their total) must be given.")
    folder, backend, table = path.parent, None, None
    if claim.tokenizer not in (None, "byte", "char"):
        backend = _backend(folder / str(claim.tokenizer))
    if claim.token_bytes is not None:
        table = _table(folder / claim.token_bytes)
    return ClaimSubject(
        label=str(path),
        claim=claim,
        text=_read(folder / claim.text).decode(),
        backend=backend,
        table=table,
    )


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise ConfigError(f"there is no file {path}. Paths are as seen from the claim.")
    content = path.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: byte {error.start}.") from None
    return content


def _json(path: Path) -> object:
    content = _read(path)
    try:
        found: object = json.loads(content, object_pairs_hook=named_once)
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}.") from None
    return found


def _backend(path: Path) -> tokenizers.Tokenizer:
    content = _read(path).decode()
    try:
        backend = tokenizers.Tokenizer.from_str(content)
    except Exception as error:  # the library raises nothing narrower
        raise ConfigError(f"{path} is no tokenizer.json: {error}.") from None
    backend.no_truncation()
    backend.no_padding()
    return backend


def _table(path: Path) -> tuple[int, ...]:
    values = _json(path)
    if not isinstance(values, list) or not all(isinstance(value, int) for value in values):
        raise ConfigError(f"{path} must be a JSON list: the number of bytes of each token.")
    return tuple(values)
