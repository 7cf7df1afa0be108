"""The hierarchical network of makemore, part 5, fusing a few neighbours at every level.

One set of weights has two executions. The window is the lecture's: the tree over the last
`context_length` tokens of every prediction. The convolution shares what neighbouring windows have
in common: level l is a causal convolution with dilation `fuse**l`, and all positions are predicted
in one pass. In evaluation mode the two are equal.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from inklings.errors import ConfigError
from inklings.layers.causal_convolution import causal_taps
from inklings.layers.windows import context_windows, last_tokens, tokens_before
from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits, require


@dataclass(frozen=True, kw_only=True)
class TreeWaveNetConfig(ModelConfig):
    """Sizes of the tree; the defaults are the lecture's largest network."""

    sizes: ClassVar[tuple[str, ...]] = ("n_hidden", "n_embd")

    context_length: int = 8
    """Tokens that a prediction sees: a power of `fuse`."""
    fuse: int = 2
    """How many neighbours become one at every level; `context_length` itself is the flat network of
    the earlier parts.
    """
    n_embd: int = 24
    """Channels of a token's embedding."""
    n_hidden: int = 128
    """Channels of every level."""
    norm: Literal["batch", "layer"] = "batch"
    """`batch` is the lecture's and lets the rows of a training batch influence each other; `layer`
    does not.
    """
    execution: Literal["convolution", "window"] = "convolution"
    """Both compute the same function of the same weights; `window` costs about `context_length /
    levels` times as much.
    """
    batchnorm_bug: bool = False
    """Replays the lecture's mistake: statistics for each place in the window apart. Needs `batch`
    and `window`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_embd", "n_hidden"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "fuse", self.fuse >= 2, "at least 2")
        powers = (
            f"a power of fuse ({self.fuse}), such as {self.fuse}, {self.fuse**2} or {self.fuse**3};"
            " fuse = context_length is flat"
        )
        require(self, "context_length", self.fuse**self.levels == self.context_length, powers)
        may_replay = not self.batchnorm_bug or (self.norm, self.execution) == ("batch", "window")
        require(
            self, "batchnorm_bug", may_replay, "false, unless norm is batch and execution is window"
        )

    @property
    def levels(self) -> int:
        """Levels of the tree: how often `fuse` divides the context."""
        levels, reach = 1, self.fuse
        while reach < self.context_length:
            levels, reach = levels + 1, reach * self.fuse
        return levels

    @property
    def fan_ins(self) -> list[int]:
        """Inputs of each level's linear map."""
        return [self.fuse * width for width in (self.n_embd, *[self.n_hidden] * (self.levels - 1))]

    @property
    def blocks(self) -> list[int]:
        """Into how many blocks each level fuses a window."""
        return [self.context_length // self.fuse ** (level + 1) for level in range(self.levels)]


class BatchNorm(nn.Module):
    """BatchNorm1d over (N, C) or (N, P, C): channels last, statistics over both N and P.

    With `places` > 1 it makes the lecture's mistake: each of that many places P has its own
    statistics, taken over N alone, while weight and bias are shared. Source: Ioffe and Szegedy
    2015; makemore, part 5.
    """

    def __init__(self, channels: int, places: int = 1) -> None:
        super().__init__()
        self.places = places
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(places * channels))
        self.register_buffer("running_var", torch.ones(places * channels))

    def forward(self, inputs: Float[Tensor, "*N C"]) -> Float[Tensor, "*N C"]:
        """Normalise, scale and shift.

        Training updates the running statistics, evaluation uses them.
        """
        flat = inputs.reshape(-1, self.places * inputs.shape[-1])
        if self.training and flat.shape[0] == 1:
            raise ConfigError(
                "batch normalisation cannot train on one window at a time; raise batch_size, or set"
                " norm=layer."
            )
        weight, bias = (
            (self.weight, self.bias)
            if self.places == 1
            else (self.weight.repeat(self.places), self.bias.repeat(self.places))
        )
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return F.batch_norm(flat, mean, variance, weight, bias, self.training).view(inputs.shape)


class Level(nn.Module):
    """One level of the tree: concatenated neighbours become one vector.

    A linear map without bias, normalisation, tanh.
    """

    def __init__(self, fan_in: int, config: TreeWaveNetConfig, places: int) -> None:
        super().__init__()
        self.linear = nn.Linear(fan_in, config.n_hidden, bias=False)
        self.norm = (
            BatchNorm(config.n_hidden, places)
            if config.norm == "batch"
            else nn.LayerNorm(config.n_hidden)
        )
        nn.init.normal_(self.linear.weight, std=fan_in**-0.5)

    def forward(self, inputs: Float[Tensor, "*N F"]) -> Float[Tensor, "*N C"]:
        """Map (..., fuse * channels below) to (..., n_hidden)."""
        return torch.tanh(self.norm(self.linear(inputs)))


class TreeWaveNet(SequenceModel):
    """Embedding, levels that each fuse `fuse` neighbours, linear head.

    The state holds the last `context_length - 1` tokens; the convolution adds how many tokens of
    the document were read (capped there) and, above the embedding, the vectors that later positions
    will look back on. So one more token costs one vector per level. Source: makemore, part 5, after
    van den Oord et al., "WaveNet", 2016.
    """

    Config = TreeWaveNetConfig
    config: TreeWaveNetConfig
    traits = Traits(batch_statistics=True)

    def __init__(self, config: TreeWaveNetConfig) -> None:
        super().__init__(config)
        self.traits = dataclasses.replace(
            type(self).traits, batch_statistics=config.norm == "batch"
        )
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.levels = nn.ModuleList(
            Level(fan_in, config, places=blocks if config.batchnorm_bug else 1)
            for fan_in, blocks in zip(config.fan_ins, config.blocks, strict=True)
        )
        self.head = nn.Linear(config.n_hidden, config.vocab_size)
        # The lecture scales the last layer by 0.1, so that the first predictions are near uniform.
        nn.init.normal_(self.head.weight, std=0.1 * config.n_hidden**-0.5)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return logits (B, T, V); `hidden` is the top of the tree."""
        if self.config.execution == "window":
            hidden, after = self._over_windows(tokens, state, starts)
        else:
            hidden, after = self._convolve(tokens, state, starts)
        return Output(logits=self.head(hidden), state=after, hidden=hidden)

    def _over_windows(
        self, tokens: Int[Tensor, "B T"], state: State | None, starts: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T C"], State | None]:
        """Run the tree over the B * T windows, none sharing anything with another."""
        fuse = self.config.fuse
        past = (self.initial_state(tokens.shape[0]) if state is None else state).tensors["past"]
        windows = context_windows(tokens, past, starts, self.config.boundary_token)
        vectors = self.embedding(windows.flatten(0, 1))
        for level in self.levels:
            vectors = level(vectors.view(vectors.shape[0], vectors.shape[1] // fuse, -1))
        after = None if state is None else State({"past": windows[:, -1, 1:].clone()})
        return vectors.view(*tokens.shape, -1), after

    def _convolve(
        self, tokens: Int[Tensor, "B T"], state: State | None, starts: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T C"], State | None]:
        """Compute all positions in one pass, with cached vectors where no gradient needs the past.

        While training, or under autograd, the vectors are computed anew from the tokens in the
        state: then gradients reach every level of the past, and batch statistics are those of the
        weights as they are.
        """
        length = tokens.shape[1]
        if state is None:
            before = tokens_before(tokens.new_zeros(tokens.shape[0]), starts, length)
            return self._levels(tokens, before, cached=None)[0], None
        past, seen = state.tensors["past"], state.tensors["seen"]
        reach = past.shape[1]
        before = tokens_before(seen, starts, length)
        joined = torch.cat([past, tokens], dim=1)
        if self.training or torch.is_grad_enabled():
            in_past = seen[:, None] + torch.arange(-reach, 0, device=seen.device)
            hidden, kept = self._levels(joined, torch.cat([in_past, before], dim=1), cached=None)
            hidden = hidden[:, reach:]
        else:
            nearest = self.embedding(past[:, reach - self.config.fuse + 1 :])
            hidden, kept = self._levels(
                tokens, before, cached=[nearest, *(state.tensors[name] for name in self._cached())]
            )
        tensors = {"past": joined[:, length:].clone(), "seen": (before[:, -1] + 1).clamp(max=reach)}
        for (name, width), vectors in zip(self._cached().items(), kept[1:], strict=True):
            tensors[name] = vectors[:, vectors.shape[1] - width :].to(
                state.tensors[name].dtype, copy=True
            )
        return hidden, State(tensors)

    def _levels(
        self, tokens: Int[Tensor, "B T"], before: Int[Tensor, "B T"], cached: list[Tensor] | None
    ) -> tuple[Float[Tensor, "B T C"], list[Tensor]]:
        """Run the levels as dilated convolutions; return also what each level read.

        What a level read begins with the `cached` vectors of earlier positions. Where a partner
        would lie before the start of the document (`before` counts what there is), the vector of a
        block of boundaries stands in, as in a padded window. It passes through the same levels as
        one more row. So it does at positions before the document themselves, where `before` is
        negative.
        """
        fuse, length = self.config.fuse, tokens.shape[1]
        vectors = self.embedding(tokens)
        absent = self.embedding.weight[self.config.boundary_token]
        kept = []
        for index, level in enumerate(self.levels):
            if cached is not None:
                vectors = torch.cat([cached[index], vectors], dim=1)
            kept.append(vectors)
            seen = causal_taps(
                vectors, before, length=length, taps=fuse, dilation=fuse**index, absent=absent
            )
            # The absent one passes through the level as one more row.
            fused = level(torch.cat([absent.repeat(fuse)[None], seen.flatten(0, 1)]))
            vectors, absent = fused[1:].view(*tokens.shape, -1), fused[0]
        return vectors, kept

    def _cached(self) -> dict[str, int]:
        """Return the names of the cached vectors in the state, and how far each looks back.

        Every level but the first has them.
        """
        fuse = self.config.fuse
        return {
            f"level_{index}": (fuse - 1) * fuse**index for index in range(1, self.config.levels)
        }

    def initial_state(self, batch_size: int) -> State:
        """Return a past of boundary tokens, and no cached vectors yet."""
        past = torch.full(
            (batch_size, self.config.context_length - 1),
            self.config.boundary_token,
            device=self.device,
        )
        if self.config.execution == "window":
            return State({"past": past})
        weight = self.head.weight
        vectors = {
            name: weight.new_zeros(batch_size, width, self.config.n_hidden)
            for name, width in self._cached().items()
        }
        return State({"past": past, "seen": past.new_zeros(batch_size), **vectors})

    def state_after(self, context: Int[Tensor, "B N"]) -> State:
        """Return the last tokens of the context.

        The convolution's vectors are those of evaluation, so no statistics move.
        """
        if self.config.execution == "window":
            return State(
                {
                    "past": last_tokens(
                        context, self.config.context_length - 1, self.config.boundary_token
                    )
                }
            )
        training = self.training
        self.eval()
        try:
            return super().state_after(context)
        finally:
            self.train(training)

    @property
    def token_rows(self) -> tuple[str, ...]:
        """The weights of embedding and head."""
        return ("embedding.weight", "head.weight", "head.bias")

    def flops(self, tokens: int) -> int:
        """Count the linear maps, once forward and twice backward.

        A window computes all of its blocks for every token.
        """
        config = self.config
        per_token = config.n_hidden * config.vocab_size
        for fan_in, blocks in zip(config.fan_ins, config.blocks, strict=True):
            per_token += (blocks if config.execution == "window" else 1) * fan_in * config.n_hidden
        return 6 * tokens * per_token

    @property
    def lead(self) -> int:
        """The window without the current token."""
        return self.config.context_length - 1

    @property
    def receptive_field(self) -> int:
        """The window that is read."""
        return self.config.context_length
