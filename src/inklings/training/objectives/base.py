"""The base of all objectives: a step of training, and all that depends on how a model learns.

One loop drives them all. A model's traits say which one trains it; the record of each stands in
`models/objectives.py`, and names the class here.
"""

from __future__ import annotations

import contextlib
import importlib
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from inklings.config import RunConfig, TrainingConfig
from inklings.device import Runtime
from inklings.models.contract import Architecture
from inklings.models.objectives import objective_of
from inklings.text.store import TokenSplit, TokenStore
from inklings.world import ALONE, World

Trained = TypeVar("Trained", bound=Architecture)


@dataclass(frozen=True)
class Step:
    """The result of one step of training."""

    loss: Float[Tensor, ""] | None
    """Nats per target of the batch, auxiliary losses left out; None where learning has no loss."""
    gradient_norm: Float[Tensor, ""] | None = None
    """Before clipping; None if it was not measured."""
    moved: bool = True
    """Whether the weights were changed; False if the loss or the gradient was seen not to be
    finite.
    """
    figures: dict[str, Tensor] = field(default_factory=dict)
    """Other figures for the metrics, by name: numbers, or one for each position."""


@dataclass(frozen=True)
class Scores:
    """The figures of one evaluation in training; `loss` decides which weights are best."""

    loss: float
    """Lower is better, in the unit of the objective's record."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Other figures of the event; a number that is not finite is None."""


@runtime_checkable
class Validation(Protocol):
    """The measurements that are made during training."""

    def score(self) -> Scores:
        """Measure the model as it is now."""
        ...

    def texts(self, samples: int, seed: int) -> list[str]:
        """Write so many texts for people to read; none where the model writes none."""
        ...


class Objective(ABC, Generic[Trained]):
    """How a model learns, one step at a time, and what must be saved of that beside the weights."""

    draws_alike: ClassVar[bool] = False
    """Whether every process draws the same random numbers in a step, those of the whole batch, and
    takes its rows of them; else each draws its own.
    """
    peak_rate: float = 0.0
    """The learning rate at a rate of one; 0 where there is none."""

    @classmethod
    @abstractmethod
    def make(
        cls, model: Trained, split: TokenSplit, config: RunConfig, runtime: Runtime, world: World
    ) -> Objective[Trained]:
        """Make the objective of a model over a training split.

        Args:
            model: the model that learns.
            split: the training split.
            config: settings with nothing left open.
            runtime: how it computes.
            world: the processes that share every step; one, unless `not_shared` allows more.

        Raises:
            InputError: the split cannot be used.
        """

    @classmethod
    @abstractmethod
    def validation(
        cls,
        model: Trained,
        store: TokenStore,
        *,
        seed: int,
        world: World = ALONE,
    ) -> Validation:
        """Make what measures a model while it learns.

        Args:
            model: the model that learns.
            store: the text.
            seed: of the samples that are drawn.
            world: the processes that share the work; all get the same figures. To be asked about
                once a batch, by `World.in_step` or `World.heed`, whether they are to stop: these
                then raise an `InterruptedWorkError`.
        """

    @classmethod
    def settle(cls, model: Trained, training: TrainingConfig) -> TrainingConfig:
        """Return the settings with order and row length taken from the model where they were open.

        Raises:
            ConfigError: a setting is not possible with the model.
        """
        length = training.sequence_length or model.config.context_length
        return replace(training, order="windows", sequence_length=length)

    @classmethod
    def tokens_per_step(cls, model: Trained, store: TokenStore, training: TrainingConfig) -> int:
        """Return the target tokens of a step: nominal, the same for all architectures.

        Args:
            model: the model that learns.
            store: the text.
            training: settings with nothing left open.
        """
        assert training.sequence_length is not None, "the length of a row has been settled"
        return training.batch_size * training.sequence_length

    @classmethod
    def not_shared(cls, model: Trained, training: TrainingConfig, world: World) -> str | None:
        """Say why several processes cannot train the model together; None where they can.

        Args:
            model: the model that learns.
            training: settings with nothing left open.
            world: the processes.
        """
        return "its objective is written for one process"

    @classmethod
    def ignored(cls, model: Trained, training: TrainingConfig) -> list[str]:
        """Make a sentence for each setting that was asked for and has no effect."""
        return []

    @classmethod
    def text_notes(cls, model: Trained, split: TokenSplit) -> list[str]:
        """Say in sentences what of the training split the model cannot be trained on.

        Raises:
            SourceError: that is all of the text.
        """
        return []

    @abstractmethod
    def step(self, step: int, rate: float, *, measure: bool) -> Step:
        """Make one optimiser step.

        Args:
            step: its number, from 0.
            rate: the learning rate as a share of the peak rates.
            measure: whether the gradient's norm is wanted even where nothing is clipped.
        """

    def evaluating(self) -> AbstractContextManager[None]:
        """Give every process all that it needs to use the model by itself, within the block."""
        return contextlib.nullcontext()

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return the state to be saved, as a flat dictionary."""

    def cut_as(self, name: str) -> Tensor | None:
        """Return the weight that a saved tensor of this name is cut up as among processes."""
        return None

    @abstractmethod
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Load the state that `tensors` gave."""


def objective_type(model: Architecture) -> type[Objective[Any]]:
    """Return the training half of the objective that a model declares.

    Raises:
        ArchitectureError: as `objective_of`.
    """
    module, _, name = objective_of(model).training.partition(":")
    found: type[Objective[Any]] = getattr(importlib.import_module(module), name)
    return found


def make_objective(
    model: Architecture,
    split: TokenSplit,
    config: RunConfig,
    runtime: Runtime,
    world: World = ALONE,
) -> Objective[Any]:
    """Make the objective that trains the model over a training split.

    Args:
        model: the model that learns.
        split: the training split.
        config: settings with nothing left open.
        runtime: how it computes.
        world: the processes that share every step.

    Raises:
        ArchitectureError: the model is not of the kind that its objective trains.
        SourceError: no text of the split fits.
    """
    return objective_type(model).make(model, split, config, runtime, world)
