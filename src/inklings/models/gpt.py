"""The decoder that a good engineer would train today.

Rotary positions, RMSNorm, QK-norm, no biases. Fields turn it into its relatives: Qwen3, Llama.

Every layer attends over the last `context_length` tokens of the document, streamed or in parallel,
so text of any length is read at a constant cost per token; what is further back reaches a
prediction through the layers between. Residual branches end in a projection that starts at zero: at
first the network is the identity, and the loss near ln V.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from inklings.layers.attention import (
    KeyValueCache,
    Positions,
    attend,
    cache_tensors,
    caches_of,
    empty_caches,
    place,
)
from inklings.layers.dropout import Dropout
from inklings.layers.norm import rms_norm
from inklings.layers.rotary import Rotary, StandardRotary, rotate
from inklings.layers.squared_relu import squared_relu
from inklings.models.contract import Output, SequenceModel, State, Traits, require
from inklings.models.opening import OpeningConfig, opened

EMBEDDING_STD = 0.02
"""The embedding is normed when it is read, so its size only sets how far a step of the optimiser
turns it.
"""
LOGIT_STD = 0.1
"""Size of the logits at the start: small, so that the loss starts near ln V; not zero, so that the
first gradient passes the head.
"""


@dataclass(frozen=True, kw_only=True)
class GPTConfig(OpeningConfig):
    """Sizes and choices of `GPT`."""

    sizes: ClassVar[tuple[str, ...]] = ("n_embd", "n_layer", "n_head")

    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    feed_forward: Literal["relu2", "swiglu"] = "relu2"
    """Squared ReLU (So et al. 2021), or a gated unit (Shazeer 2020) of the same number of
    parameters.
    """
    n_hidden: int | None = None
    """Width of the feed-forward network. None is 4 * n_embd for squared ReLU, and 8/3 * n_embd for
    SwiGLU, rounded up to a multiple of 8.
    """
    qk_norm: Literal["plain", "gains", "none"] = "plain"
    """Whether queries and keys are normed: without gains, with one for each channel of a head as in
    Qwen3, or not at all, as in Llama.
    """
    norm_embedding: bool = True
    """Whether the embedding is normed when it is read; in most published models it is not."""
    tied_head: bool = False
    """Whether the head reuses the embedding. Branches start at zero, so a tied head starts by
    predicting the token that it has just read; untied learned faster in trials on characters, with
    AdamW and with Muon. Tie where the head would be most of the model.
    """
    rotary_base: float | None = None
    """Pair i of the channels of a head turns by rotary_base^(-2 i / head size) radians a token, as
    in most published models (10000 there): the form that every engine elsewhere knows. None spreads
    the frequencies over the window.
    """
    dropout: float = 0.0
    """Rate at which numbers leaving the embedding and each residual branch are dropped in training.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "n_layer", self.n_layer >= 1, "at least 1")
        require(self, "n_head", self.n_head >= 1, "at least 1")
        require(self, "n_embd", self.n_embd >= 1, "at least 1")
        require(
            self,
            "n_embd",
            self.n_embd % (2 * self.n_head) == 0,
            f"a multiple of 2 * n_head = {2 * self.n_head}",
        )
        require(
            self,
            "rotary_base",
            self.rotary_base is None or 1 < self.rotary_base < math.inf,
            "above 1 and finite, or not given",
        )
        require(self, "n_hidden", self.n_hidden is None or self.n_hidden >= 1, "at least 1")
        require(self, "dropout", 0 <= self.dropout < 1, "at least 0 and below 1")


class Attention(nn.Module):
    """Attention with queries and keys of unit size, if so asked, turned by their positions."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.qk_norm = config.qk_norm
        if config.qk_norm == "gains":
            self.query_gain = nn.Parameter(torch.ones(config.n_embd // config.n_head))
            self.key_gain = nn.Parameter(torch.ones(config.n_embd // config.n_head))
        self.query_key_value = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.project = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        turns: Float[Tensor, "#B T 1 D2 2"],
        piece: Positions,
        cache: KeyValueCache | None,
    ) -> Float[Tensor, "B T C"]:
        """Return what is added to `x`; the keys and values of the piece go into the cache.

        Args:
            x: vectors (B, T, C).
            turns: rotations of the positions (see `Rotary`).
            piece: where the new tokens stand, and what they may look at.
            cache: keys and values of earlier tokens; None in a fresh pass.
        """
        size = x.shape[-1]
        query_key, value = torch.split(self.query_key_value(rms_norm(x)), [2 * size, size], dim=-1)
        # Queries and keys go through the norm and the rotation together, as 2 H heads: half the
        # number of passes.
        query_key = query_key.view(*x.shape[:2], 2 * self.n_head, -1)
        if self.qk_norm != "none":
            query_key = rms_norm(query_key)
        if self.qk_norm == "gains":
            gains = torch.stack((self.query_gain, self.key_gain))
            query_key = query_key * gains.repeat_interleave(self.n_head, dim=0)
        query, key = rotate(query_key, turns).chunk(2, dim=2)
        mixed = attend(query, key, value.view(*x.shape[:2], self.n_head, -1), piece, cache)
        out: Tensor = self.dropout(self.project(mixed))
        return out


class FeedForward(nn.Module):
    """The feed-forward network: RMSNorm, Linear, squared ReLU or SwiGLU, Linear."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.gated = config.feed_forward == "swiglu"
        usual = -(-8 * config.n_embd // 3 // 8) * 8 if self.gated else 4 * config.n_embd
        width = config.n_hidden or usual
        self.widen = nn.Linear(config.n_embd, 2 * width if self.gated else width, bias=False)
        self.project = nn.Linear(width, config.n_embd, bias=False)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        """Compute what is added to `x`."""
        wide = self.widen(rms_norm(x))
        if self.gated:
            gate, up = wide.chunk(2, dim=-1)
            bent = F.silu(gate) * up
        else:
            bent = squared_relu(wide)
        out: Tensor = self.dropout(self.project(bent))
        return out


class Block(nn.Module):
    """One layer: attention, then the feed-forward network, each added to what it read."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.feed_forward = FeedForward(config)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        turns: Float[Tensor, "#B T 1 D2 2"],
        piece: Positions,
        cache: KeyValueCache | None,
    ) -> Float[Tensor, "B T C"]:
        """Map `x` (B, T, C) to the same shape.

        Args:
            x: vectors (B, T, C).
            turns: rotations of the positions (see `Rotary`).
            piece: where the new tokens stand, and what they may look at.
            cache: keys and values of earlier tokens; None in a fresh pass.
        """
        x = x + self.attention(x, turns, piece, cache)
        out: Tensor = x + self.feed_forward(x)
        return out


class GPTStack(nn.Module):
    """The layers without embedding and head: vectors in, vectors out."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        size = config.n_embd // config.n_head
        self.rotary = (
            Rotary(size, config.context_length)
            if config.rotary_base is None
            else StandardRotary(size, config.rotary_base)
        )
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        for name, weight in self.blocks.named_parameters():
            if name.endswith("project.weight"):
                nn.init.zeros_(weight)
            elif weight.ndim == 2:
                nn.init.normal_(weight, std=config.n_embd**-0.5)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        carried: Mapping[str, Tensor] | None,
        starts: Bool[Tensor, "B T"] | None,
    ) -> tuple[Float[Tensor, "B T C"], dict[str, Tensor] | None]:
        """Return hidden vectors of unit size, and what is carried to the next call.

        Args:
            x: vectors (B, T, C).
            carried: what the last call returned; None for a fresh pass.
            starts: (B, T), marks the first tokens of documents.
        """
        config = self.config
        past = None if carried is None else carried["position"]
        piece = place(x.shape[1], config.context_length, past=past, starts=starts, device=x.device)
        caches = None if carried is None else caches_of(carried, config.n_layer)
        turns = self.rotary(piece.positions)
        for layer, block in enumerate(self.blocks):
            x = block(x, turns, piece, None if caches is None else caches[layer])
        if caches is None:
            return rms_norm(x), None
        position = (piece.positions[:, -1] + 1).expand(x.shape[0]).contiguous()
        return rms_norm(x), {"position": position, **cache_tensors(caches)}

    def initial(self, batch_size: int, like: Tensor) -> dict[str, Tensor]:
        """Make the state before the first token, of the device and type of `like`.

        `position` counts the tokens of the document; each layer has a ring of keys and of values.
        """
        config = self.config
        caches = empty_caches(
            config.n_layer,
            batch_size,
            config.context_length,
            config.n_head,
            config.n_embd // config.n_head,
            like=like,
        )
        return {
            "position": torch.zeros(batch_size, dtype=torch.int64, device=like.device),
            **cache_tensors(caches),
        }

    def flops(self, tokens: int) -> int:
        """Count two operations per weight and token forward, four backward.

        Attention counts the whole square of scores of one window.
        """
        config = self.config
        weights = sum(weight.numel() for weight in self.parameters() if weight.ndim == 2)
        return tokens * (6 * weights + 12 * config.n_layer * config.n_embd * config.context_length)

    @property
    def receptive_field(self) -> int:
        """How far the layers look back: each adds `context_length - 1` tokens."""
        return self.config.n_layer * (self.config.context_length - 1) + 1


class GPT(SequenceModel):
    """A decoder-only transformer with rotary positions, as the module describes it."""

    Config = GPTConfig
    traits = Traits(branches=("attention", "feed_forward"))
    config: GPTConfig

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.dropout = Dropout(config.dropout)
        self.stack = GPTStack(config)
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        # A tied head starts by giving the token that it has just read a logit of n_embd times the
        # embedding's size.
        nn.init.normal_(
            self.embedding.weight, std=0.5 / config.n_embd if config.tied_head else EMBEDDING_STD
        )
        nn.init.normal_(self.head.weight, std=LOGIT_STD / config.n_embd**0.5)
        if config.tied_head:
            self.head.weight = self.embedding.weight

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return the logits for the token after each position, streamed from the layers' caches."""
        read = self.embedding(opened(tokens, self.config, state, starts))
        x = self.dropout(rms_norm(read) if self.config.norm_embedding else read)
        hidden, carried = self.stack(x, None if state is None else state.tensors, starts)
        return Output(
            logits=self.head(hidden),
            state=None if carried is None else State(carried),
            hidden=hidden,
        )

    def initial_state(self, batch_size: int) -> State:
        """Return the layers' empty caches."""
        return State(self.stack.initial(batch_size, self.embedding.weight.detach()))

    @property
    def receptive_field(self) -> int:
        """How far the layers look back, all together."""
        return self.stack.receptive_field

    def matrices(self) -> list[nn.Parameter]:
        """Return all matrices of the layers, those of a subclass's own parts included."""
        return [
            weight
            for module in self.stack.modules()
            if not isinstance(module, nn.Embedding)
            for weight in module.parameters(recurse=False)
            if weight.ndim == 2
        ]

    def units(self) -> Sequence[nn.Module]:
        """Return the layers, each of which a pass calls once."""
        return tuple(self.stack.blocks)

    @property
    def token_rows(self) -> tuple[str, ...]:
        """The weights of embedding and head, tied or not."""
        return ("embedding.weight", "head.weight")

    @property
    def input_embedding(self) -> nn.Embedding:
        """The embedding of the tokens."""
        return self.embedding

    def flops(self, tokens: int) -> int:
        """Count the operations of the layers and the head."""
        return self.stack.flops(tokens) + 6 * tokens * self.config.vocab_size * self.config.n_embd
