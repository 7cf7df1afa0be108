"""What the text and its batches are like.

What of the held-out text was learned from, and what an epoch reads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Integer, UInt64

from inklings.auditing.findings import Finding
from inklings.errors import InputError
from inklings.text.splits import SPLITS
from inklings.text.store import TokenSplit, TokenStore
from inklings.text.tokenizers import Tokenizer
from inklings.training.objectives.likelihood import Batches

TRAIN_TARGETS = 5_000_000
"""So much of the training text is looked at."""
HELD_OUT_TARGETS = 1_000_000
"""So much of each held-out split is looked at."""
MOST = 0.01
"""Overlaps and repetitions above this share are worth a warning."""
LONG = {"byte": 50, "char": 50}
"""Tokens of a span that two texts hardly share by chance, for each kind of tokenizer;
`LONG_OF_PIECES` for the others.
"""
LONG_OF_PIECES = 13

EPOCH_TARGETS = 2_000_000
"""Coverage is measured on so much of a split."""
EPOCH_STEPS = 20_000
"""And on less, where that would take more steps than this."""
LEAST = 0.9
"""What an epoch in order, or shuffled, has to score."""
LEAST_DRAWN = 0.5
"""What an epoch that draws with replacement has to score; 1 - 1/e, or 63%, is expected."""


def check_overlap(
    text: TokenStore | Mapping[str, TokenSplit], *, length: int | None = None
) -> Finding:
    """Whether held-out text stands in train too, and whether documents repeat.

    Check name `overlap`.

    A warning where more than `MOST` of a held-out split's documents, or of its spans of `length`
    tokens, occur in train, or more than that of any split's documents repeat an earlier one of it.
    Where few documents are that long, what few spans there are weigh little in a loss: those in
    train must be more than `MOST` of the targets, too.

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
    """Tokens of a span that two texts in the tokens of this tokenizer hardly share by chance."""
    return LONG.get(tokenizer.kind, LONG_OF_PIECES)


def _opened(
    text: TokenStore | Mapping[str, TokenSplit], length: int | None
) -> tuple[dict[str, TokenSplit], bool, int]:
    """The splits that hold text, whether they are parts of the same documents.

    And the length of a span.
    """
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
    return splits, cut, length or LONG["char"]


def _documents(split: TokenSplit) -> list[bytes]:
    tokens = split.read(0, len(split.tokens)).astype(np.uint32).tobytes()
    offsets = (4 * split.offsets).tolist()
    return [tokens[begin + 4 : end] for begin, end in itertools.pairwise(offsets)]


def _spans(split: TokenSplit, length: int) -> UInt64[np.ndarray, " n"]:
    """A hash of every span of `length` tokens that has no boundary in it.

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
    """Of the hashes, in ascending order, which are among the known ones, which ascend."""
    hashes = np.sort(hashes)  # searching in order is several times faster
    found: Bool[np.ndarray, " n"] = (
        known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
    )
    return found


def _overlaps(facts: dict[str, dict[str, Any]], held_out: list[str], length: int) -> list[str]:
    """What is worth a warning."""
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
    """What is said where nothing is wrong."""
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


@dataclass(frozen=True, eq=False)
class _Epoch:
    """What an epoch scored."""

    steps: int
    rows: int
    """Rows that scored any."""
    scored: int
    """Scored targets, however often each."""
    times: Int64[np.ndarray, " n"]
    """How often each target was scored."""

    @property
    def covered(self) -> float:
        """Share of the targets that were scored."""
        return float((self.times > 0).mean())

    @property
    def repeated(self) -> float:
        """Share of the targets that were scored more than once."""
        return float((self.times > 1).mean())

    @property
    def drawn(self) -> bool:
        """Whether targets repeat.

        And about as many as in so many draws with replacement, or fewer.
        """
        mean = self.scored / len(self.times)
        return (
            MOST
            < self.repeated
            <= 1 - math.exp(-mean) * (1 + mean) + 0.05 + 1 / math.sqrt(self.rows)
        )


def check_coverage(
    make_batches: Callable[[TokenSplit], Batches], split: TokenSplit, *, steps: int | None = None
) -> Finding:
    """How much of a split an epoch of a loader scores; check name `coverage`.

    The loader is run on a stand-in for the split (or for the first `EPOCH_TARGETS` of it), with the
    same documents and the same boundary, but in which each other token occurs once, so that targets
    tell where they are from.

    Fails where less than `LEAST` of the targets is scored or, of a loader that draws with
    replacement, `LEAST_DRAWN`.

    Args:
        make_batches: makes the loader that is to be checked, over the split that it is given.
        split: what the loader is meant for.
        steps: steps of an epoch over the split. None asks the loader's `steps_per_epoch`; where it
            has none, it is run until it has scored as many targets as there are.

    Raises:
        RunError: the split is damaged.
    """
    targets = min(split.n_targets, EPOCH_TARGETS)
    try:
        stand_in = _stand_in(split.head(targets))
        batches = make_batches(stand_in)
        expected = (
            _steps(batches, stand_in)
            if steps is None
            else math.ceil(steps * stand_in.n_targets / split.n_targets)
        )
        if expected > EPOCH_STEPS:
            stand_in = _stand_in(split.head(max(2, targets * EPOCH_STEPS // expected)))
            batches = make_batches(stand_in)
    except InputError as error:
        return Finding(
            check="coverage",
            status="not applicable",
            summary=f"it needs a text that the loader takes: {error}",
        )
    if steps is not None:
        steps = math.ceil(steps * stand_in.n_targets / split.n_targets)
    epoch = _run(
        batches, stand_in, getattr(batches, "steps_per_epoch", None) if steps is None else steps
    )
    covered, repeated = epoch.covered, epoch.repeated
    evidence = {
        "steps": epoch.steps,
        "targets": len(epoch.times),
        "whole": stand_in.n_targets == split.n_targets,
        "scored": epoch.scored,
        "covered": covered,
        "repeated": repeated,
    }
    figures = (
        f"an epoch of {epoch.steps:,} steps scores {covered:.1%} of the targets, {repeated:.1%}"
        " more than once"
    )
    if covered >= (LEAST_DRAWN if epoch.drawn else LEAST):
        drawn = "; it draws with replacement, where 63% is expected" if covered < LEAST else ""
        return Finding(check="coverage", status="pass", summary=figures + drawn, evidence=evidence)
    reads = (
        f"reads 1/{round(1 / covered)} of the text"
        if 0 < covered <= 0.5
        else f"leaves out {1 - covered:.1%} of the text"
    )
    return Finding(
        check="coverage", status="fail", summary=f"the loader {reads}: {figures}", evidence=evidence
    )


def _stand_in(split: TokenSplit) -> TokenSplit:
    """The split with each token its own index, but for boundaries.

    The token whose index is a boundary's number has the next free one.
    """
    tokens = np.arange(len(split.tokens), dtype=np.uint32)
    if split.boundary < len(tokens):
        tokens[split.boundary] = len(tokens)
    tokens[split.offsets] = split.boundary
    return replace(split, tokens=tokens, unchecked=None)


def _steps(batches: Batches, split: TokenSplit) -> int:
    """About how many steps an epoch has."""
    known: int | None = getattr(batches, "steps_per_epoch", None)
    if known is None:
        known = math.ceil(split.n_targets / max(1, int((batches.batch(0).weights > 0).sum())))
    return known


def _run(batches: Batches, split: TokenSplit, steps: int | None) -> _Epoch:
    """Run an epoch over a stand-in.

    Without `steps`, until as many targets were scored as it has.
    """
    times = np.zeros(len(split.tokens), dtype=np.int64)
    step = rows = scored = 0
    while step < (2 * EPOCH_STEPS if steps is None else steps) and (
        steps is not None or scored < split.n_targets
    ):
        batch = batches.batch(step)
        counted = batch.weights.numpy() > 0
        place = _places(split, batch.targets.numpy()[counted])
        before = _places(split, batch.tokens.numpy()[counted])
        # A boundary does not say which it is, but the token before it does.
        ends = (place < 0) & (before >= 0)
        place[ends] = np.where(
            split.tokens[before[ends] + 1] == split.boundary, before[ends] + 1, -1
        )
        np.add.at(times, place[place >= 0], 1)
        rows += int(counted.any(axis=1).sum())
        scored += int(counted.sum())
        step += 1
    tells = np.ones(len(times), dtype=bool)
    tells[split.offsets[np.append(True, np.diff(split.offsets) == 1)]] = (
        False  # the first one, and ends of empty documents
    )
    return _Epoch(step, rows, scored, times[tells])


def _places(split: TokenSplit, tokens: Integer[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Where tokens stand in a stand-in; -1 for boundaries and what is not in it."""
    n = len(split.tokens)
    place: Int64[np.ndarray, " n"] = np.where(tokens == n, split.boundary, tokens).astype(np.int64)
    place[(tokens == split.boundary) | (place < 0) | (place >= n)] = -1
    place[split.tokens[place] == split.boundary] = -1  # as that of -1 itself is
    return place
