"""What an objective owns: a step of training, and all that depends on how a model learns.

One loop drives them all. Which one trains a model is said by its traits; the record of each stands
in `models/objectives.py`, and names the class here.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from inklings.config import RunConfig, TrainingConfig
from inklings.device import Runtime
from inklings.models.contract import Architecture
from inklings.models.objectives import objective_of
from inklings.text.store import TokenSplit, TokenStore

Trained = TypeVar("Trained", bound=Architecture)


@dataclass(frozen=True)
class Step:
    """What one step of training gave."""

    loss: Float[Tensor, ""] | None
    """Nats per target of the batch, auxiliary losses left out; None where learning has no loss."""
    gradient_norm: Float[Tensor, ""] | None = None
    """Before clipping; None if it was not measured."""
    moved: bool = True
    """Whether the weights were changed: not, if the loss or the gradient was seen to be not finite.
    """
    figures: dict[str, Tensor] = field(default_factory=dict)
    """What else is worth a place in the metrics, by name: numbers, or one for each position."""


@dataclass(frozen=True)
class Scores:
    """What one evaluation in training gives: the figure that weights are chosen by, and others."""

    loss: float
    """Lower is better, in the unit of the objective's record."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What else goes into the event; a number that is not finite is None."""


@runtime_checkable
class Validation(Protocol):
    """What is measured on the way."""

    def score(self) -> Scores:
        """Measure the model as it is now."""
        ...

    def texts(self, samples: int, seed: int) -> list[str]:
        """So many texts to be read; none where the model writes none."""
        ...


class Objective(ABC, Generic[Trained]):
    """How a model learns, a step at a time, and what must be saved of that beside the weights."""

    peak_rate: float = 0.0
    """The learning rate at a rate of one; 0 where there is none."""

    @classmethod
    @abstractmethod
    def make(
        cls, model: Trained, split: TokenSplit, config: RunConfig, runtime: Runtime
    ) -> Objective[Trained]:
        """The objective of a model over a training split, with settings that were settled.

        Raises:
            InputError: the split cannot be used.
        """

    @classmethod
    @abstractmethod
    def validation(cls, model: Trained, store: TokenStore, *, seed: int) -> Validation:
        """The way that a model is measured while it learns."""

    @classmethod
    def settle(cls, model: Trained, training: TrainingConfig) -> TrainingConfig:
        """The settings, with order and length of rows taken from the model where they were open.

        Raises:
            ConfigError: a setting cannot be had with the model.
        """
        length = training.sequence_length or model.config.context_length
        return replace(training, order="windows", sequence_length=length)

    @classmethod
    def tokens_per_step(cls, model: Trained, store: TokenStore, training: TrainingConfig) -> int:
        """Target tokens of a step: nominal, alike for all architectures."""
        assert training.sequence_length is not None, "the length of a row has been settled"
        return training.batch_size * training.sequence_length

    @classmethod
    def ignored(cls, model: Trained, training: TrainingConfig) -> list[str]:
        """A sentence for each setting that was asked for and is not looked at."""
        return []

    @classmethod
    def text_notes(cls, model: Trained, split: TokenSplit) -> list[str]:
        """What of the training split the model cannot be trained on, in sentences.

        Raises:
            SourceError: it is all of the text.
        """
        return []

    @abstractmethod
    def step(self, step: int, rate: float, *, measure: bool) -> Step:
        """Make step number `step` (from 0) at `rate` times the peak learning rates.

        With `measure`, the gradient's norm is wanted even where nothing is clipped.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """The state to be saved, as a flat dictionary."""

    @abstractmethod
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take up state that `tensors` gave."""


def objective_type(model: Architecture) -> type[Objective[Any]]:
    """The training half of the objective that a model declares.

    Raises:
        ArchitectureError: as `objective_of`.
    """
    module, _, name = objective_of(model).training.partition(":")
    found: type[Objective[Any]] = getattr(importlib.import_module(module), name)
    return found


def make_objective(
    model: Architecture, split: TokenSplit, config: RunConfig, runtime: Runtime
) -> Objective[Any]:
    """Make the objective that trains the model, over a training split.

    Settings leave nothing `auto`.

    Raises:
        ArchitectureError: the model is not of the kind that its objective trains.
        SourceError: no text of the split fits.
    """
    return objective_type(model).make(model, split, config, runtime)
