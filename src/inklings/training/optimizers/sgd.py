"""Gradient descent with momentum; its weight decay is L2."""

from __future__ import annotations

import torch

from inklings.optimizers import OptimizerKind, PeakRate
from inklings.training.optimizers.parameter_groups import ParameterGroups


def make_sgd(groups: ParameterGroups) -> list[torch.optim.SGD]:
    """Make SGD for all parameters; no optimiser where nothing learns."""
    training, parts = groups.training, groups.by_decay(groups.parameters)
    sgd = torch.optim.SGD
    return (
        [sgd(parts, lr=training.learning_rate, momentum=training.momentum, fused=True)]
        if parts
        else []
    )


SGD = OptimizerKind(
    name="sgd",
    about="plain gradient descent, with momentum if it is asked for",
    rates=(PeakRate(setting="learning_rate", whose="SGD", default=0.01),),
    uses=("momentum",),
    state_bytes=4,
    make=make_sgd,
)
