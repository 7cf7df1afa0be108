"""The settings, text and model of a run, settled: nothing is left to choose but how to compute."""

from __future__ import annotations

from dataclasses import dataclass, replace

from inklings.config import RunConfig
from inklings.device import Runtime, choose_runtime
from inklings.models.contract import Architecture
from inklings.models.from_noise import SampleModel
from inklings.text.store import TokenStore


@dataclass(frozen=True, eq=False, kw_only=True)
class Settled:
    """Text, model and training settings, before anything was measured."""

    given: RunConfig
    config: RunConfig
    """With every field of the model, the order and the length of a row."""
    store: TokenStore
    model: Architecture
    """With its initial weights, on the CPU."""
    new_tokens: int = 0
    """By how many the vocabulary of the run that it begins with was extended."""

    @property
    def tokens_per_step(self) -> int:
        """Target tokens of a step: nominal, alike for all architectures.

        Counting takes the whole split in one.
        """
        training = self.config.training
        assert training.sequence_length is not None
        if self.model.traits.objective == "counting":
            return self.store.split("train").n_targets
        if isinstance(self.model, SampleModel):  # real text that the critic reads
            return (
                self.model.adversary.critic_steps * training.batch_size * training.sequence_length
            )
        return training.batch_size * training.sequence_length

    @property
    def plain_runtime(self) -> Runtime:
        """The device that was asked for, with nothing measured or compiled."""
        return choose_runtime(replace(self.config.training, precision="float32", compile="off"))
