"""The objective of models that predict tokens: gradient descent on the log-likelihood."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
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
from inklings.world import ALONE, World


@runtime_checkable
class Batches(Protocol):
    """A source of batches: one for every step."""

    def batch(self, step: int) -> Batch:
        """Return the batch of a step: a pure function of it."""
        ...


class PartLoss(nn.Module):
    """The loss of a part of a batch, as a share of the loss of the whole.

    A module of its own, so that what has a gradient is one number: processes that add up gradients
    then know which weights it depends on.
    """

    def __init__(self, model: SequenceModel, runtime: Runtime) -> None:
        super().__init__()
        self.model = model
        self._forward: Callable[..., Output] = torch.compile(model) if runtime.compile else model
        self._runtime = runtime

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        targets: Int[Tensor, "B T"],
        shares: Float[Tensor, "B T"],
        share: float,
        state: State | None,
        starts: Bool[Tensor, "B T"] | None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], State | None]:
        """Return what is minimised, the loss in it without auxiliary losses, and the state after.

        Args:
            tokens: of the part.
            targets: the token after each.
            shares: the weight of each target, as a share of those of the whole batch.
            share: the part's share of the whole batch, by which auxiliary losses count.
            state: before the part.
            starts: first tokens of documents.
        """
        with autocast(self._runtime):
            output = self._forward(tokens, state, starts=starts)
        token_losses = F.cross_entropy(
            output.logits.flatten(0, 1).float(), targets.flatten(), reduction="none"
        )
        loss = torch.dot(token_losses, shares.flatten())
        objective = loss
        if output.losses:
            objective = loss + share * torch.stack(list(output.losses.values())).sum()
        return objective, loss.detach(), None if output.state is None else output.state.detach()


class LikelihoodObjective(Objective[SequenceModel]):
    """Gradient descent on the mean negative log-likelihood of the targets.

    A batch may be computed in equal parts, one after the other and by several processes: the sums
    of their token losses are divided by the weight of the whole batch, so the gradient is that of
    the batch in one piece, however unequal the weights of the parts are.
    """

    def __init__(
        self,
        model: SequenceModel,
        batches: Batches,
        training: TrainingConfig,
        runtime: Runtime,
        world: World = ALONE,
    ) -> None:
        muon_dtype = torch.bfloat16 if runtime.muon_precision == "bfloat16" else torch.float32
        # before the weights are looked at
        self._loss = world.spread(PartLoss(model, runtime), model.units())
        self.optimizers = Optimizers(model, training, muon_dtype=muon_dtype, world=world)
        self.peak_rate = training.learning_rate
        self._model = model
        self._world = world
        self._batches = batches
        self._epoch: int | None = getattr(batches, "steps_per_epoch", None)
        self._training = training
        self._device = model.device
        self._guard = reads_are_free(self._device)
        self._rows = world.rows(training.batch_size)
        carries = model.traits.carries_state and training.order == "streams"
        self._state = self._fresh_state() if carries else None

    @classmethod
    def make(
        cls,
        model: SequenceModel,
        split: TokenSplit,
        config: RunConfig,
        runtime: Runtime,
        world: World,
    ) -> LikelihoodObjective:
        """Make the objective over batches in the settled order."""
        training = config.training
        return cls(model, make_batches(model, split, training), training, runtime, world)

    @classmethod
    def validation(
        cls,
        model: SequenceModel,
        store: TokenStore,
        *,
        seed: int,
        world: World = ALONE,
    ) -> LikelihoodValidation:
        """Measure nats per token."""
        return LikelihoodValidation(model, store, seed=seed, world=world)

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
    def not_shared(cls, model: SequenceModel, training: TrainingConfig, world: World) -> str | None:
        """Say what would have to know the rows of other processes."""
        if model.traits.batch_statistics:
            return (
                "its rows influence each other (batch norm), and each process would take the"
                " statistics of its own rows"
            )
        single = [name for name, weight in model.named_parameters() if weight.ndim == 0]
        if world.sharded and single:
            return (
                f"{single[0]} is a single number, which PyTorch does not cut up; it needs the"
                " strategy ddp"
            )
        return None

    @classmethod
    def ignored(cls, model: SequenceModel, training: TrainingConfig) -> list[str]:
        """Name the settings that the optimiser, the schedule and the order do not use."""
        return ignored_settings(training, model)

    def step(self, step: int, rate: float, *, measure: bool) -> Step:
        """Forward, backward, clip, update."""
        if self._state is not None and self._epoch is not None and step % self._epoch == 0:
            # what was carried through an epoch has seen all of the text that the next one reads
            # again
            self._state = self._fresh_state()
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
        rows = (self._rows.stop - self._rows.start) // self._training.accumulate
        begins = range(self._rows.start, self._rows.stop, rows)
        losses, states = [], []
        for begin in begins:
            last = begin == begins[-1]
            with contextlib.nullcontext() if last else self._world.held_back(self._loss):
                loss, state = self._part(batch, slice(begin, begin + rows), total)
            losses.append(loss)
            states.append(state)
        if self._state is not None:
            after = [state for state in states if state is not None]
            self._state = after[0] if len(after) == 1 else State.joined(after)
        return self._world.total(losses[0] if len(losses) == 1 else torch.stack(losses).sum())

    def _part(
        self, batch: Batch, part: slice, total: float
    ) -> tuple[Float[Tensor, ""], State | None]:
        """Add the gradient of some rows of the batch; return their share of the loss."""
        whole = part.stop - part.start == self._training.batch_size
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
        first = self._rows.start  # the state is that of this process's rows
        if state is not None and part != self._rows:
            state = state.part(slice(part.start - first, part.stop - first))
        if context is not None:
            with self._world.readable(self._loss):
                state = self._model.state_after(context)
        share = 1.0 if whole else float(batch.weights[part].sum()) / total
        objective, loss, after = self._loss(tokens, targets, weights / total, share, state, starts)
        objective.backward()
        return loss, after if self._state is not None else None

    def _fresh_state(self) -> State:
        """Return the state of this process's rows before the first token."""
        with self._world.readable(self._loss):
            state = self._model.initial_state(self._rows.stop - self._rows.start)
            return state.clone() if self._world.sharded else state  # it may be made of weights

    def evaluating(self) -> AbstractContextManager[None]:
        """Let every process read with the model, where its weights are cut up."""
        return self._world.readable(self._loss)

    def tensors(self) -> dict[str, Tensor]:
        """Return the optimisers' state, and the model state that is carried from batch to batch.

        That is the state of all rows: whoever goes on may be another number of processes.
        """
        carried: dict[str, Tensor] = {}
        if self._state is not None:
            parts = self._world.gathered_tensors(self._model.state_to_tensors(self._state))
            carried = parts[0]
            if len(parts) > 1:
                states = [self._model.state_from_tensors(part) for part in parts]
                carried = self._model.state_to_tensors(State.joined(states))
        return {
            **{f"optimizer/{name}": tensor for name, tensor in self.optimizers.tensors().items()},
            **{f"carried/{name}": tensor for name, tensor in carried.items()},
        }

    def cut_as(self, name: str) -> Tensor | None:
        """Return the parameter whose moments a tensor of the optimisers holds."""
        return self.optimizers.parameter_of(name.removeprefix("optimizer/"))

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Load both again; there is nothing to load before the first step."""
        self.optimizers.load(tensors_below("optimizer/", tensors))
        carried = tensors_below("carried/", tensors)
        if self._state is not None and carried:
            state = self._model.state_from_tensors(carried)
            self._state = state if self._world.size == 1 else state.part(self._rows)


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
