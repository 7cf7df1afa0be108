"""Inference: using a model without gradients, with everything in evaluation mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import nn

from inklings.models.contract import SequenceModel
from inklings.world import World


@contextlib.contextmanager
def inference(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Turn off gradients, dropout and batch statistics within the block.

    Afterwards each of `modules` is in the mode it was in.

    Give `model.modules()`; whoever enters often keeps the list, for walking through a model takes
    longer than a small step.

    `torch.no_grad` rather than `torch.inference_mode`: what a model caches inside may later take
    part in training.
    """
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def in_step(model: SequenceModel, world: World) -> AbstractContextManager[None]:
    """Let processes read unequally much with a model that they hold together (`World.in_step`).

    Args:
        model: what they read with.
        world: the processes.
    """

    def idle() -> None:
        with inference(model.modules()):
            model(torch.full((1, 1), model.config.boundary_token, device=model.device))

    return world.in_step(model, idle)
