"""GPT-2 as published in 2019: learned positions, LayerNorm, GELU, biases, a tied head.

It is that of Radford et al. There are `context_length` positions and no more. **Past them the last
half window is read again**: when a document has filled its window of W = `context_length` tokens
and goes on, its last H = W // 2 tokens are read afresh as positions 0 to H - 1, with nothing before
them, and the text goes on at position H. The token at position j of a document is thus read in
segment s = 0 where j < W, else 1 + (j - W) // (W - H), whose window begins at position s (W - H) of
the document. A parallel pass over more than W tokens reads each token in the segment that streaming
would.

Where the host would have to wait to know which rows go on past their window, or a compiler traces,
what is to be read again is read as it comes, in **two lanes**: window s of a document is read in
lane s % 2, each token by the last half of one window and the first half of the next.
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
from inklings.models.gpt2.half_windows import lane_columns, segments_of, windows_of


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

        `state` holds each row's tokens and caches since the start of its segment, or two lanes.
        """
        if state is None and tokens.shape[1] <= self.config.context_length:
            return self._stay(tokens, None, starts)
        if _in_lanes(state, tokens):
            return self._read_lanes(tokens, state, starts)
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
        read = None if state is None else (state.tensors["tokens"], state.tensors["position"])
        windows = windows_of(tokens, read, positions, self.config.context_length)
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

    def _read_lanes(
        self, tokens: Int[Tensor, "B T"], state: State | None, starts: Bool[Tensor, "B T"] | None
    ) -> Output:
        """Read each token in both lanes, and take what its own segment says."""
        rows, size = tokens.shape[0], self.config.context_length
        before = tokens.new_zeros(rows) if state is None else state.tensors["position"]
        positions = tokens_before(before, starts, tokens.shape[1])
        columns = lane_columns(positions, size).flatten(0, 1)
        lanes = None
        if state is not None:
            # a lane that has not begun reads what nobody looks at
            read = {"position": columns[:, 0].clamp(min=0)}
            lanes = State(read | {name: lane.flatten(0, 1) for name, lane in _caches(state)})
        # one token needs no mark: its column says how much of its window is read
        begins = columns == 0 if state is None or tokens.shape[1] > 1 else None
        hidden, after = self._read(tokens.repeat_interleave(2, dim=0), lanes, begins)
        own = (segments_of(positions, size) % 2 == 0)[..., None]
        first, second = hidden.unflatten(0, (rows, 2)).unbind(1)
        hidden = torch.where(own, first, second)
        if after is not None:
            count = {"position": positions[:, -1] + 1}
            after = State(
                count | {name: lane.unflatten(0, (-1, 2)) for name, lane in _caches(after)}
            )
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
        # Past the window lie only columns of a lane that is at rest.
        columns = piece.positions.clamp(max=self.config.context_length - 1)
        x = self.dropout(self.embedding(tokens) + self.position_embedding(columns))
        for layer, block in enumerate(self.blocks):
            x = block(x, piece, None if caches is None else caches[layer])
        hidden = self.norm(x)
        if state is None or caches is None:
            return hidden, None
        read = {"position": (piece.positions[:, -1] + 1).expand(batch).contiguous()}
        if "tokens" in state.tensors:
            read["tokens"] = piece.write(state.tensors["tokens"], tokens)
        return hidden, State({**read, **cache_tensors(caches)})

    def _logits(self, hidden: Float[Tensor, "B T C"]) -> Float[Tensor, "B T V"]:
        return F.linear(hidden, self.embedding.weight)

    def initial_state(self, batch_size: int) -> State:
        """Make the state before the first token.

        On a CPU, `tokens` keeps the row's segment, of which `position` are read; each layer has
        their keys and values.
        """
        if self.device.type != "cpu":
            return self.traceable_state(batch_size)
        position = torch.zeros(batch_size, dtype=torch.int64, device=self.device)
        tokens = position.new_zeros((batch_size, self.config.context_length))
        return State({"position": position, "tokens": tokens, **self._empty_caches(batch_size)})

    def traceable_state(self, batch_size: int) -> State:
        """Make the state of two lanes before the first token.

        `position` tokens of the document are read; each layer has keys and values of both lanes.
        """
        position = torch.zeros(batch_size, dtype=torch.int64, device=self.device)
        lanes = self._empty_caches(2 * batch_size).items()
        return State(
            {"position": position} | {name: lane.unflatten(0, (-1, 2)) for name, lane in lanes}
        )

    def _empty_caches(self, rows: int) -> dict[str, Tensor]:
        config = self.config
        head_size = config.n_embd // config.n_head
        like = self.embedding.weight.detach()
        sizes = (rows, config.context_length, config.n_head, head_size)
        return cache_tensors(empty_caches(config.n_layer, *sizes, like=like))

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


def _in_lanes(state: State | None, tokens: Int[Tensor, "B T"]) -> bool:
    """Return whether a pass that may go past a window takes two lanes."""
    if state is not None:
        return "tokens" not in state.tensors
    return not tokens.is_cpu or torch.compiler.is_compiling()


def _caches(state: State) -> list[tuple[str, Tensor]]:
    return [(name, tensor) for name, tensor in state.tensors.items() if name != "position"]


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
