"""An architecture of your own: stacked gated memories, each updated token by token.

It works as it is; change it and see what becomes of it:

    inklings train my_model.py:MyModel --budget 1-min --run runs/mine
    inklings generate runs/mine
    inklings audit my_model.py:MyModel
    inklings compare my_model.py:MyModel recurrent gpt --budget 1-min --out comparison

Shapes: B rows of the batch, T positions, C channels, V tokens of the vocabulary.
Source: the minGRU of Feng et al. 2024, "Were RNNs All We Needed?" (arXiv:2410.01201).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits, require


@dataclass(frozen=True, kw_only=True)
class MyModelConfig(ModelConfig):
    """What a user may set, as in `my_model.py:MyModel:n_layer=3`.

    `vocab_size` and `context_length` are inherited.
    """

    sizes = ("n_embd", "n_layer")
    """What a comparison may change to bring the model to a size: the width first."""

    n_layer: int = 2
    """How many gated memories are stacked."""
    n_embd: int = 128
    """C: numbers per token, and per memory."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "n_layer", self.n_layer >= 1, "at least 1")
        require(self, "n_embd", self.n_embd >= 1, "at least 1")


class GatedMemory(nn.Module):
    """At each token a gate says how much of the memory is replaced, and by what.

    The result is added to the input.
    """

    def __init__(self, n_embd: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(n_embd)
        self.gate = nn.Linear(n_embd, n_embd)
        self.value = nn.Linear(n_embd, n_embd)
        self.out = nn.Linear(n_embd, n_embd)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        memory: Float[Tensor, "B C"],
        starts: Bool[Tensor, "B T"] | None,
    ) -> tuple[Float[Tensor, "B T C"], Float[Tensor, "B C"]]:
        """The output for every position, and the memory after the last one."""
        normed = self.norm(x)
        gate, value = torch.sigmoid(self.gate(normed)), self.value(normed)
        memories = []
        for t in range(x.shape[1]):
            if starts is not None:  # a document that begins here must not see the one before
                memory = memory.masked_fill(starts[:, t, None], 0.0)
            memory = memory + gate[:, t] * (
                value[:, t] - memory
            )  # a new tensor: the given state is not written to
            memories.append(memory)
        return x + self.out(nn.functional.silu(torch.stack(memories, dim=1))), memory


class MyModel(SequenceModel):
    """Embedding -> gated memories -> norm -> one logit for each token of the vocabulary."""

    Config = MyModelConfig
    # Declare what it can do. This one learns by gradient on the likelihood, and in training, too,
    # reads on from where the last batch ended. Other traits: see `Traits` in
    # inklings.models.contract.
    traits = Traits(objective="likelihood", carries_state=True)

    def __init__(self, config: MyModelConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.layers = nn.ModuleList(GatedMemory(config.n_embd) for _ in range(config.n_layer))
        self.norm = nn.RMSNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        nn.init.normal_(
            self.head.weight, std=0.02
        )  # small, so that it begins near the uniform guess, a loss of ln V

    def initial_state(self, batch_size: int) -> State:
        """Empty memories. A state is named tensors with the batch first; here (B, n_layer, C)."""
        return State(
            {
                "memory": torch.zeros(
                    batch_size, len(self.layers), self.norm.weight.shape[0], device=self.device
                )
            }
        )

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Logits for the token after each position.

        Given a state, read on from it: that is all that streaming is.
        """
        memory = (state or self.initial_state(tokens.shape[0])).tensors["memory"]
        x, memories = self.embedding(tokens), []
        for index, layer in enumerate(self.layers):
            x, last = layer(x, memory[:, index], starts)
            memories.append(last)
        hidden = self.norm(x)
        new_state = None if state is None else State({"memory": torch.stack(memories, dim=1)})
        return Output(logits=self.head(hidden), state=new_state, hidden=hidden)

    @property
    def token_rows(self) -> tuple[str, ...]:
        """The weights with a row for each token: they grow where a run's vocabulary is extended."""
        return ("embedding.weight", "head.weight")

    def flops(self, tokens: int) -> int:
        """A multiply and an add for each weight of a matrix: once forward, twice backward.

        The embedding is a look-up.
        """
        weights = self.head.weight.numel() + sum(matrix.numel() for matrix in self.matrices())
        return 6 * weights * tokens
