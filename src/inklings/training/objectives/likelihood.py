"""The objective of models that predict tokens: gradient descent on the log-likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from inklings.config import RunConfig, TrainingConfig
from inklings.device import Runtime, autocast
from inklings.errors import ConfigError
from inklings.models.contract import Output, SequenceModel, State
from inklings.text.batches import Batch, positions, streams, windows
from inklings.text.store import TokenSplit, TokenStore
from inklings.training.ignored import ignored_settings
from inklings.training.objectives.base import Objective, Step
from inklings.training.objectives.validation import LikelihoodValidation
from inklings.training.optimizers.optimizers import Optimizers, tensors_below


@runtime_checkable
class Batches(Protocol):
    """A source of batches: one for every step."""

    def batch(self, step: int) -> Batch:
        """Return the batch of a step: a pure function of it."""
        ...


class LikelihoodObjective(Objective[SequenceModel]):
    """Gradient descent on the mean negative log-likelihood of the targets.

    A batch may be computed in equal parts: the sums of their token losses are divided by the weight
    of the whole batch, so the gradient is that of the batch in one piece, however unequal the
    weights of the parts are.
    """

    def __init__(
        self, model: SequenceModel, batches: Batches, training: TrainingConfig, runtime: Runtime
    ) -> None:
        muon_dtype = torch.bfloat16 if runtime.muon_precision == "bfloat16" else torch.float32
        self.optimizers = Optimizers(model, training, muon_dtype=muon_dtype)
        self.peak_rate = training.learning_rate
        self._model = model
        self._forward: Callable[..., Output] = torch.compile(model) if runtime.compile else model
        self._batches = batches
        self._epoch: int | None = getattr(batches, "steps_per_epoch", None)
        self._training = training
        self._runtime = runtime
        self._device = model.device
        self._guard = reads_are_free(self._device)
        carries = model.traits.carries_state and training.order == "streams"
        self._state = model.initial_state(training.batch_size) if carries else None

    @classmethod
    def make(
        cls, model: SequenceModel, split: TokenSplit, config: RunConfig, runtime: Runtime
    ) -> LikelihoodObjective:
        """Make the objective over batches in the settled order."""
        training = config.training
        return cls(model, make_batches(model, split, training), training, runtime)

    @classmethod
    def validation(
        cls, model: SequenceModel, store: TokenStore, *, seed: int
    ) -> LikelihoodValidation:
        """Measure nats per token."""
        return LikelihoodValidation(model, store, seed=seed)

    @classmethod
    def settle(cls, model: SequenceModel, training: TrainingConfig) -> TrainingConfig:
        """Choose rows in reading order where state is carried, else windows from anywhere."""
        order = training.order
        if order == "auto":
            order = "streams" if model.traits.carries_state else "windows"
        length = training.sequence_length or max(64, model.config.context_length)
        if order == "positions":
            if training.sequence_length not in (None, 1):
                given = training.sequence_length
                raise ConfigError(
                    f"TrainingConfig.sequence_length is {given}; texts have model.context_length"
                    f" tokens, {length}."
                )
            length = 1
        return replace(training, order=order, sequence_length=length)

    @classmethod
    def ignored(cls, model: SequenceModel, training: TrainingConfig) -> list[str]:
        """Name the settings that the optimiser, the schedule and the order do not use."""
        return ignored_settings(training, model)

    def step(self, step: int, rate: float, *, measure: bool) -> Step:
        """Forward, backward, clip, update."""
        if self._state is not None and self._epoch is not None and step % self._epoch == 0:
            # what was carried through an epoch has seen all of the text that the next one reads
            # again
            self._state = self._model.initial_state(self._training.batch_size)
        loss = self.gradients(self._batches.batch(step))
        clip = self._training.clip
        norm = self.optimizers.gradient_norm() if clip or measure else None
        if self._guard:
            size = 0.0 if norm is None else float(norm)
            if not (math.isfinite(float(loss)) and math.isfinite(size)):
                return Step(loss, norm, moved=False)
            if clip and size > clip:
                assert norm is not None
                self.optimizers.clip(clip, norm)
        elif clip:
            assert norm is not None
            self.optimizers.clip(clip, norm)
        self.optimizers.step(rate)
        return Step(loss, norm)

    def gradients(self, batch: Batch) -> Float[Tensor, ""]:
        """Add the gradient of the batch's mean loss to the parameters; return that loss.

        The model's state is carried over to the next batch.
        """
        total = float(batch.weights.sum())
        assert total > 0, "a batch must have a target that counts"
        rows = self._training.batch_size // self._training.accumulate
        parts = [slice(at, at + rows) for at in range(0, self._training.batch_size, rows)]
        losses, states = [], []
        for part in parts:
            loss, state = self._part(batch, part, total, whole=len(parts) == 1)
            losses.append(loss)
            states.append(state)
        if self._state is not None:
            after = [state.detach() for state in states if state is not None]
            self._state = after[0] if len(after) == 1 else State.joined(after)
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _part(
        self, batch: Batch, part: slice, total: float, *, whole: bool
    ) -> tuple[Float[Tensor, ""], State | None]:
        tokens, targets, weights, starts, context = (
            (
                None
                if field is None
                else (field if whole else field[part]).to(self._device, non_blocking=True)
            )
            for field in (batch.tokens, batch.targets, batch.weights, batch.starts, batch.context)
        )
        assert tokens is not None and targets is not None and weights is not None
        state = self._state
        if state is not None and not whole:
            state = state.part(part)
        if context is not None:
            state = self._model.state_after(context)
        with autocast(self._runtime):
            output = self._forward(tokens, state, starts=starts)
        token_losses = F.cross_entropy(
            output.logits.flatten(0, 1).float(), targets.flatten(), reduction="none"
        )
        loss = torch.dot(token_losses, weights.flatten() / total)
        objective = loss
        if output.losses:
            share = 1.0 if whole else float(batch.weights[part].sum()) / total
            objective = loss + share * torch.stack(list(output.losses.values())).sum()
        objective.backward()
        return loss.detach(), output.state if self._state is not None else None

    def tensors(self) -> dict[str, Tensor]:
        """Return the optimisers' state, and the model state that is carried from batch to batch."""
        carried = {} if self._state is None else self._model.state_to_tensors(self._state)
        return {
            **{f"optimizer/{name}": tensor for name, tensor in self.optimizers.tensors().items()},
            **{f"carried/{name}": tensor for name, tensor in carried.items()},
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Load both again; there is nothing to load before the first step."""
        self.optimizers.load(tensors_below("optimizer/", tensors))
        carried = tensors_below("carried/", tensors)
        if self._state is not None and carried:
            self._state = self._model.state_from_tensors(carried)


def reads_are_free(device: torch.device) -> bool:
    """Return whether reading a number from the device costs nothing.

    Reading one from a GPU makes the host wait for all work that was queued.
    """
    return device.type == "cpu"


def make_batches(model: SequenceModel, split: TokenSplit, training: TrainingConfig) -> Batches:
    """Make the batches in the settled order.

    Args:
        model: gives the context length and the warm-up tokens of a window.
        split: the training split.
        training: settings with nothing left open.
    """
    size, length = training.batch_size, training.sequence_length
    assert length is not None, "the length of a row has been settled"
    if training.order == "positions":
        return positions(
            split, batch_size=size, context_length=model.config.context_length, seed=training.seed
        )
    if training.order == "streams":
        return streams(split, batch_size=size, length=length, seed=training.seed)
    assert training.order == "windows", "the order has been settled"
    return windows(split, batch_size=size, length=length, lead=model.lead, seed=training.seed)
