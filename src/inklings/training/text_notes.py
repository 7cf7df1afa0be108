"""Notes on a text and its vocabulary for the user, made before training begins."""

from __future__ import annotations

import math
from pathlib import Path

from inklings.models.objectives import objective_of
from inklings.runs.directory import RunDirectory
from inklings.runs.own_text import known_documents, training_text
from inklings.runs.shared_text import learned
from inklings.text.splits import SPLITS
from inklings.text.store import TokenStore
from inklings.training.objectives.base import objective_type
from inklings.training.objectives.validation import FORWARD, TRAIN_TARGETS, scored_targets
from inklings.training.settled import Settled

FEW_KNOWN = 0.01
"""Largest share of the validation documents that the parent run may have been trained on without a
note; repeats within a text make as many.
"""

ENOUGH = 200_000
"""Tokens of a validation part; a smaller one is not advised."""
SHOWN = 20
"""Most new tokens that are named."""


def text_notes(settled: Settled) -> list[str]:
    """Say in sentences what of the text the model cannot be trained on.

    Raises:
        SourceError: that is all of the text.
    """
    model, split = settled.model, settled.store.split("train")
    return _vocabulary_notes(settled) + objective_type(model).text_notes(model, split)


def parent_notes(initial: Path | None, store: TokenStore) -> list[str]:
    """Say how much of validation the initial weights were trained on."""
    if initial is None or not store.manifest["splits"]["validation"]["documents"]:
        return []
    trained = training_text(RunDirectory.open(initial))
    if trained is None:
        return []
    validation = store.split("validation")
    known = known_documents(trained.split("train"), validation)
    if known <= FEW_KNOWN * validation.n_documents:
        return []
    return [
        f"{known:,} of {validation.n_documents:,} validation documents are among those that"
        f" {initial} was trained on: the validation loss is partly a test of memory."
    ]


def evaluation_notes(settled: Settled, tokens: int) -> list[str]:
    """Say by what flag a run is shorter, where most of its time goes to evaluations.

    Args:
        settled: the model, its text and its settings.
        tokens: how many are trained on in all.
    """
    training = settled.config.training
    if not objective_of(settled.model).learns_by_likelihood or training.evaluations == 1:
        return []
    each = scored_targets(settled.store)
    read = training.evaluations * each
    if FORWARD * read <= tokens:
        return []
    fewer = max(1, int(tokens / (FORWARD * each)))
    share = _smaller_part(settled.store, tokens / (FORWARD * training.evaluations))
    advice = f"--training.evaluations {fewer} takes less"
    if FORWARD * each > tokens and share is not None:
        advice += f", --data.split {1 - 2 * share:.10g} {share:.10g} {share:.10g} much less"
    return [
        f"most of the time goes to evaluations: {training.evaluations} of them read {read:,}"
        f" tokens, training {tokens:,}. {advice}."
    ]


def _smaller_part(store: TokenStore, scored: float) -> float | None:
    """Return a share for the validation part with which an evaluation scores so many tokens.

    None where that is not a smaller one, or the text says itself what is held out: of a large text
    a small part is enough.
    """
    shares = store.manifest["split"]["shares"]
    total = sum(facts["tokens"] for facts in store.manifest["splits"].values())
    share = max(ENOUGH, scored / 2, scored - TRAIN_TARGETS) / total
    digit = 10 ** math.floor(math.log10(share))
    rounded = math.floor(share / digit) * digit
    return rounded if shares and rounded < shares[1] else None


def overlap_notes(store: TokenStore) -> list[str]:
    """Say how much of the held-out text stands in training, where that is enough to flatter."""
    notes = []
    for name in SPLITS[1:]:
        if not store.manifest["splits"][name]["documents"]:
            continue
        split = store.split(name)
        found = learned(store.split("train"), split, store.tokenizer)
        if found.flatters:
            said = f"{found.documents:,} of the {split.n_documents:,} {name} documents"
            if found.spans is not None:
                said += f" and {found.spans:.1%} of their spans of {found.span} tokens"
            notes.append(
                f"warning: {said} also stand in training: the {name} loss is partly a test of"
                " memory."
            )
    return notes


def _vocabulary_notes(settled: Settled) -> list[str]:
    """Say in sentences which settings of the vocabulary had which effect."""
    tokenizer, notes = settled.store.tokenizer, []
    if settled.given.data.unknown != "auto" and tokenizer.spells_all:
        notes.append(
            f"data.unknown is not looked at: the tokenizer ({tokenizer.kind}) has tokens for every"
            " text."
        )
    if settled.new_tokens:
        first = tokenizer.vocab_size - settled.new_tokens
        names = ", ".join(
            map(tokenizer.token_name, range(first, min(first + SHOWN, tokenizer.vocab_size)))
        )
        more = "" if settled.new_tokens <= SHOWN else " and more"
        ending = "" if settled.new_tokens == 1 else "s"
        notes.append(f"{settled.new_tokens:,} token{ending} new to the vocabulary: {names}{more}.")
    return notes
