"""The plan of a run on accelerators that are not here: what a step takes, and what feeds it.

Everything is computed from the model and the data sheet. `docs/explanation/scale.md` has the
formulas, and what they were checked against.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from inklings.device import Precision, Runtime
from inklings.models.objectives import objective_of, predictor, predicts_tokens
from inklings.training.agreeing import check_shares
from inklings.training.find_batch_size import activation_bytes
from inklings.training.objectives.base import objective_type
from inklings.training.optimizers.muon import Muon
from inklings.training.optimizers.optimizers import Optimizers
from inklings.training.planning.accelerators import Machine
from inklings.training.planning.holdings import Holding, StepBytes, holding_of
from inklings.training.setup import Setup
from inklings.world import World

SHARE_OF_PEAK = 0.3
"""Share of the peak that a plan counts with. A third is common in training large models; small
ones, whose products are small, reach less.
"""
DISK = 1e9
"""Bytes a second that a checkpoint is written with: a plan's assumption."""
TO_DEVICE = 8 + 8 + 4
"""Bytes of a target on its way to the card: a token, its target and its weight."""


@dataclass(frozen=True, kw_only=True)
class MachinePlan:
    """What a step, a checkpoint and the data path take; bytes, seconds and FLOP/s."""

    machine: str
    computed: bool = True
    """Nothing of it was measured."""
    missing: tuple[str, ...] = ()
    """What could not be computed, and why."""
    precision: Precision = "float32"
    peak: float = 0.0
    """FLOP/s of all cards, in that precision."""
    share_of_peak: float = SHARE_OF_PEAK
    flops_per_step: int = 0
    """FLOPs of the whole batch, which all cards share."""
    bytes_per_step: int | None = None
    """That each card moves to and from its memory, at least."""
    step_seconds: float = 0.0
    """At that share of the peak, or as fast as memory allows; nothing sent."""
    tokens_per_second: float = 0.0
    read_per_second: float = 0.0
    """Bytes of tokens that each process reads from the store: those of the whole batch."""
    fed_per_second: float = 0.0
    """Bytes that go to each card."""
    shares: tuple[Holding, ...] = ()
    """Of one process, by each strategy."""
    checkpoint_bytes: int | None = None
    checkpoint_seconds: float | None = None
    """At a gigabyte a second."""


def plan_machine(setup: Setup, machine: Machine) -> MachinePlan:
    """Compute what a settled run would take.

    Args:
        setup: the run, as it would begin here.
        machine: what it would run on, a process for each card.

    Raises:
        WorldError: the processes cannot share its batch evenly.
        ConfigError: the accelerator cannot compute in the precision that was asked for.
    """
    if objective_of(setup.model).one_pass:
        reason = f"{type(setup.model).__name__} counts the text once, on the CPU: no card has work"
        return MachinePlan(machine=str(machine), missing=(reason,))
    card, count = machine.accelerator, machine.count
    precision = _precision(setup, machine)
    sizes = _sizes(setup, count, precision)
    flops = setup.model.flops(setup.record.tokens_per_step)
    moved = None if sizes is None else _moved(sizes)
    seconds = flops / count / (SHARE_OF_PEAK * card.peak(precision))
    seconds = max(seconds, (moved or 0) / (card.bandwidth * 1e9))
    rate = setup.record.tokens_per_step / seconds
    missing: tuple[str, ...] = ()
    if sizes is None:
        missing = (
            "memory, bytes and what is sent: two models learn from each other, and only for models"
            " that predict tokens is it known what a step keeps",
        )
    stored = None if sizes is None else sizes.weights + sizes.optimizer
    return MachinePlan(
        machine=str(machine),
        missing=missing,
        precision=precision,
        peak=count * card.peak(precision),
        flops_per_step=flops,
        bytes_per_step=moved,
        step_seconds=seconds,
        tokens_per_second=rate,
        read_per_second=rate * setup.store.split("train").tokens.itemsize,
        fed_per_second=rate / count * TO_DEVICE,
        shares=() if sizes is None else tuple(_shares(setup, machine, sizes)),
        checkpoint_bytes=stored,
        checkpoint_seconds=None if stored is None else stored / DISK,
    )


def _precision(setup: Setup, machine: Machine) -> Precision:
    """Return what was asked for, else bfloat16 where the card has it."""
    asked = setup.record.given.training.precision
    if not predicts_tokens(setup.model):
        return "float32"
    if asked != "auto":
        return asked
    return "float32" if machine.accelerator.bfloat16 is None else "bfloat16"


def _sizes(setup: Setup, processes: int, precision: Precision) -> StepBytes | None:
    """Return the bytes of the real model and its real optimiser; None for two models at once."""
    check_shares(World(size=processes), setup.model, setup.record.config.training)
    if not predicts_tokens(setup.model):
        return None
    model, training = predictor(setup.model, "a plan"), setup.record.config.training
    trial = copy.deepcopy(model).cpu()
    optimizers = Optimizers(trial, training)
    matrices = sum(
        tensor.nbytes
        for optimizer in optimizers.single
        if isinstance(optimizer, Muon)
        for group in optimizer.param_groups
        for tensor in group["params"]
    )
    for parameter in trial.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizers.step(0.0)
    fixed, per_row = activation_bytes(
        trial, setup.store, setup.record.config, Runtime(precision=precision)
    )
    rows = training.batch_size // processes // training.accumulate
    units = [sum(parameter.nbytes for parameter in unit.parameters()) for unit in trial.units()]
    return StepBytes(
        weights=sum(parameter.nbytes for parameter in trial.parameters()),
        units=sum(units),
        largest_unit=max(units, default=0),
        optimizer=sum(tensor.nbytes for tensor in optimizers.tensors().values()),
        matrices=matrices,
        parts=training.accumulate,
        activations=round(fixed + per_row * rows),
    )


def _moved(sizes: StepBytes) -> int:
    """Return the bytes that a step moves at least: all that is kept is written and read once.

    Weights are read forward and backward for each piece, gradients added to; then the optimiser
    reads gradients, and reads and writes its state and the weights.
    """
    pieces = sizes.parts * (4 * sizes.weights + 2 * sizes.activations)
    return pieces + 3 * sizes.weights + 2 * sizes.optimizer


def _shares(setup: Setup, machine: Machine, sizes: StepBytes) -> list[Holding]:
    shares = []
    for sharded in (False, True):
        world = World(size=machine.count, sharded=sharded)
        reason = objective_type(setup.model).not_shared(
            setup.model, setup.record.config.training, world
        )
        card = machine.accelerator
        shares.append(
            Holding(strategy="fsdp" if sharded else "ddp", refused=reason)
            if reason
            else holding_of(
                sizes,
                machine.count,
                sharded=sharded,
                memory=card.memory * 1e9,
                interconnect=card.interconnect * 1e9,
            )
        )
    return shares
