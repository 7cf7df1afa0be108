"""GPT-2 as published in 2019: learned positions, LayerNorm, GELU, biases, a tied head.

It is that of Radford et al. There are `context_length` positions and no more. **Past them the last
half window is read again**: when a document has filled its window of W = `context_length` tokens
and goes on, its last H = W // 2 tokens are read afresh as positions 0 to H - 1, with nothing before
them, and the text goes on at position H. The token at position j of a document is thus read in
segment s = 0 where j < W, else 1 + (j - W) // (W - H), whose window begins at position s (W - H) of
the document. A parallel pass over more than W tokens reads each token in the segment that streaming
would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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
from inklings.layers.windows import tokens_before
from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits, require


@dataclass(frozen=True, kw_only=True)
class GPT2Config(ModelConfig):
    """Sizes of `GPT2`.

    12 layers, 12 heads, 768 wide and a context of 1024 make the smallest published one.
    """

    sizes: ClassVar[tuple[str, ...]] = ("n_embd", "n_layer", "n_head")

    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    dropout: float = 0.0
    """Rate at which numbers leaving the embeddings, the attention weights and each residual branch
    are dropped in training.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "n_layer", self.n_layer >= 1, "at least 1")
        require(self, "n_head", self.n_head >= 1, "at least 1")
        require(self, "n_embd", self.n_embd >= 1, "at least 1")
        require(
            self, "n_embd", self.n_embd % self.n_head == 0, f"a multiple of n_head = {self.n_head}"
        )
        require(self, "dropout", 0 <= self.dropout < 1, "at least 0 and below 1")


class Attention(nn.Module):
    """Causal attention of several heads, with its LayerNorm in front."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.norm = nn.LayerNorm(config.n_embd)
        self.query_key_value = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.project = nn.Linear(config.n_embd, config.n_embd)
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "B T C"], piece: Positions, cache: KeyValueCache | None
    ) -> Float[Tensor, "B T C"]:
        """Return what is added to `x`; the keys and values of the piece go into the cache.

        Args:
            x: vectors (B, T, C).
            piece: where the new tokens stand, and what they may look at.
            cache: keys and values of earlier tokens; None in a fresh pass.
        """
        query, key, value = (
            self.query_key_value(self.norm(x)).view(*x.shape[:2], 3, self.n_head, -1).unbind(2)
        )
        rate = self.dropout.rate if self.training else 0.0
        mixed = attend(query, key, value, piece, cache, dropout_rate=rate)
        out: Tensor = self.dropout(self.project(mixed))
        return out


class FeedForward(nn.Module):
    """LayerNorm, then two linear layers with GELU (tanh form) between.

    The hidden width is four times the channels; each position is computed by itself.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.n_embd)
        self.widen = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.project = nn.Linear(4 * config.n_embd, config.n_embd)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        """Compute what is added to `x`."""
        out: Tensor = self.dropout(
            self.project(F.gelu(self.widen(self.norm(x)), approximate="tanh"))
        )
        return out


class Block(nn.Module):
    """One layer: attention, then the feed-forward network, each added to what it read."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.feed_forward = FeedForward(config)

    def forward(
        self, x: Float[Tensor, "B T C"], piece: Positions, cache: KeyValueCache | None
    ) -> Float[Tensor, "B T C"]:
        """Map `x` (B, T, C) to the same shape.

        Args:
            x: vectors (B, T, C).
            piece: where the new tokens stand, and what they may look at.
            cache: keys and values of earlier tokens; None in a fresh pass.
        """
        x = x + self.attention(x, piece, cache)
        out: Tensor = x + self.feed_forward(x)
        return out


class GPT2(SequenceModel):
    """GPT-2 with its learned positions, as the module describes it."""

    Config = GPT2Config
    traits = Traits(branches=("attention", "feed_forward"), rereads=True)
    config: GPT2Config

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(config.context_length, config.n_embd)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd)
        self._initialise()

    def _initialise(self) -> None:
        # Sizes of the published code; the paper scales what goes into the residual stream by the
        # number of its branches.
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding.weight, std=0.01)
        for name, module in self.blocks.named_modules():
            if isinstance(module, nn.Linear):
                residual = name.endswith("project")
                nn.init.normal_(
                    module.weight, std=0.02 / (2 * self.config.n_layer) ** 0.5 if residual else 0.02
                )
                nn.init.zeros_(module.bias)

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return the logits for the token after each position.

        `state` holds each row's tokens and caches since the start of its segment.
        """
        if state is None and tokens.shape[1] <= self.config.context_length:
            return self._stay(tokens, None, starts)
        before = tokens.new_zeros(tokens.shape[0]) if state is None else state.tensors["position"]
        positions = tokens_before(before, starts, tokens.shape[1])
        leaving = (positions >= self.config.context_length).any(dim=1)
        if not leaving.any():
            return self._stay(tokens, state, starts)
        if state is None or leaving.all():
            return self._leave(tokens, state, positions)
        staying, left = (~leaving).nonzero()[:, 0], leaving.nonzero()[:, 0]
        first = self._stay(
            tokens[staying], state.select(staying), None if starts is None else starts[staying]
        )
        second = self._leave(tokens[left], state.select(left), positions[left])
        return _in_order([first, second], torch.cat((staying, left)).argsort())

    def _stay(
        self, tokens: Int[Tensor, "B T"], state: State | None, starts: Bool[Tensor, "B T"] | None
    ) -> Output:
        """Read tokens that all fit into the window that their row is in."""
        hidden, after = self._read(tokens, state, starts)
        return Output(logits=self._logits(hidden), state=after, hidden=hidden)

    def _leave(
        self, tokens: Int[Tensor, "B T"], state: State | None, positions: Int[Tensor, "B T"]
    ) -> Output:
        """Read tokens of which some lie past the window that their row is in.

        Every segment is a window read afresh.
        """
        windows = _windows(tokens, state, positions, self.config.context_length)
        closed = windows.tokens[~windows.last]
        hidden, after = self._read(
            windows.tokens[windows.last],
            None if state is None else self.initial_state(tokens.shape[0]),
        )
        if len(closed):
            hidden = torch.cat((self._read(closed)[0], hidden))
        order = torch.cat(((~windows.last).nonzero()[:, 0], windows.last.nonzero()[:, 0])).argsort()
        hidden = hidden[order[windows.window], windows.column]
        if (
            after is not None
            # a window is filled up to the longest; what lies beyond its length is not of the state
        ):
            after = State({**after.tensors, "position": windows.length[windows.last]})
        return Output(logits=self._logits(hidden), state=after, hidden=hidden)

    def _read(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B T C"], State | None]:
        """Run the network without its head on tokens within their windows."""
        batch, length = tokens.shape
        past = None if state is None else state.tensors["position"]
        piece = place(
            length, self.config.context_length, past=past, starts=starts, device=tokens.device
        )
        caches = None if state is None else caches_of(state.tensors, self.config.n_layer)
        x = self.dropout(self.embedding(tokens) + self.position_embedding(piece.positions))
        for layer, block in enumerate(self.blocks):
            x = block(x, piece, None if caches is None else caches[layer])
        hidden = self.norm(x)
        if state is None or caches is None:
            return hidden, None
        position = (piece.positions[:, -1] + 1).expand(batch).contiguous()
        read = piece.write(state.tensors["tokens"], tokens)
        return hidden, State({"position": position, "tokens": read, **cache_tensors(caches)})

    def _logits(self, hidden: Float[Tensor, "B T C"]) -> Float[Tensor, "B T V"]:
        return F.linear(hidden, self.embedding.weight)

    def initial_state(self, batch_size: int) -> State:
        """Make the state before the first token.

        `tokens` keeps the row's segment, of which `position` are read; each layer has their keys
        and values.
        """
        config, like = self.config, self.embedding.weight.detach()
        caches = empty_caches(
            config.n_layer,
            batch_size,
            config.context_length,
            config.n_head,
            config.n_embd // config.n_head,
            like=like,
        )
        position = torch.zeros(batch_size, dtype=torch.int64, device=like.device)
        tokens = position.new_zeros((batch_size, config.context_length))
        return State({"position": position, "tokens": tokens, **cache_tensors(caches)})

    @property
    def receptive_field(self) -> int:
        """The window; a token early in its segment sees little more than half of it."""
        return self.config.context_length

    def matrices(self) -> list[nn.Parameter]:
        """Return the weights of the blocks' linear maps."""
        return [parameter for parameter in self.blocks.parameters() if parameter.ndim == 2]

    @property
    def token_rows(self) -> tuple[str, ...]:
        """The embedding, which is the head too."""
        return ("embedding.weight",)

    @property
    def input_embedding(self) -> nn.Embedding:
        """The embedding of the tokens."""
        return self.embedding

    def flops(self, tokens: int) -> int:
        """Count two operations per weight and token forward, four backward.

        Attention counts the whole square of scores of one window.
        """
        config = self.config
        weights = (
            sum(matrix.numel() for matrix in self.matrices()) + config.vocab_size * config.n_embd
        )
        return tokens * (6 * weights + 12 * config.n_layer * config.n_embd * config.context_length)


@dataclass(frozen=True)
class _Windows:
    """The segments of the new tokens of all rows, each with what it reads again in front."""

    tokens: Int[Tensor, "N L"]
    """One window a line, filled up behind its `length`; rows one after the other."""
    length: Int[Tensor, " N"]
    last: Bool[Tensor, " N"]
    """Whether the window is the one that its row is left in."""
    window: Int[Tensor, "B T"]
    """The line of each new token."""
    column: Int[Tensor, "B T"]
    """The place of each position in that line."""


def _windows(
    tokens: Int[Tensor, "B T"], state: State | None, positions: Int[Tensor, "B T"], size: int
) -> _Windows:
    """Sort new tokens into the segments that the module's docstring defines.

    `positions` count from the row's segment.
    """
    batch, length = tokens.shape
    stride = size - size // 2
    segment = (1 + (positions - size).div(stride, rounding_mode="floor")).clamp(min=0)
    column = positions - segment * stride
    opens = (positions == 0) | (segment != segment.roll(1, dims=1))
    opens[:, 0] = True
    row, first = opens.nonzero(as_tuple=True)
    flat = row * length + first
    new = torch.diff(flat, append=flat.new_tensor([batch * length]))
    lengths = column[row, first] + new
    # A window's tokens are consecutive in [the row's cached tokens, its new tokens], the former
    # counted from their end.
    times = (first - column[row, first])[:, None] + torch.arange(
        int(lengths.max()), device=tokens.device
    )
    sources = times.clamp(max=length - 1)
    text = tokens
    if state is not None:
        text = torch.cat((state.tensors["tokens"], tokens), dim=1)
        sources = torch.where(
            times < 0, state.tensors["position"][row, None] + times, size + sources
        )
    return _Windows(
        tokens=text[row[:, None], sources],
        length=lengths,
        last=(flat + new) % length == 0,
        window=opens.flatten().cumsum(0).view(batch, length) - 1,
        column=column,
    )


def _in_order(outputs: list[Output], order: Int[Tensor, " B"]) -> Output:
    """Put the rows of several outputs together, in the given order."""
    states = [output.state.tensors for output in outputs if output.state is not None]
    return Output(
        logits=torch.cat([output.logits for output in outputs])[order],
        state=State(
            {name: torch.cat([tensors[name] for tensors in states])[order] for name in states[0]}
        ),
        hidden=torch.cat([output.hidden for output in outputs])[order],
    )
