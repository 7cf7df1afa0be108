"""The overlap of held-out text with the training text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding
from inklings.auditing.learned_text import learned_part
from inklings.auditing.subjects import Subject
from inklings.runs.directory import RunDirectory
from inklings.runs.own_text import is_own
from inklings.runs.shared_text import (
    HELD_OUT_TARGETS,
    LONG_OF_LETTERS,
    MOST,
    TRAIN_TARGETS,
    occur,
    span_length,
    spans_of,
)
from inklings.text.splits import SPLITS
from inklings.text.store import TokenSplit, TokenStore


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
    known_documents = set(documents["train"])
    known_spans = np.sort(spans_of(heads["train"], length))
    facts: dict[str, dict[str, Any]] = {}
    for name, head in heads.items():
        facts[name] = {
            "targets": head.n_targets,
            "whole": head.n_targets == splits[name].n_targets,
            "documents": head.n_documents,
            "repeated_documents": None if cut else head.n_documents - len(set(documents[name])),
        }
        if name != "train":
            spans = spans_of(head, length)
            facts[name] |= {
                "documents_in_train": (
                    None
                    if cut
                    else sum(document in known_documents for document in documents[name])
                    / head.n_documents
                ),
                "spans": len(spans),
                "spans_in_train": (
                    float(occur(spans, known_spans).mean())
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
