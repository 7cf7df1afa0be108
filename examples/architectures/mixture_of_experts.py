"""A mixture of experts in place of GPT's feed-forward network: a subclass that changes one part.

Tokens go to their best experts; a bias for each expert, which training moves against its load,
keeps the load even without a loss for it (Wang et al. 2024).

Try it: `inklings train examples/architectures/mixture_of_experts.py:MixtureOfExperts`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inklings.layers.norm import rms_norm
from inklings.layers.squared_relu import squared_relu
from inklings.models.contract import require
from inklings.models.gpt import GPT, GPTConfig


@dataclass(frozen=True, kw_only=True)
class MixtureOfExpertsConfig(GPTConfig):
    n_expert: int = 4
    n_active: int = 2
    """Experts that each token goes to."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "n_active", 1 <= self.n_active <= self.n_expert, "from 1 to n_expert")


class Experts(nn.Module):
    def __init__(self, config: MixtureOfExpertsConfig) -> None:
        super().__init__()
        size, self.n_active = config.n_embd, config.n_active
        self.router = nn.Linear(size, config.n_expert, bias=False)
        self.widen = nn.ModuleList(nn.Linear(size, 2 * size) for _ in range(config.n_expert))
        self.project = nn.ModuleList(nn.Linear(2 * size, size) for _ in range(config.n_expert))
        self.register_buffer("bias", torch.zeros(config.n_expert))

    def forward(self, x: Tensor) -> Tensor:
        x = rms_norm(x)
        shares = self.router(x).sigmoid()
        chosen = (shares + self.bias).topk(self.n_active, dim=-1).indices
        weight = torch.zeros_like(shares).scatter(-1, chosen, shares.gather(-1, chosen))
        if self.training:
            load = (weight.detach() > 0).float().mean((0, 1))
            self.bias = self.bias - 1e-3 * (load - load.mean()).sign()
        out = torch.zeros_like(x)
        for widen, project, share in zip(self.widen, self.project, weight.unbind(-1), strict=True):
            out = out + share.unsqueeze(-1) * project(squared_relu(widen(x)))
        return out


class MixtureOfExperts(GPT):
    Config = MixtureOfExpertsConfig

    def __init__(self, config: MixtureOfExpertsConfig) -> None:
        super().__init__(config)
        for block in self.stack.blocks:
            block.feed_forward = Experts(config)
