"""minLSTM: an LSTM whose gates read the token alone (Feng et al. 2024).

Try it: `inklings train examples/architectures/minimal_lstm.py:MinimalLSTM`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inklings.layers.norm import rms_norm
from inklings.models.layered import Layer, LayeredModel


class MinLSTM(Layer):
    def __init__(self, n_embd: int) -> None:
        super().__init__()
        self.gates = nn.Linear(n_embd, 3 * n_embd)
        self.project = nn.Linear(n_embd, n_embd, bias=False)

    def initial(self, batch_size: int) -> dict[str, Tensor]:
        return {"h": torch.zeros(batch_size, self.project.in_features)}

    def forward(self, x, carried, starts):  # type: ignore[no-untyped-def]
        forget, take, new = self.gates(rms_norm(x)).chunk(3, dim=-1)
        forget, take = forget.sigmoid(), take.sigmoid()
        keep, add = forget / (forget + take), take / (forget + take) * new
        if starts is not None:
            keep = keep.masked_fill(starts.unsqueeze(-1), 0)
        h, seen = carried["h"], []
        for t in range(x.shape[1]):
            h = keep[:, t] * h + add[:, t]
            seen.append(h)
        return x + self.project(torch.stack(seen, dim=1)), {"h": h}


class MinimalLSTM(LayeredModel):
    def make_layer(self) -> Layer:
        return MinLSTM(self.config.n_embd)
