"""Long convolutions (Poli et al. 2023, "Hyena"): a learned filter over the whole context, by FFT.

A Fourier transform cannot begin anew inside a row: `by_document` gives each document its own.

Try it: `inklings train examples/architectures/long_convolution.py:LongConvolution`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inklings.layers.by_document import by_document, in_last_document
from inklings.layers.norm import rms_norm
from inklings.models.contract import Traits
from inklings.models.layered import Layer, LayeredModel


class Convolution(Layer):
    def __init__(self, n_embd: int, reach: int) -> None:
        super().__init__()
        self.read = nn.Linear(n_embd, 2 * n_embd, bias=False)
        decay = torch.exp(-torch.arange(reach) / (0.2 * reach)).unsqueeze(-1)
        self.filter = nn.Parameter(torch.randn(reach, n_embd) * decay * reach**-0.5)
        self.project = nn.Linear(n_embd, n_embd, bias=False)

    def initial(self, batch_size: int) -> dict[str, Tensor]:
        return {"past": torch.zeros(batch_size, len(self.filter) - 1, self.filter.shape[1])}

    def convolve(self, x: Tensor) -> Tensor:
        size = x.shape[1] + len(self.filter)
        spectrum = torch.fft.rfft(x, size, dim=1) * torch.fft.rfft(self.filter, size, dim=0)
        return torch.fft.irfft(spectrum, size, dim=1)[:, : x.shape[1]]

    def forward(self, x, carried, starts):  # type: ignore[no-untyped-def]
        u, gate = self.read(rms_norm(x)).chunk(2, dim=-1)
        past, length = carried["past"], x.shape[1]
        row = torch.cat((past, u), dim=1)
        if starts is not None:
            starts = torch.cat((starts.new_zeros(past.shape[:2]), starts), dim=1)
        mixed = by_document(self.convolve, row, starts)[:, -length:]
        if starts is not None:
            row = row * in_last_document(starts).unsqueeze(-1)
        return x + self.project(mixed * gate), {"past": row[:, row.shape[1] - past.shape[1] :]}


class LongConvolution(LayeredModel):
    traits = Traits()

    def make_layer(self) -> Layer:
        return Convolution(self.config.n_embd, self.config.context_length)

    @property
    def receptive_field(self) -> int:
        return self.config.n_layer * (self.config.context_length - 1) + 1
