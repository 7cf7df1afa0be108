"""The novelty of samples: the longest spans that are copied from the training text.

Held-out text of the same size is measured beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from inklings.auditing.check import Check
from inklings.auditing.findings import Finding
from inklings.auditing.learned_text import learned_part
from inklings.auditing.subjects import Subject
from inklings.auditing.suffix_automaton import _STRETCH, Ends, SuffixAutomaton
from inklings.generation.generate import generate
from inklings.generation.sampling import SamplingConfig
from inklings.text.store import TokenSplit
from inklings.text.token_bytes import OF_LETTERS

TRAIN_TARGETS = 5_000_000
"""Targets of the training text that samples are compared with, at most."""
LENGTHS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32)
MANY_CHARACTERS = 50
"""A copied span that is shorter, in characters or bytes, is no reason for a warning."""
MANY_PIECES = 20
"""The same for other tokens."""
MORE_WHOLE = 0.1
"""Nor are whole copies, where their share is above that of held-out text by no more than this."""
DRAWN = {"lines": (64, 48), "documents": (8, 192)}
"""By layout: samples, and tokens of each at most."""


@dataclass(frozen=True)
class CopiedSpan:
    """A span that stands in the training text."""

    text: int
    """Number of the text that it is in."""
    begin: int
    """Number of its first token there."""
    end: int
    """The position after its last token."""
    train_begin: int
    """Index of its first token in the training split's tokens."""
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Copies:
    """What some texts have copied from the training text."""

    tokens: int
    """How many tokens the texts have."""
    longest: CopiedSpan | None
    """The first of the longest copied spans; None if no token occurs in the training text."""
    whole: float | None
    """Share of the texts that are whole training documents; None where no text is whole."""
    new: dict[int, float]
    """For each length, the share of the texts' n-grams that do not occur in train; lengths of which
    there is none are left out.
    """

    @property
    def longest_length(self) -> int:
        """Tokens of the longest copied span."""
        return 0 if self.longest is None else len(self.longest.tokens)


@dataclass(frozen=True)
class Novelty:
    """The copies in samples, beside those in held-out text."""

    samples: Copies
    held_out: Copies
    """Figures of the first held-out texts, with as many tokens as the samples or, where there are
    fewer, all of them.
    """
    train_tokens: int
    """How much of the training text was compared with, boundaries included."""
    whole_train: bool
    """Whether all of the training text was looked at."""


def novelty(
    samples: Sequence[Sequence[int]],
    held_out: Sequence[Sequence[int]],
    train: TokenSplit,
    *,
    lengths: Sequence[int] = LENGTHS,
) -> Novelty:
    """Compare samples, and as much held-out text, with the training text.

    The first `TRAIN_TARGETS` of the training text are read.

    Args:
        samples: tokens of each, without the boundary that ended it.
        held_out: tokens of each document, without its boundary.
        train: the text that was learned from.
        lengths: of the n-grams that are counted.

    Raises:
        RunError: the training split is damaged.
    """
    shortened = _first(held_out, sum(map(len, samples)))
    head = train.head(TRAIN_TARGETS)
    automaton = SuffixAutomaton([*samples, *shortened], train.boundary)
    for start in range(0, len(head.tokens), _STRETCH):
        automaton.read(head.read(start, start + _STRETCH).tolist())
    ends = automaton.ends()
    n_whole = len(shortened) - (
        bool(shortened) and len(shortened[-1]) < len(held_out[len(shortened) - 1])
    )
    return Novelty(
        samples=_copies(samples, ends[: len(samples)], head, lengths, n_whole=len(samples)),
        held_out=_copies(shortened, ends[len(samples) :], head, lengths, n_whole=n_whole),
        train_tokens=len(head.tokens),
        whole_train=head.n_targets == train.n_targets,
    )


def _first(texts: Sequence[Sequence[int]], tokens: int) -> list[Sequence[int]]:
    """Return the first texts, with a number of tokens; the last one is cut."""
    kept = []
    for text in texts:
        if tokens <= 0:
            break
        kept.append(text[:tokens])
        tokens -= len(text)
    return kept


def _copies(
    texts: Sequence[Sequence[int]],
    found: Sequence[Ends],
    train: TokenSplit,
    lengths: Sequence[int],
    *,
    n_whole: int,
) -> Copies:
    """Return what was found of the texts; the first `n_whole` of them are whole."""
    longest = None
    for number, (text, ends) in enumerate(zip(texts, found, strict=True)):
        length = max(ends.lengths, default=0)
        if length > (0 if longest is None else len(longest.tokens)):
            end = ends.lengths.index(length) + 1
            longest = CopiedSpan(
                number,
                end - length,
                end,
                ends.places[end - 1] + 1 - length,
                tuple(text[end - length : end]),
            )
    new = {}
    for length in lengths:
        ngrams = np.concatenate(
            [
                np.zeros(0, np.int64),
                *(np.array(ends.lengths[length - 1 :], np.int64) for ends in found),
            ]
        )
        if len(ngrams):
            new[length] = float((ngrams < length).mean())
    # Only a text that is one copied span can be a whole document.
    spans = [
        tuple(text)
        for text, ends in zip(texts[:n_whole], found, strict=False)
        if text and ends.lengths[-1] == len(text)
    ]
    sizes = list({len(span) for span in spans})
    fitting = np.flatnonzero(np.isin(np.diff(train.offsets) - 1, sizes)).tolist()
    documents = {tuple(train.document(index).tolist()) for index in fitting}
    whole = sum(span in documents for span in spans) / n_whole if n_whole else None
    return Copies(sum(map(len, texts)), longest, whole, new)


def check_novelty(
    samples: Sequence[Sequence[int]],
    held_out: Sequence[Sequence[int]],
    train: TokenSplit,
    *,
    characters: bool,
    lengths: Sequence[int] = LENGTHS,
) -> Finding:
    """Check that samples copy no more of the training text than held-out text does.

    Check name `novelty`. A warning where the longest copied span is more than twice the held-out
    text's and has at least `MANY_CHARACTERS` tokens (`MANY_PIECES` where tokens are not characters
    or bytes), or where more of the samples are whole training documents, by `MORE_WHOLE`. Errors as
    `novelty`.

    Args:
        samples: tokens of each sample.
        held_out: tokens of each held-out text.
        train: the training text.
        characters: whether tokens are characters or bytes.
        lengths: of spans whose copied shares are told.
    """
    if not any(samples):
        return Finding(
            check="novelty",
            status="not applicable",
            summary="novelty needs samples, and there is none with a token",
        )
    if not any(held_out):
        return Finding(
            check="novelty",
            status="not applicable",
            summary="novelty needs held-out text to compare the samples with",
        )
    found = novelty(samples, held_out, train, lengths=lengths)
    ours, theirs = found.samples, found.held_out
    long = ours.longest_length > 2 * theirs.longest_length and ours.longest_length >= (
        MANY_CHARACTERS if characters else MANY_PIECES
    )
    whole = (ours.whole or 0) - (theirs.whole or 0) > MORE_WHOLE
    said = [
        f"the longest span that is also in train has {ours.longest_length} tokens (held-out text:"
        f" {theirs.longest_length})"
    ]
    if ours.whole is not None:
        beside = "" if theirs.whole is None else f" (held-out text: {theirs.whole:.1%})"
        said.append(f"{ours.whole:.1%} of the samples are whole training documents{beside}")
    both = [length for length in ours.new if length in theirs.new]
    if both:
        # The length at which most is still open says most.
        shown = min(both, key=lambda length: abs(theirs.new[length] - 0.5))
        said.append(
            f"{ours.new[shown]:.1%} of the spans of {shown} tokens are new (held-out text:"
            f" {theirs.new[shown]:.1%})"
        )
    return Finding(
        check="novelty",
        status="warning" if long or whole else "pass",
        summary=(
            "the samples copy more of train than held-out text does: " if long or whole else ""
        )
        + "; ".join(said),
        evidence=_evidence(found),
    )


def _evidence(found: Novelty) -> dict[str, Any]:
    evidence: dict[str, Any] = {
        "train_tokens": found.train_tokens,
        "whole_train": found.whole_train,
    }
    for name, copies in (("samples", found.samples), ("held_out", found.held_out)):
        longest = (
            None
            if copies.longest is None
            else {**vars(copies.longest), "tokens": list(copies.longest.tokens)}
        )
        evidence[name] = {
            "tokens": copies.tokens,
            "longest": longest,
            "whole": copies.whole,
            "new": [list(item) for item in copies.new.items()],
        }
    return evidence


def _of_run(subject: Subject) -> Finding:
    store = subject.text
    assert subject.trained is not None, "the check needs a run"
    lines = store.manifest["source"]["layout"] == "lines"
    samples, length = DRAWN["lines" if lines else "documents"]
    with torch.random.fork_rng(devices=[]):
        made = generate(
            subject.trained,
            store.tokenizer,
            "",
            max_new_tokens=length,
            sampling=SamplingConfig(temperature=1.0, seed=0),
            samples=samples,
            stop_at_boundary=lines,
        )
    split = store.split(subject.split).head(4 * samples * length)
    held_out = [split.document(index).tolist() for index in range(split.n_documents)]
    characters = store.tokenizer.kind in OF_LETTERS
    return check_novelty(
        [list(text.tokens) for text in made],
        held_out,
        learned_part(store, subject.run),
        characters=characters,
    )


NOVELTY: Check[Subject] = Check(name="novelty", run=_of_run, needs_text=True, needs_run=True)
