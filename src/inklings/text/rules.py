"""Which documents are kept: rules on their length, and on how much of them the vocabulary knows.

A rule looks at one document, after it became tokens. So it is the same in every split, and what it
drops moves no other document from one split to another.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inklings.config import DataConfig
from inklings.errors import ConfigError
from inklings.text.documents import SplitName
from inklings.text.formats.files import list_suffixes
from inklings.text.token_bytes import SPELLS_ALL

Rule = Literal["max_length", "min_length", "min_known"]
RULES: tuple[Rule, Rule, Rule] = ("max_length", "min_length", "min_known")
"""The rules in the order in which they are tried; a document is counted for the first that it
breaks.
"""

_CALLED: dict[SplitName, str] = {"train": "training", "validation": "validation", "test": "test"}
_UNITS = {"word": "words", "char": "characters"}


@dataclass(frozen=True)
class Rules:
    """The rules that a document must pass to be kept; the defaults keep every one."""

    min_length: int = 0
    max_length: int | None = None
    min_known: float = 0.0

    @classmethod
    def of(cls, data: DataConfig) -> Rules:
        """Return the rules among the settings of a text."""
        return cls(data.min_length, data.max_length, data.min_known)

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any]) -> Rules:
        """Return the rules by which a store was made.

        One from before there were rules kept every document.
        """
        return cls(**{name: manifest["data"][name] for name in RULES if name in manifest["data"]})

    @property
    def active(self) -> bool:
        """Whether they could drop anything."""
        return self != Rules()

    def broken_by(self, length: int, known: float) -> Rule | None:
        """Return the first rule that a document breaks.

        `known` is the share of its known tokens.
        """
        if self.max_length is not None and length > self.max_length:
            return "max_length"
        if length < self.min_length:
            return "min_length"
        return "min_known" if known < self.min_known else None


class Sieve:
    """Applies the rules to the documents of one split, and counts what each dropped.

    It keeps 24 bytes for each document.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.dropped: dict[Rule, int] = dict.fromkeys(RULES, 0)
        self.lengths = array("q")
        self.known = array("d")
        self.kept_hashes = array("Q")

    @property
    def columns(self) -> dict[str, array[Any]]:
        """All that is kept of each document, by name."""
        return {"lengths": self.lengths, "known": self.known, "hashes": self.kept_hashes}

    def keeps(self, text: str, length: int, units: int, unknown: int) -> bool:
        """Return whether a document is kept.

        Args:
            text: the document.
            length: its tokens.
            units: its tokens before unknown ones were skipped.
            unknown: how many of these the vocabulary lacks.
        """
        known = (units - unknown) / units if units else 1.0
        self.lengths.append(length)
        self.known.append(known)
        rule = self.rules.broken_by(length, known)
        if rule is not None:
            self.dropped[rule] += 1
            return False
        self.kept_hashes.append(
            int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
        )
        return True

    def refuse_empty(self, source: str, split: SplitName) -> None:
        """Refuse rules that leave nothing of a split that held documents.

        Raises:
            ConfigError: they do; it names them, how many documents each dropped, and what would
                keep half.
        """
        if not self.lengths or self.kept_hashes:
            return
        guilty = [rule for rule in RULES if self.dropped[rule]]
        dropped = ", ".join(
            f"data.{rule} {getattr(self.rules, rule)} drops {self.dropped[rule]:,}"
            for rule in guilty
        )
        raise ConfigError(
            f"{source}: no {_CALLED[split]} document is left of {len(self.lengths):,}: {dropped}. "
            f"Try {', and '.join(map(self._advice, guilty))}."
        )

    def _advice(self, rule: Rule) -> str:
        """Return a value of the rule with which it keeps half of the documents, or more."""
        middle = (len(self.lengths) + 1) // 2 - 1
        if rule == "max_length":
            return (
                f"data.max_length {sorted(self.lengths)[middle]}, the least that by itself keeps"
                " half of them"
            )
        if rule == "min_length":
            return (
                f"data.min_length {sorted(self.lengths, reverse=True)[middle]}, the greatest that"
                " by itself keeps half of them"
            )
        share = math.floor(100 * sorted(self.known, reverse=True)[middle]) / 100
        what = (
            "about the known share of their median document" if share else "which keeps all of them"
        )
        return f"data.min_known {share:g}, {what}, or a larger vocabulary"


def notes(manifest: Mapping[str, Any]) -> list[str]:
    """Say what a user must know of the rules that a store was made by.

    That is what they dropped of each split, and which could drop nothing.
    """
    rules, source, tokenizer = (
        Rules.of_manifest(manifest),
        manifest["source"]["name"],
        manifest["tokenizer"],
    )
    found = [
        f"{source}: {sentence}."
        for sentence in (
            *left_out_texts(manifest["source"].get("left_out", {})),
            *dropped_documents(manifest),
        )
    ]
    if rules.min_known and (
        tokenizer["kind"] in SPELLS_ALL or (tokenizer["kind"] == "file" and tokenizer["lossless"])
    ):
        found.append(
            f"{source}: data.min_known is {rules.min_known:g}, but this tokenizer has tokens for"
            " every text, so it drops nothing."
        )
    return found


def left_out_texts(counted: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return which files and records of a source are in no document, in words.

    `counted` is what `building.left_out` gives; a store from before they were counted has nothing.
    """
    sentences = []
    if files := counted.get("files"):
        sentences.append(
            "files left out, of a kind that is not read from a folder: " + list_suffixes(files)
        )
    if records := counted.get("records"):
        reasons = ", ".join(f"{count:,} {why}" for why, count in records.items())
        sentences.append(f"records or files left out: {reasons}")
    return sentences


def dropped_documents(manifest: Mapping[str, Any]) -> list[str]:
    """Say, for each split, how many documents were dropped and why."""
    rules, unit = Rules.of_manifest(manifest), _UNITS.get(manifest["tokenizer"]["kind"], "tokens")
    share = (
        f"fewer than {100 * rules.min_known:.4g}% known {unit}"
        if rules.min_known < 1
        else f"unknown {unit}"
    )
    why = {
        "max_length": f"longer than {_tokens(rules.max_length or 0)}",
        "min_length": f"shorter than {_tokens(rules.min_length)}",
        "min_known": f"with {share}",
    }
    sentences = []
    for name, called in _CALLED.items():
        facts = manifest["splits"][name]
        dropped: Mapping[Rule, int] = facts.get("dropped", {})
        if count := sum(dropped.values()):
            reasons = ", ".join(f"{dropped[rule]:,} {why[rule]}" for rule in RULES if dropped[rule])
            sentences.append(
                f"{count:,} of {facts['documents'] + count:,} {called} documents dropped: {reasons}"
            )
    return sentences


def _tokens(count: int) -> str:
    return f"{count:,} token{'' if count == 1 else 's'}"
