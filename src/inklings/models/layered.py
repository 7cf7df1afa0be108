"""An embedding, layers that carry a state each, and a head: most of a new recurrent architecture.

What is left to write is the layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from inklings.layers.norm import rms_norm
from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits, require


@dataclass(frozen=True, kw_only=True)
class LayeredConfig(ModelConfig):
    """The sizes that a layered model has at least."""

    sizes = ("n_embd", "n_layer")

    n_layer: int = 2
    """Number of layers."""
    n_embd: int = 64
    """C: numbers that a token is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "n_layer", self.n_layer >= 1, "at least 1")
        require(self, "n_embd", self.n_embd >= 1, "at least 1")


class Layer(nn.Module, ABC):
    """A layer that reads vectors from left to right and carries something across positions."""

    @abstractmethod
    def initial(self, batch_size: int) -> dict[str, Tensor]:
        """Return what is carried before the first token: tensors with the batch first."""

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "B T C"],
        carried: dict[str, Tensor],
        starts: Bool[Tensor, "B T"] | None,
    ) -> tuple[Float[Tensor, "B T C"], dict[str, Tensor]]:
        """Return the vectors for the next layer, and what is carried on.

        Args:
            x: vectors (B, T, C).
            carried: what `initial` or the last call returned; not to be written to.
            starts: (B, T) marks first tokens of documents, where what is carried begins anew.
        """


class LayeredModel(SequenceModel):
    """A generator whose subclasses say what a layer is (`make_layer`)."""

    Config = LayeredConfig
    traits = Traits(carries_state=True)
    config: LayeredConfig

    def __init__(self, config: LayeredConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.layers = nn.ModuleList(self.make_layer() for _ in range(config.n_layer))
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        nn.init.normal_(self.head.weight, std=0.1 / config.n_embd**0.5)

    @abstractmethod
    def make_layer(self) -> Layer:
        """Make a layer with fresh weights; the settings are in `self.config`."""

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return the logits for the token after each position."""
        before = self.initial_state(tokens.shape[0]) if state is None else state
        x, after = self.embedding(tokens), []
        for layer, carried in zip(self.layers, before.layers, strict=True):
            x, carried_on = layer(x, carried, starts)
            after.append(carried_on)
        hidden = rms_norm(x)
        return Output(self.head(hidden), None if state is None else State.layered(after), hidden)

    def initial_state(self, batch_size: int) -> State:
        """Return what each layer carries before the first token."""
        with torch.device(self.device):
            return State.layered([layer.initial(batch_size) for layer in self._layers()])

    @property
    def token_rows(self) -> tuple[str, ...]:
        """The weights of embedding and head."""
        return ("embedding.weight", "head.weight")

    @property
    def input_embedding(self) -> nn.Embedding:
        """The embedding of the tokens."""
        return self.embedding

    def _layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]
