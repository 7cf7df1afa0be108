"""AdamW: a step by the first and second moment, decay apart from it (Loshchilov & Hutter 2019)."""

from __future__ import annotations

import torch
from torch import nn

from inklings.optimizers import OptimizerKind, PeakRate
from inklings.training.optimizers.parameter_groups import ParameterGroups

RATE = PeakRate(setting="learning_rate", whose="AdamW", default=0.01)


def make_adamw(groups: ParameterGroups, parameters: list[nn.Parameter]) -> list[torch.optim.AdamW]:
    """Make AdamW for some of the parameters; no optimiser where there are none."""
    training, parts = groups.training, groups.by_decay(parameters)
    adamw = torch.optim.AdamW
    return (
        [adamw(parts, lr=training.learning_rate, betas=training.betas, weight_decay=0, fused=True)]
        if parts
        else []
    )


ADAMW = OptimizerKind(
    name="adamw",
    about="AdamW for all weights",
    rates=(RATE,),
    uses=("betas",),
    state_bytes=8,
    make=lambda groups: make_adamw(groups, groups.parameters),
)
