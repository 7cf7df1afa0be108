"""Linear attention with decay (Sun et al. 2023, "Retentive Network"): a matrix for each head.

Try it: `inklings train examples/architectures/linear_attention.py:LinearAttention`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inklings.layers.norm import rms_norm
from inklings.models.contract import require
from inklings.models.layered import Layer, LayeredConfig, LayeredModel


@dataclass(frozen=True, kw_only=True)
class LinearAttentionConfig(LayeredConfig):
    n_head: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "n_head", self.n_embd % self.n_head == 0, "a divisor of n_embd")


class Retention(Layer):
    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.query_key_value = nn.Linear(n_embd, 3 * n_embd, bias=False)
        self.project = nn.Linear(n_embd, n_embd, bias=False)
        self.register_buffer("decay", 1 - torch.exp2(-2.0 - torch.arange(n_head)))

    def initial(self, batch_size: int) -> dict[str, Tensor]:
        size = self.project.in_features // self.n_head
        return {"s": torch.zeros(batch_size, self.n_head, size, size)}

    def forward(self, x, carried, starts):  # type: ignore[no-untyped-def]
        q, k, v = (
            part.unflatten(-1, (self.n_head, -1))
            for part in self.query_key_value(rms_norm(x)).chunk(3, dim=-1)
        )
        k = k * k.shape[-1] ** -0.5
        keep = self.decay.expand(*x.shape[:2], -1)
        if starts is not None:
            keep = keep.masked_fill(starts.unsqueeze(-1), 0)
        s, seen = carried["s"], []
        for t in range(x.shape[1]):
            s = keep[:, t, :, None, None] * s + k[:, t].unsqueeze(-1) * v[:, t].unsqueeze(-2)
            seen.append((q[:, t].unsqueeze(-2) @ s).squeeze(-2))
        return x + self.project(rms_norm(torch.stack(seen, dim=1)).flatten(2)), {"s": s}


class LinearAttention(LayeredModel):
    Config = LinearAttentionConfig

    def make_layer(self) -> Layer:
        return Retention(self.config.n_embd, self.config.n_head)
