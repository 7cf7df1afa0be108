"""The overlap of held-out text with the training text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt64

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding
from inklings.auditing.learned_text import learned_part
from inklings.auditing.subjects import Subject
from inklings.runs.directory import RunDirectory
from inklings.runs.own_text import is_own
from inklings.text.splits import SPLITS
from inklings.text.store import TokenSplit, TokenStore
from inklings.text.token_bytes import OF_LETTERS
from inklings.text.tokenizers import Tokenizer

TRAIN_TARGETS = 5_000_000
"""Targets of the training text that are looked at, at most."""
HELD_OUT_TARGETS = 1_000_000
"""Targets of each held-out split that are looked at, at most."""
MOST = 0.01
"""Overlaps and repetitions above this share are worth a warning."""
LONG_OF_LETTERS = 50
"""Tokens of a span that two texts hardly share by chance, where they are characters or bytes."""
LONG_OF_PIECES = 13
"""The same where they are larger."""


def check_overlap(
    text: TokenStore | Mapping[str, TokenSplit], *, length: int | None = None
) -> Finding:
    """Check whether held-out text occurs in train too, and whether documents repeat.

    Check name `overlap`. A warning where more than `MOST` of a held-out split's documents, or of
    its spans of `length` tokens, occur in train, or more than that of any split's documents repeat
    an earlier one of it. Where few documents are that long, the few spans there are weigh little in
    a loss: those in train must be more than `MOST` of the targets, too.

    Args:
        text: a store, or its splits by name: train, and validation or test or both.
        length: tokens of a span. None takes what `LONG` says of the store's tokenizer, and 50 where
            only splits are given.

    Raises:
        RunError: the store is damaged.
    """
    splits, cut, length = _opened(text, length)
    held_out = [name for name in splits if name != "train"]
    if "train" not in splits or not held_out:
        return Finding(
            check="overlap",
            status="not applicable",
            summary="overlap needs a train split and a held-out one, each with text",
        )
    heads = {
        name: split.head(TRAIN_TARGETS if name == "train" else HELD_OUT_TARGETS)
        for name, split in splits.items()
    }
    documents = {name: [] if cut else _documents(head) for name, head in heads.items()}
    known_documents, known_spans = set(documents["train"]), np.sort(_spans(heads["train"], length))
    facts: dict[str, dict[str, Any]] = {}
    for name, head in heads.items():
        facts[name] = {
            "targets": head.n_targets,
            "whole": head.n_targets == splits[name].n_targets,
            "documents": head.n_documents,
            "repeated_documents": None if cut else head.n_documents - len(set(documents[name])),
        }
        if name != "train":
            spans = _spans(head, length)
            facts[name] |= {
                "documents_in_train": (
                    None
                    if cut
                    else sum(document in known_documents for document in documents[name])
                    / head.n_documents
                ),
                "spans": len(spans),
                "spans_in_train": (
                    float(_occur(spans, known_spans).mean())
                    if len(spans) and len(known_spans)
                    else None
                ),
            }
    evidence: dict[str, Any] = {"span": length, "documents_apply": not cut, "splits": facts}
    measured = [name for name in held_out if facts[name]["spans_in_train"] is not None]
    if cut and not measured:
        why = (
            "overlap needs more text: train is one document or parts of some, and not every split"
            f" has {length} tokens of one"
        )
        return Finding(check="overlap", status="not applicable", summary=why, evidence=evidence)
    wrong = _overlaps(facts, held_out, length)
    if wrong:
        return Finding(
            check="overlap", status="warning", summary="; ".join(wrong), evidence=evidence
        )
    return Finding(
        check="overlap",
        status="pass",
        summary=_apart(facts, held_out, measured, length, cut=cut),
        evidence=evidence,
    )


def span_length(tokenizer: Tokenizer) -> int:
    """Return tokens of a span that two texts hardly share by chance, for this tokenizer."""
    return LONG_OF_LETTERS if tokenizer.kind in OF_LETTERS else LONG_OF_PIECES


def _opened(
    text: TokenStore | Mapping[str, TokenSplit], length: int | None
) -> tuple[dict[str, TokenSplit], bool, int]:
    """Return the splits that hold text, whether they share documents, and the length of a span."""
    if isinstance(text, TokenStore):
        splits: dict[str, TokenSplit] = {
            name: text.split(name) for name in SPLITS if text.manifest["splits"][name]["documents"]
        }
        cut: bool = text.manifest["split"]["method"] == "parts"
        length = length or span_length(text.tokenizer)
    else:
        splits = {name: split for name, split in text.items() if split.n_documents}
        cut = False
    if "train" in splits:
        cut = cut or splits["train"].n_documents == 1
    return splits, cut, length or LONG_OF_LETTERS


def _documents(split: TokenSplit) -> list[bytes]:
    tokens = split.read(0, len(split.tokens)).astype(np.uint32).tobytes()
    offsets = (4 * split.offsets).tolist()
    return [tokens[begin + 4 : end] for begin, end in itertools.pairwise(offsets)]


def _spans(split: TokenSplit, length: int) -> UInt64[np.ndarray, " n"]:
    """Return a hash of every span of `length` tokens that has no boundary in it.

    Those of equal spans are equal.

    Of the form sum of x_i B^(length - i) modulo 2^64, whose values for twice as many tokens follow
    from those for as many.
    """
    tokens = split.read(0, len(split.tokens))
    if len(tokens) < length:
        return np.zeros(0, dtype=np.uint64)
    values = (tokens.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    values ^= values >> np.uint64(29)
    n = len(tokens) - length + 1
    hashes, done, width = np.zeros(n, dtype=np.uint64), 0, 1
    while done < length:  # `values` are those of spans of `width` tokens, `hashes` of `done`
        power = np.uint64(pow(0xBF58476D1CE4E5B9, width, 2**64))
        if length & width:
            hashes = hashes * power + values[done : done + n]
            done += width
        values = values[:-width] * power + values[width:]
        width *= 2
    boundaries = np.append(0, np.cumsum(tokens == split.boundary))
    unbroken: Bool[np.ndarray, " m"] = boundaries[length:] == boundaries[:-length]
    return np.compress(unbroken, hashes)


def _occur(
    hashes: UInt64[np.ndarray, " n"], known: UInt64[np.ndarray, " m"]
) -> Bool[np.ndarray, " n"]:
    """Return which of the hashes (ascending) are among the known ones (ascending too)."""
    hashes = np.sort(hashes)  # searching in order is several times faster
    found: Bool[np.ndarray, " n"] = (
        known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
    )
    return found


def _overlaps(facts: dict[str, dict[str, Any]], held_out: list[str], length: int) -> list[str]:
    """Return the overlaps that are worth a warning."""
    wrong = []
    for name in held_out:
        fact, found = facts[name], []
        if (fact["documents_in_train"] or 0) > MOST:
            found.append(f"{fact['documents_in_train']:.1%} of the {name} documents")
        if (fact["spans_in_train"] or 0) * fact["spans"] > MOST * fact["targets"]:
            found.append(f"{fact['spans_in_train']:.1%} of the {name} spans of {length} tokens")
        if found:
            wrong.append(
                f"{' and '.join(found)} are also in train: its loss is partly a memory test"
            )
    for name, fact in facts.items():
        if (fact["repeated_documents"] or 0) > MOST * fact["documents"]:
            wrong.append(
                f"{fact['repeated_documents'] / fact['documents']:.1%} of the {name} documents"
                " repeat an earlier one"
            )
    return wrong


def _apart(
    facts: dict[str, dict[str, Any]],
    held_out: list[str],
    measured: list[str],
    length: int,
    *,
    cut: bool,
) -> str:
    """Return what is said where nothing is wrong."""
    found, missing = [], []
    if cut:
        missing.append("documents do not apply, since train is one document or parts of some")
    else:
        found.append(
            f"{max(facts[name]['documents_in_train'] for name in held_out):.1%} of the documents"
        )
    if measured:
        found.append(
            f"{max(facts[name]['spans_in_train'] for name in measured):.1%} of the spans of"
            f" {length} tokens"
        )
        if any(10 * facts[name]["spans"] < facts[name]["targets"] for name in measured):
            missing.append("few documents are as long as such a span")
    else:
        missing.append(f"spans do not apply, since documents of {length} tokens are lacking")
    return "; ".join(
        [f"of each held-out split at most {' and '.join(found)} are also in train", *missing]
    )


def check_learned_overlap(store: TokenStore, run: RunDirectory | None) -> Finding:
    """Check how much of the text the run was trained on.

    Where it was trained on another text, that one is the training part of `check_overlap`.

    Raises:
        RunError: it is not at hand, or a store is damaged.
    """
    if run is None or not run.record.data or is_own(run, store):
        return check_overlap(store)
    held_out: dict[str, TokenSplit] = {
        name: store.split(name)
        for name in SPLITS
        if name != "train" and store.manifest["splits"][name]["documents"]
    }
    return check_overlap(
        {"train": learned_part(store, run), **held_out}, length=span_length(store.tokenizer)
    )


OVERLAP: Check[Subject] = Check(
    name="overlap",
    run=lambda subject: check_learned_overlap(subject.text, subject.run),
    needs_text=True,
)
