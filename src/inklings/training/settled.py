"""The settled settings, text and model of a run: only how to compute is still open."""

from __future__ import annotations

from dataclasses import dataclass, replace

from inklings.config import RunConfig
from inklings.device import Runtime, choose_runtime
from inklings.models.contract import Architecture
from inklings.text.store import TokenStore
from inklings.training.objectives.base import objective_type


@dataclass(frozen=True, eq=False, kw_only=True)
class Settled:
    """Text, model and training settings, before anything is measured."""

    given: RunConfig
    config: RunConfig
    """The settings with every field of the model, the order and the length of a row."""
    store: TokenStore
    model: Architecture
    """The model with its initial weights, on the CPU."""
    new_tokens: int = 0
    """How many tokens were added to the vocabulary of the run that it begins with."""

    @property
    def tokens_per_step(self) -> int:
        """Target tokens of a step: nominal, the same for all architectures."""
        objective = objective_type(self.model)
        return objective.tokens_per_step(self.model, self.store, self.config.training)

    @property
    def plain_runtime(self) -> Runtime:
        """The device that was asked for, with nothing measured or compiled."""
        return choose_runtime(replace(self.config.training, precision="float32", compile="off"))
