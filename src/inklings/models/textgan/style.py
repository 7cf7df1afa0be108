"""The style of a text: what is mapped from the noise that all its words share.

Shapes are named N (texts), S (places of the style), E (channels).
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Mapping = Literal["linear", "perceptron"]
StyleNoise = Literal["broadcast", "full"]


class StyleMap(nn.Module):
    """The mapping network.

    Of noise that is `broadcast` it maps one number a place, over the places, and broadcasts what
    comes of it over the channels. Of `full` noise it maps the channels of each place.

    The layers as described are linear only, so they are worth one of them (StyleGAN's are not); the
    perceptron's have activations and norms, and where a place is one number, a direction of its own
    for it, so that places can be told apart.
    """

    def __init__(
        self, length: int, n_embd: int, n_mapping: int, kind: Mapping, noise: StyleNoise
    ) -> None:
        super().__init__()
        self.length, self.n_embd, self.full = length, n_embd, noise == "full"
        size = n_embd if self.full else length
        layers: list[nn.Module] = []
        for _ in range(n_mapping):
            layers.append(nn.Linear(size, size))
            if kind == "perceptron":
                layers += [nn.GELU(), nn.LayerNorm(size)]
        self.layers = nn.Sequential(*layers)
        directed = kind == "perceptron" and not self.full
        self.directions = nn.Parameter(torch.randn(length, n_embd)) if directed else None

    def forward(
        self, noise: Float[Tensor, "N S"] | Float[Tensor, "N S E"]
    ) -> Float[Tensor, "N S E"]:
        """Map noise to the style at S places."""
        mapped: Tensor = self.layers(noise)
        if self.full:
            return mapped
        mapped = mapped.unsqueeze(-1)
        if self.directions is not None:
            out: Tensor = mapped * self.directions
            return out
        return mapped.expand(-1, -1, self.n_embd)

    def flops(self) -> int:
        """Count multiplications and additions of the matrices for one text."""
        times = self.length if self.full else 1
        return times * sum(
            2 * layer.weight.numel() for layer in self.layers if isinstance(layer, nn.Linear)
        )
