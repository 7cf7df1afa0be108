"""The reference set: held-out text, training text, and how both are cut for comparison."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt64

from inklings.errors import ConfigError, SourceError
from inklings.evaluation.samples.reference_models import train_judge
from inklings.evaluation.samples.sample_set import SampleSet, documents_of, windows_of
from inklings.evaluation.samples.sampling import draw
from inklings.models.contract import Architecture
from inklings.models.ngram import NGram
from inklings.text.documents import SplitName
from inklings.text.store import TokenSplit, TokenStore
from inklings.text.tokenizers import Tokenizer

SAMPLES = 3000
LONGEST = 512
"""Documents are cut here unless told otherwise: samples take time in proportion."""
TRAINING_TOKENS, REFERENCE_TOKENS = 20_000_000, 1_000_000
"""Tokens of training and held-out text that are used; of larger ones, documents are drawn."""
FEWEST = 50
"""Fewer samples than this say little, which is noted; fewer than 2 say nothing."""


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """How samples are drawn and compared; figures are comparable where it is equal."""

    source: str
    split: str
    samples: int
    max_length: int
    """Tokens of the longest sample: documents are cut there."""
    windows: int | None
    """Tokens of a window, where windows are compared instead of documents."""
    seed: int
    reference_documents: int
    training_documents: int
    notes: list[str] = field(default_factory=list)
    """What a reader must know: where fewer were compared than were asked for, and why."""


@dataclass(frozen=True, eq=False)
class ReferenceSet:
    """The texts behind a `SampleSettings`; the same for every model whose samples are compared."""

    setting: SampleSettings
    tokenizer: Tokenizer
    reference: SampleSet
    """The held-out documents, in a random order."""
    training: SampleSet
    """The training documents, in a random order."""
    known: UInt64[np.ndarray, " K"]
    """Fingerprints of what counts as copied; see `evaluation.diversity.share_novel`."""
    judge: NGram
    """Counted on the training text."""
    learned: UInt64[np.ndarray, " L"] | None = None
    """As `known`, of the text that a model was trained on, where it is compared with another."""

    def draw(self, model: Architecture, *, seed: int, temperature: float = 1.0) -> SampleSet:
        """Draw samples of a model, as many and in the form that they are compared in.

        Errors as `sampling.draw`.

        Args:
            model: writes them.
            seed: of the draws.
            temperature: of a model that predicts tokens.
        """
        return draw(
            model,
            self.tokenizer,
            self.setting.samples,
            max_length=self.setting.max_length,
            windows=self.setting.windows,
            temperature=temperature,
            seed=seed,
        )


def make_reference_set(
    store: TokenStore,
    split: SplitName = "validation",
    *,
    samples: int | None = None,
    max_length: int | None = None,
    windows: int | None = None,
    seed: int = 0,
    learned: TokenSplit | None = None,
) -> ReferenceSet:
    """Prepare what samples are compared with.

    Args:
        store: the text.
        split: the reference.
        samples: how many are compared; None takes `SAMPLES`. No more than there are held-out
            documents.
        max_length: tokens at which documents are cut; None takes the longest training document, at
            most `LONGEST`.
        windows: compare windows of so many tokens instead of documents.
        seed: of the order in which real documents are taken.
        learned: the training part of the model's own text, in the same tokens, where that is
            another text.

    Raises:
        SourceError: there are too few documents to compare anything.
        ConfigError: a number is out of range, or `split` is the training split.
    """
    if split == "train":
        raise ConfigError(
            "samples are compared with held-out text, and the train split is what was learned; give"
            " --split validation or test."
        )
    wanted = SAMPLES if samples is None else samples
    if wanted < 2:
        raise ConfigError(
            f"{wanted} samples were asked for; a set of samples needs at least 2, such as"
            f" {SAMPLES}."
        )
    notes: list[str] = []
    training_split, held_out = store.split("train"), store.split(split)
    length = max_length
    if windows is not None:
        length = windows
    elif length is None:
        length = _longest(training_split, notes)
    training = _texts(
        store, training_split, "training", length, windows, seed, TRAINING_TOKENS, notes
    )
    reference = _texts(store, held_out, split, length, windows, seed + 1, REFERENCE_TOKENS, notes)
    kind = "documents" if windows is None else f"windows of {windows} tokens"
    n = min(wanted, len(reference), len(training))
    if n < 2:
        hint = (
            "compare windows (`inklings evaluate RUN --windows 32`)"
            if windows is None
            else "ask for narrower windows"
        )
        raise SourceError(
            f"the text has {len(training)} training and {len(reference)} {split} {kind}, too few to"
            f" compare samples with; {hint}."
        )
    if samples is not None and n < samples:
        notes.append(
            f"{samples:,} samples were asked for; {n:,} are compared, for the {split} split has"
            f" {len(reference):,} {kind} and the training text {len(training):,}."
        )
    if n < FEWEST:
        notes.append(
            f"{n} samples are few: intervals are wide, and real text is far from real text too."
        )
    if (different := len(np.unique(training.fingerprints()))) < len(training):
        notes.append(
            f"{1 - different / len(training):.1%} of the training {kind} are repeats, so real text"
            " is not all unique either."
        )

    def copies(of: TokenSplit) -> UInt64[np.ndarray, " K"]:
        return _copies(of, length, windows, vocab_size=store.tokenizer.vocab_size, seed=seed)

    setting = SampleSettings(
        source=store.manifest["source"]["name"],
        split=split,
        samples=n,
        max_length=length,
        windows=windows,
        seed=seed,
        reference_documents=len(reference),
        training_documents=len(training),
        notes=notes,
    )
    return ReferenceSet(
        setting,
        store.tokenizer,
        reference,
        training,
        copies(training_split),
        train_judge(training),
        None if learned is None else copies(learned),
    )


def _longest(training: TokenSplit, notes: list[str]) -> int:
    lengths = np.diff(training.offsets) - 1
    longest = int(lengths.max(initial=1))
    if longest > LONGEST:
        notes.append(
            f"documents are cut at {LONGEST} tokens, which {float((lengths > LONGEST).mean()):.1%}"
            " of the training ones exceed."
        )
    return max(1, min(longest, LONGEST))


def _texts(
    store: TokenStore,
    split: TokenSplit,
    name: str,
    length: int,
    windows: int | None,
    seed: int,
    most: int,
    notes: list[str],
) -> SampleSet:
    vocab_size = store.tokenizer.vocab_size
    if windows is None:
        found = documents_of(
            split, vocab_size=vocab_size, max_length=length, seed=seed, most_tokens=most
        )
        whole = split.n_documents
    else:
        found = windows_of(split, windows, vocab_size=vocab_size, seed=seed, most_tokens=most)
        whole = int(((np.diff(split.offsets) - 1) // windows).sum())
    if len(found) < whole:
        notes.append(
            f"of the {name} text {len(found):,} of {whole:,}"
            f" {'documents' if windows is None else 'windows'} are used, drawn at random."
        )
    return found


def _copies(
    split: TokenSplit, length: int, windows: int | None, *, vocab_size: int, seed: int
) -> UInt64[np.ndarray, " K"]:
    """Fingerprint what a sample would be a copy of: a split's documents, or every window of them.

    Of a large text, only the documents that are used count.
    """
    longest = max(1, int(np.diff(split.offsets).max(initial=1)) - 1)
    whole = documents_of(
        split,
        vocab_size=vocab_size,
        max_length=length if windows is None else min(longest, TRAINING_TOKENS),
        seed=seed,
        most_tokens=TRAINING_TOKENS,
    )
    return np.unique(whole.fingerprints() if windows is None else whole.spans(windows))
