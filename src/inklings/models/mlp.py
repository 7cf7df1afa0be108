"""The neural language model of Bengio et al., as in the second and third part of makemore.

The embeddings of the last `context_length` tokens are concatenated and pass through one tanh layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from inklings.layers.windows import context_windows, last_tokens
from inklings.models.contract import ModelConfig, Output, SequenceModel, State, require


@dataclass(frozen=True, kw_only=True)
class MLPConfig(ModelConfig):
    """Sizes of the `mlp`."""

    sizes: ClassVar[tuple[str, ...]] = ("n_hidden", "n_embd")

    context_length: int = 8
    """How many tokens are concatenated; what lies before a document is the boundary token."""
    n_embd: int = 24
    """Channels of a token's embedding."""
    n_hidden: int = 256
    """Units of the hidden layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "n_embd", self.n_embd >= 1, "at least 1")
        require(self, "n_hidden", self.n_hidden >= 1, "at least 1")


class MLP(SequenceModel):
    """Embeddings of a window of tokens, concatenated; one tanh layer; a linear head.

    The state is the window's past: the last `context_length - 1` tokens. Source: Bengio, Ducharme,
    Vincent and Jauvin, "A Neural Probabilistic Language Model", 2003 (without its direct
    connections).
    """

    Config = MLPConfig
    config: MLPConfig

    def __init__(self, config: MLPConfig) -> None:
        super().__init__(config)
        fan_in = config.context_length * config.n_embd
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.layer = nn.Linear(fan_in, config.n_hidden)
        self.head = nn.Linear(config.n_hidden, config.vocab_size)
        nn.init.normal_(self.layer.weight, std=fan_in**-0.5)
        nn.init.zeros_(self.layer.bias)
        # Small, so that the first predictions are near uniform and no step is spent on unlearning
        # confident mistakes.
        nn.init.normal_(self.head.weight, std=0.1 * config.n_hidden**-0.5)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return logits (B, T, V) from windows (B, T, context_length).

        `hidden` is the tanh layer.
        """
        past = (self.initial_state(tokens.shape[0]) if state is None else state).tensors["past"]
        windows = context_windows(tokens, past, starts, self.config.boundary_token)
        hidden = torch.tanh(self.layer(self.embedding(windows).flatten(2)))
        new_state = None if state is None else State({"past": windows[:, -1, 1:].clone()})
        return Output(logits=self.head(hidden), state=new_state, hidden=hidden)

    def initial_state(self, batch_size: int) -> State:
        """Return a past of boundary tokens."""
        shape = (batch_size, self.config.context_length - 1)
        return State({"past": torch.full(shape, self.config.boundary_token, device=self.device)})

    def state_after(self, context: Int[Tensor, "B N"]) -> State:
        """Return the last tokens of the context: nothing has to be computed."""
        return State(
            {
                "past": last_tokens(
                    context, self.config.context_length - 1, self.config.boundary_token
                )
            }
        )

    @property
    def token_rows(self) -> tuple[str, ...]:
        """The weights of embedding and head."""
        return ("embedding.weight", "head.weight", "head.bias")

    def flops(self, tokens: int) -> int:
        """Count two matrix products per token, each computed once forward and twice backward."""
        config = self.config
        return (
            6
            * tokens
            * config.n_hidden
            * (config.context_length * config.n_embd + config.vocab_size)
        )

    @property
    def lead(self) -> int:
        """The window without the current token."""
        return self.config.context_length - 1

    @property
    def receptive_field(self) -> int:
        """The window that is read."""
        return self.config.context_length
