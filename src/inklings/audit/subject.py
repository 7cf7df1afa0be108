"""What is audited: an architecture with its settings, or a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from inklings.audit.probe import FreshModel
from inklings.config import RunConfig, TrainingConfig
from inklings.models.contract import SequenceModel
from inklings.models.registry import build
from inklings.text.documents import SplitName
from inklings.text.store import TokenStore
from inklings.training.run_directory import RunDirectory

VOCAB_SIZE = 65
"""Of an architecture that is audited without a text."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model that can be made anew from any seed, with what is known of its training and its text."""

    label: str
    fresh: FreshModel
    training: TrainingConfig
    """Says how batches are made."""
    trained: SequenceModel | None = None
    """A run's model; None for an architecture."""
    store: TokenStore | None = None
    """The text; without one, what needs a text does not apply."""
    split: SplitName = "validation"
    """The held-out text."""


def of_architecture(label: str, config: RunConfig, store: TokenStore | None, *, split: SplitName = "validation") -> Subject:
    """An architecture with the settings of a run that was not made.

    Raises:
        ArchitectureError: it cannot be loaded or built.
    """
    vocab_size, boundary = (VOCAB_SIZE, 0) if store is None else (store.tokenizer.vocab_size, store.tokenizer.boundary)

    def fresh() -> SequenceModel:
        return build(config.architecture, config.model, vocab_size=vocab_size, boundary_token=boundary)

    return Subject(label=label, fresh=_seeded(fresh), training=config.training, store=store, split=split)


def of_run(
    label: str, run: RunDirectory, store: TokenStore | None, *, split: SplitName = "validation", trust_code: bool = False
) -> Subject:
    """A run with its best weights.

    Raises:
        RunError: its weights are missing or damaged, or its code may not be executed.
    """
    trained = run.load_model(trust_code=trust_code).eval()

    def fresh() -> SequenceModel:
        """Of the run's own class: the file that it came from may have changed since."""
        return type(trained)(trained.config)

    return Subject(label=label, fresh=_seeded(fresh), training=run.config.training, trained=trained, store=store, split=split)


def _seeded(make: Callable[[], SequenceModel]) -> FreshModel:
    def fresh(seed: int) -> SequenceModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return make()

    return fresh
