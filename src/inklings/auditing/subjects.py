"""What is audited: an architecture with its settings, or a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from inklings.auditing.probes import scrambled
from inklings.config import RunConfig, TrainingConfig
from inklings.models.contract import Architecture, SequenceModel
from inklings.models.from_noise import SampleModel
from inklings.models.objectives import makes_texts, objective_of, predictor, refuse_silent
from inklings.models.registry import build, load_class
from inklings.runs.directory import RunDirectory
from inklings.seeds import drawn_from
from inklings.text.documents import SplitName
from inklings.text.store import TokenStore
from inklings.training.objectives.likelihood import LikelihoodObjective

VOCAB_SIZE = 65
"""Size of the vocabulary where an architecture is audited without a text."""


Model = TypeVar("Model", SequenceModel, SampleModel)


@dataclass(frozen=True, kw_only=True)
class AnySubject(Generic[Model]):
    """A model that can be made anew from any seed.

    What is known of its training and its text stands beside.
    """

    kind: ClassVar[str] = "model"

    label: str
    fresh: Callable[[int], Model]
    trained: Model | None = None
    """A run's model; None for an architecture."""
    store: TokenStore | None = None
    """The text; without one, what needs a text does not apply."""
    split: SplitName = "validation"
    """The held-out text."""
    run: RunDirectory | None = None
    """The run, whose own text may be another one."""

    @property
    def is_trained(self) -> bool:
        """Whether there are the weights of a run."""
        return self.trained is not None

    @property
    def has_text(self) -> bool:
        """Whether there is a text."""
        return self.store is not None

    @property
    def text(self) -> TokenStore:
        """The text, for a check that needs one."""
        assert self.store is not None, "a check that needs a text is not carried out without"
        return self.store


@dataclass(frozen=True, kw_only=True)
class Subject(AnySubject[SequenceModel]):
    """A model that predicts tokens."""

    training: TrainingConfig
    """Says how batches are made."""

    @cached_property
    def scrambled(self) -> SequenceModel:
        """The architecture with random weights, made once."""
        return scrambled(self.fresh)

    @cached_property
    def training_shape(self) -> tuple[int, int]:
        """Rows and positions of what one pass of training computes."""
        if not objective_of(self.scrambled).learns_by_likelihood:
            return 32, 64
        training = LikelihoodObjective.settle(self.scrambled, self.training)
        length = (training.sequence_length or 1) + self.scrambled.lead
        return training.batch_size // training.accumulate, length


@dataclass(frozen=True, kw_only=True)
class NoiseSubject(AnySubject[SampleModel]):
    """A generator without likelihood."""

    kind: ClassVar[str] = "generator without likelihood"

    @cached_property
    def model(self) -> SampleModel:
        """The run's model, or else one with random weights."""
        return self.trained or self.fresh(0)


def of_architecture(
    label: str, config: RunConfig, store: TokenStore | None, *, split: SplitName = "validation"
) -> Subject | NoiseSubject:
    """Make the subject of an architecture with settings.

    Args:
        label: its name in the audit.
        config: the settings of a run that was not made.
        store: the text; None audits without one.
        split: the held-out text.

    Raises:
        ArchitectureError: it cannot be loaded or built.
    """
    vocab_size, boundary = (
        (VOCAB_SIZE, 0) if store is None else (store.tokenizer.vocab_size, store.tokenizer.boundary)
    )

    def fresh() -> Architecture:
        return build(
            config.architecture, config.model, vocab_size=vocab_size, boundary_token=boundary
        )

    kind = load_class(config.architecture)
    refuse_silent(kind, "an audit")
    if objective_of(kind).makes_texts:
        return NoiseSubject(label=label, fresh=seeded(fresh), store=store, split=split)
    return Subject(
        label=label, fresh=seeded(fresh), training=config.training, store=store, split=split
    )


def of_run(
    label: str,
    run: RunDirectory,
    store: TokenStore | None,
    *,
    split: SplitName = "validation",
    trust_code: bool = False,
) -> Subject | NoiseSubject:
    """Make the subject of a run, with its best weights.

    Args:
        label: its name in the audit.
        run: the run.
        store: the text; None audits without one.
        split: the held-out text.
        trust_code: run its Python code even if another user or machine made it.

    Raises:
        RunError: its weights are missing or damaged, or its code may not be executed.
    """
    trained = run.load_model(trust_code=trust_code).eval()

    def fresh() -> Architecture:
        """Make a model of the run's own class, as its file may have changed since."""
        return type(trained)(trained.config)

    if makes_texts(trained):
        return NoiseSubject(
            label=label, fresh=seeded(fresh), trained=trained, store=store, split=split, run=run
        )
    return Subject(
        label=label,
        fresh=seeded(fresh),
        training=run.config.training,
        trained=predictor(trained, "an audit"),
        store=store,
        split=split,
        run=run,
    )


def seeded(make: Callable[[], Any]) -> Callable[[int], Any]:
    """Return a factory of models by seed, for one that draws from the global generator."""

    def fresh(seed: int) -> Any:
        with drawn_from(seed):
            return make()

    return fresh
