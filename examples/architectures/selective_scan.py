"""A selective state space (Gu and Dao 2023, "Mamba"): decay and input depend on the token.

Try it: `inklings train examples/architectures/selective_scan.py:SelectiveScan`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inklings.layers.norm import rms_norm
from inklings.models.layered import Layer, LayeredConfig, LayeredModel


@dataclass(frozen=True, kw_only=True)
class SelectiveScanConfig(LayeredConfig):
    n_state: int = 8
    """Numbers that each channel keeps."""


class Scan(Layer):
    def __init__(self, n_embd: int, n_state: int) -> None:
        super().__init__()
        self.read = nn.Linear(n_embd, 2 * n_embd, bias=False)
        self.step = nn.Linear(n_embd, n_embd)
        self.write_and_look = nn.Linear(n_embd, 2 * n_state, bias=False)
        self.log_decay = nn.Parameter(torch.arange(1.0, n_state + 1).log().repeat(n_embd, 1))
        self.project = nn.Linear(n_embd, n_embd, bias=False)

    def initial(self, batch_size: int) -> dict[str, Tensor]:
        return {"h": torch.zeros(batch_size, *self.log_decay.shape)}

    def forward(self, x, carried, starts):  # type: ignore[no-untyped-def]
        u, gate = self.read(rms_norm(x)).chunk(2, dim=-1)
        step = F.softplus(self.step(u))
        write, look = self.write_and_look(u).chunk(2, dim=-1)
        decay = torch.exp(-step.unsqueeze(-1) * self.log_decay.exp())  # (B, T, C, N)
        add = (step * u).unsqueeze(-1) * write.unsqueeze(-2)
        if starts is not None:
            decay = decay.masked_fill(starts[..., None, None], 0)
        h, seen = carried["h"], []
        for t in range(x.shape[1]):
            h = decay[:, t] * h + add[:, t]
            seen.append((h * look[:, t].unsqueeze(1)).sum(-1))
        return x + self.project((torch.stack(seen, dim=1) + u) * F.silu(gate)), {"h": h}


class SelectiveScan(LayeredModel):
    Config = SelectiveScanConfig

    def make_layer(self) -> Layer:
        return Scan(self.config.n_embd, self.config.n_state)
