"""A GPT and a WaveNet side by side over one embedding, mixed by a gate that is learned.

Where a position may take the WaveNet's view from is the `fusion`, and all that the four differ in:

- `causal`: from the position itself;
- `previous_segment`: from the end of the segment of `context_length` tokens before its own, carried
  from batch to batch;
- `closed_blocks`: from the end of the last block that is complete before it, a block being what one
  cycle of dilations spans: there the stack is a tree over just that block;
- `leaky_broadcast`: from the end of the window, as in the project that this comes from. That view
  holds the answers of all positions but the last, so the loss means nothing. It is here to be
  refuted, and the audit does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from inklings.layers.dropout import Dropout
from inklings.layers.norm import rms_norm
from inklings.layers.windows import tokens_before
from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits, require
from inklings.models.drawings.drawing import Drawing
from inklings.models.drawings.of_wavegpt import draw_wavegpt
from inklings.models.gpt import EMBEDDING_STD, LOGIT_STD, GPTConfig, GPTStack
from inklings.models.wavenet.model import WaveNetConfig, WaveNetStack


@dataclass(frozen=True, kw_only=True)
class WaveGPTConfig(ModelConfig):
    """Sizes of both halves, and how they are joined."""

    sizes: ClassVar[tuple[str, ...]] = ("n_embd", "n_layer", "n_head")

    fusion: Literal["causal", "previous_segment", "closed_blocks", "leaky_broadcast"] = "causal"
    """From where a position takes the WaveNet's view; see the module. `leaky_broadcast` reads its
    answers.
    """
    mix: Literal["hidden", "logits", "probabilities"] = "hidden"
    """What is mixed: vectors before one head, or the logits or the probabilities of two heads."""
    gate: Literal["scalar", "sigmoid", "channel", "input"] = "scalar"
    """The GPT's share: one free number (the original's alpha), one in (0, 1), one a channel, or one
    that each position decides.
    """
    n_layer: int = 4
    """Layers of the GPT half."""
    n_head: int = 4
    n_embd: int = 128
    """Channels of both halves."""
    wave_layers: int = 5
    """Layers of a cycle of the WaveNet, with dilations 1, 2, 4, ..."""
    wave_cycles: int = 1
    """How often its dilations are gone through."""
    kernel_size: int = 2
    """Taps of its convolutions."""
    dropout: float = 0.0
    """Rate at which numbers are dropped in training, in both halves."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self,
            "fusion",
            self.fusion in ("causal", "previous_segment", "closed_blocks", "leaky_broadcast"),
            "one of the four",
        )
        require(
            self,
            "mix",
            self.mix in ("hidden", "logits", "probabilities"),
            "hidden, logits or probabilities",
        )
        require(
            self,
            "gate",
            self.gate in ("scalar", "sigmoid", "channel", "input"),
            "scalar, sigmoid, channel or input",
        )
        require(
            self,
            "gate",
            self.gate != "channel" or self.mix == "hidden",
            "scalar, sigmoid or input where mix is not hidden",
        )
        bounded = self.gate in ("sigmoid", "input") or self.mix != "probabilities"
        require(
            self,
            "gate",
            bounded,
            "sigmoid or input where mix is probabilities: a share of them lies between 0 and 1",
        )
        require(self, "wave_layers", self.wave_layers >= 1, "at least 1")
        require(self, "wave_cycles", self.wave_cycles >= 1, "at least 1")
        self.gpt, self.wavenet  # noqa: B018  # they check what they are given

    @property
    def gpt(self) -> GPTConfig:
        """The settings of the GPT half."""
        return GPTConfig(
            vocab_size=self.vocab_size,
            boundary_token=self.boundary_token,
            context_length=self.context_length,
            n_layer=self.n_layer,
            n_head=self.n_head,
            n_embd=self.n_embd,
            dropout=self.dropout,
        )

    @property
    def wavenet(self) -> WaveNetConfig:
        """The settings of the WaveNet half."""
        return WaveNetConfig(
            vocab_size=self.vocab_size,
            boundary_token=self.boundary_token,
            n_layer=self.wave_layers,
            cycles=self.wave_cycles,
            kernel_size=self.kernel_size,
            n_embd=self.n_embd,
            n_skip=self.n_embd,
            dropout=self.dropout,
        )

    @property
    def block(self) -> int | None:
        """The interval of positions at which the WaveNet's view is taken.

        None for `causal` and `leaky_broadcast`.
        """
        if self.fusion == "closed_blocks":
            return (self.wavenet.receptive_field - 1) // self.wave_cycles + 1
        return self.context_length if self.fusion == "previous_segment" else None


class View(nn.Module):
    """The view of the WaveNet that each position may take.

    It is taken from blocks of a document's positions, or from the whole window.
    """

    def __init__(self, config: WaveGPTConfig) -> None:
        super().__init__()
        self.fusion = config.fusion
        self.block = config.block
        self.first = None if self.block is None else nn.Parameter(torch.randn(config.n_embd))

    def forward(
        self,
        waves: Float[Tensor, "B T C"],
        carried: Mapping[str, Tensor] | None,
        starts: Bool[Tensor, "B T"] | None,
    ) -> tuple[Float[Tensor, "B T C"], dict[str, Tensor]]:
        """Return the views, of unit size, and what is carried to the next call.

        Args:
            waves: hidden vectors of the WaveNet (B, T, C).
            carried: what the last call returned; None for a fresh pass, which carries nothing.
            starts: (B, T), marks the first tokens of documents.
        """
        if self.fusion == "leaky_broadcast":
            return (
                waves[:, -1:].expand_as(waves),
                {},
            )  # the defect, on purpose: the end of the window, at every position
        if self.block is None:
            return waves, {}
        assert self.first is not None
        rows, length, channels = waves.shape
        position = (
            torch.zeros(rows, dtype=torch.int64, device=waves.device)
            if carried is None
            else carried["position"]
        )
        before = tokens_before(position, starts, length)
        # How many positions ago the last complete block ended: that of a document's first block is
        # learned.
        ago = before % self.block + 1
        place = torch.arange(length, device=waves.device) - ago
        summary = (
            self.first.expand(rows, -1) if carried is None else carried["summary"].to(waves.dtype)
        )
        # Before the piece lies the summary that was carried, of the block that was complete when
        # the piece began.
        listed = torch.cat([summary[:, None], waves], dim=1)
        views = listed.gather(1, (place + 1).clamp(min=0)[..., None].expand(-1, -1, channels))
        views = rms_norm(torch.where((before < self.block)[..., None], self.first, views))
        if carried is None:
            return views, {}
        # The same question for the position that comes next.
        after = before[:, -1] + 1
        latest = (length - (after % self.block + 1) + 1).clamp(min=0)
        summary = listed.gather(1, latest[:, None, None].expand(-1, 1, channels))[:, 0]
        return views, {"position": after, "summary": summary.to(carried["summary"].dtype)}

    def initial(self, batch_size: int, like: Tensor) -> dict[str, Tensor]:
        """Return the state before the first token: no block has a summary yet."""
        if self.block is None:
            return {}
        position = torch.zeros(batch_size, dtype=torch.int64, device=like.device)
        return {"position": position, "summary": like.new_zeros(batch_size, like.shape[-1])}


class Gate(nn.Module):
    """The GPT's share of the mixture; the rest is the WaveNet's."""

    def __init__(self, config: WaveGPTConfig) -> None:
        super().__init__()
        self.kind = config.gate
        if self.kind == "input":
            self.weigh = nn.Linear(2 * config.n_embd, 1)
            nn.init.zeros_(self.weigh.weight)
            nn.init.zeros_(self.weigh.bias)
        else:
            size = config.n_embd if self.kind == "channel" else 1
            self.alpha = nn.Parameter(torch.full((size,), 0.5 if self.kind == "scalar" else 0.0))

    def forward(
        self, transformer: Float[Tensor, "B T C"], wavenet: Float[Tensor, "B T C"]
    ) -> Float[Tensor, "*shape"]:
        """Return the GPT's share: () or (C,) or (B, T, 1), one half at the start."""
        if self.kind == "input":
            weighed: Tensor = self.weigh(torch.cat([transformer, wavenet], dim=-1))
            return torch.sigmoid(weighed)
        return self.alpha if self.kind == "scalar" else torch.sigmoid(self.alpha)


class WaveGPT(SequenceModel):
    """A GPT and a WaveNet over one embedding, mixed by a gate.

    `traits.branches` are the two halves: what each hands to the mixture is of unit size, so the
    gate is their share.
    """

    Config = WaveGPTConfig
    config: WaveGPTConfig

    def __init__(self, config: WaveGPTConfig) -> None:
        super().__init__(config)
        self.traits = Traits(
            branches=("transformer", "view"), carries_state=config.fusion == "previous_segment"
        )
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.dropout = Dropout(config.dropout)
        self.transformer = GPTStack(config.gpt)
        self.wavenet = WaveNetStack(config.wavenet)
        self.view = View(config)
        self.gate = Gate(config)
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.view_head = (
            None
            if config.mix == "hidden"
            else nn.Linear(config.n_embd, config.vocab_size, bias=False)
        )
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)
        for head in (self.head, self.view_head):
            if head is not None:
                nn.init.normal_(head.weight, std=LOGIT_STD / config.n_embd**0.5)

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return the logits for the token after each position, from the mixture of both halves."""
        parts = None if state is None else split(state.tensors)
        x = self.dropout(rms_norm(self.embedding(tokens)))
        transformer, gpt_after = self.transformer(x, parts and parts["gpt"], starts)
        waves, wave_after = self.wavenet(x, parts and parts["wave"], starts)
        view, view_after = self.view(waves, parts and parts["view"], starts)
        share = self.gate(transformer, view)
        hidden = share * transformer + (1 - share) * view
        after = (
            None
            if state is None
            else State(joined({"gpt": gpt_after, "wave": wave_after, "view": view_after}))
        )
        return Output(
            logits=self._logits(transformer, view, hidden, share), state=after, hidden=hidden
        )

    def _logits(
        self, transformer: Tensor, view: Tensor, hidden: Tensor, share: Tensor
    ) -> Float[Tensor, "B T V"]:
        if self.view_head is None:
            mixed: Tensor = self.head(hidden)
            return mixed
        ours: Tensor = self.head(transformer).log_softmax(-1)
        theirs: Tensor = self.view_head(view).log_softmax(-1)
        if self.config.mix == "logits":
            return share * ours + (1 - share) * theirs
        return torch.logaddexp(share.log() + ours, (1 - share).log() + theirs)

    def branch_shares(self, tokens: Int[Tensor, "B T"]) -> dict[str, float]:
        """Return the gate's mean over these tokens (alpha), and the rest."""
        shares: list[Tensor] = []
        hook = self.gate.register_forward_hook(
            lambda module, inputs, output: shares.append(output.detach())
        )
        try:
            with torch.no_grad():
                self(tokens)
        finally:
            hook.remove()
        alpha = float(shares[0].float().mean())
        return {"transformer": alpha, "view": 1 - alpha}

    def initial_state(self, batch_size: int) -> State:
        """Return the state of the halves, and the summary of the last complete block."""
        like = self.embedding.weight.detach()
        gpt, wave = self.transformer.initial(batch_size, like), self.wavenet.initial(batch_size)
        return State(
            joined({"gpt": gpt, "wave": wave, "view": self.view.initial(batch_size, like)})
        )

    def drawing(self) -> Drawing:
        """Return both halves, how they are joined, and a layer of each."""
        return draw_wavegpt(self)

    @property
    def receptive_field(self) -> int:
        """The reach of the half that sees further.

        With blocks, that is a block or segment and what its end sees.
        """
        wave = self.config.wavenet.receptive_field + (self.config.block or 0)
        return max(self.transformer.receptive_field, wave)

    def matrices(self) -> list[nn.Parameter]:
        """Return the matrices of both halves."""
        return [
            weight
            for half in (self.transformer, self.wavenet)
            for weight in half.parameters()
            if weight.ndim == 2
        ]

    def units(self) -> Sequence[nn.Module]:
        """Return the layers of both halves."""
        return (*self.transformer.blocks, *self.wavenet.layers)

    @property
    def token_rows(self) -> tuple[str, ...]:
        """The weights of the embedding and of one head or both."""
        return (
            "embedding.weight",
            "head.weight",
            *(() if self.view_head is None else ("view_head.weight",)),
        )

    @property
    def input_embedding(self) -> nn.Embedding:
        """The embedding of the tokens."""
        return self.embedding

    def flops(self, tokens: int) -> int:
        """Count the operations of both halves, the heads, and a gate that reads."""
        heads = self.config.vocab_size * self.config.n_embd * (1 if self.view_head is None else 2)
        weights = heads + (2 * self.config.n_embd if self.config.gate == "input" else 0)
        return self.transformer.flops(tokens) + self.wavenet.flops(tokens) + 6 * tokens * weights


def joined(parts: Mapping[str, Mapping[str, Tensor] | None]) -> dict[str, Tensor]:
    """Put the parts' state into one dictionary, under names `part.name`."""
    return {
        f"{part}.{name}": tensor
        for part, tensors in parts.items()
        for name, tensor in (tensors or {}).items()
    }


def split(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Split what `joined` joined."""
    parts: dict[str, dict[str, Tensor]] = {"gpt": {}, "wave": {}, "view": {}}
    for name, tensor in tensors.items():
        part, _, own = name.partition(".")
        parts[part][own] = tensor
    return parts
