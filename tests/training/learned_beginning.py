"""A model whose state begins with a weight, as a user may write one."""

from __future__ import annotations

import torch
from torch import nn

from inklings.cli.templates.architecture import GatedMemory, MyModel, MyModelConfig
from inklings.models.contract import State


class LearnedBeginning(MyModel):
    """Its memories begin with what it has learned; its layers are units."""

    def __init__(self, config: MyModelConfig) -> None:
        super().__init__(config)
        self.begin = nn.Parameter(torch.ones(config.n_layer, config.n_embd))

    def initial_state(self, batch_size: int) -> State:
        return State({"memory": self.begin.expand(batch_size, -1, -1)})

    def units(self) -> tuple[nn.Module, ...]:
        return tuple(layer for layer in self.layers if isinstance(layer, GatedMemory))
