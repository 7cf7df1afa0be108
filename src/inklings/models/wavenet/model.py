"""The dilated causal convolutions of WaveNet, for text.

Gated layers with residual and skip connections.

Layer l of a cycle looks back 2**l positions, so what a prediction sees doubles with every layer.
Streamed, each layer keeps its last inputs in a queue, and one more token costs one vector per layer
(fast-wavenet), where computing the field anew would cost all of it. Source: van den Oord et al.,
"WaveNet: a generative model for raw audio", 2016 (arXiv:1609.03499).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from inklings.layers.causal_convolution import Queues, causal_taps, read_one_token
from inklings.layers.dropout import Dropout
from inklings.layers.windows import tokens_before
from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits, require
from inklings.models.wavenet.cpu_step import EPSILON, layers_on_cpu

HEAD_STD = 0.1
"""Size of the logits at the start: small, so that the loss starts near ln V; not zero, so that the
first gradient passes the head.
"""


@dataclass(frozen=True, kw_only=True)
class WaveNetConfig(ModelConfig):
    """Sizes of a `WaveNet`.

    What a prediction sees follows from layers, cycles and kernel: `context_length` limits nothing.
    """

    sizes: ClassVar[tuple[str, ...]] = ("n_embd", "n_skip")

    n_layer: int = 6
    """Layers of a cycle, with dilations 1, 2, 4, ... 2**(n_layer - 1)."""
    cycles: int = 1
    """How often the dilations are gone through."""
    kernel_size: int = 2
    """Taps of each convolution."""
    n_embd: int = 128
    """Channels that layers read and add to."""
    n_skip: int = 128
    """Channels that the skip connections lead to."""
    residual: bool = True
    """Whether a layer adds to what it reads; without, it replaces it."""
    skip: bool = True
    """Whether the head reads the sum of what all layers give; without, it reads the last layer."""
    dropout: float = 0.0
    """Rate at which numbers leaving the embedding and each layer's gate are dropped in training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_layer", "cycles", "n_embd", "n_skip"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "kernel_size", self.kernel_size >= 2, "at least 2")
        require(
            self,
            "n_layer",
            self.n_layer <= 20,
            "at most 20 (dilations double with every layer); for more layers raise cycles",
        )
        require(self, "dropout", 0 <= self.dropout < 1, "at least 0 and below 1")

    @property
    def queues(self) -> Queues:
        """The dilations of all layers, in order."""
        return Queues(
            self.kernel_size, tuple(2**layer for layer in range(self.n_layer)) * self.cycles
        )

    @property
    def receptive_field(self) -> int:
        """How many tokens, the current one included, a prediction sees."""
        return sum(self.queues.reaches) + 1


def normed(x: Float[Tensor, "*N C"]) -> Float[Tensor, "*N C"]:
    """Apply layer normalisation without weights.

    It is one kernel, so that it costs little where one token is read at a time.
    """
    return torch.layer_norm(x, x.shape[-1:], eps=EPSILON)


class GatedLayer(nn.Module):
    """One dilated convolution, half of it a gate for the other half.

    Its output goes to the skip connections and to the next layer.
    """

    def __init__(self, config: WaveNetConfig, *, leads_on: bool) -> None:
        super().__init__()
        size = config.n_embd
        self.adds = config.residual
        self.convolution = nn.Linear(config.kernel_size * size, 2 * size)
        self.dropout = Dropout(config.dropout)
        self.project = nn.Linear(size, size, bias=False) if leads_on else None
        nn.init.normal_(self.convolution.weight, std=(config.kernel_size * size) ** -0.5)
        nn.init.zeros_(self.convolution.bias)
        if self.project is not None:
            # An added branch starts at zero: at first the stack is the identity. One that replaces
            # must let its input through.
            nn.init.normal_(self.project.weight, std=0.0 if config.residual else 2 * size**-0.5)

    def forward(
        self, x: Float[Tensor, "*N C"], taps: Float[Tensor, "*N F"]
    ) -> tuple[Float[Tensor, "*N C"], Float[Tensor, "*N C"]]:
        """Return what the next layer reads, and the gated output, twice that of equation (2).

        Sigmoid(2 g) is (1 + tanh g) / 2.
        """
        value, gate = torch.tanh(self.convolution(taps)).chunk(2, dim=-1)
        gated = self.dropout(torch.addcmul(value, value, gate))
        if self.project is None:
            return gated, gated  # nobody reads the first
        passed = self.project(gated)
        return (x + passed if self.adds else passed), gated


class WaveNetStack(nn.Module):
    """The layers without embedding and head: vectors in, vectors out."""

    def __init__(self, config: WaveNetConfig) -> None:
        super().__init__()
        self.n_embd = config.n_embd
        self.adds = config.residual
        self.queues = config.queues
        n_layer = len(self.queues.dilations)
        # Where only the skips are read, nobody reads what the last layer would pass on.
        self.layers = nn.ModuleList(
            GatedLayer(config, leads_on=not config.skip or i < n_layer - 1) for i in range(n_layer)
        )
        self.skip = (
            nn.Linear(n_layer * config.n_embd, config.n_skip, bias=False) if config.skip else None
        )
        self.mix = nn.Linear(
            config.n_skip if config.skip else config.n_embd, config.n_skip, bias=False
        )
        for linear in (self.skip, self.mix):
            if linear is not None:
                nn.init.normal_(linear.weight, std=(2 / linear.in_features) ** 0.5)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        carried: Mapping[str, Tensor] | None,
        starts: Bool[Tensor, "B T"] | None,
    ) -> tuple[Float[Tensor, "B T S"], dict[str, Tensor] | None]:
        """Return hidden vectors of unit size, and what is carried to the next call.

        Args:
            x: vectors (B, T, C).
            carried: what the last call returned; None for a fresh pass.
            starts: (B, T), marks the first tokens of documents.
        """
        if carried is None:
            before = (
                None
                if starts is None
                else tokens_before(
                    starts.new_zeros(starts.shape[0], dtype=torch.int64), starts, x.shape[1]
                )
            )
            return self._piece(x, None, before)[0], None
        before = tokens_before(carried["position"], starts, x.shape[1])
        after = before[:, -1] + 1
        in_place = not (torch.is_grad_enabled() or torch.compiler.is_compiling())
        if x.shape[1] == 1 and in_place:
            rings = carried["rings"]
            return self._one_token(x[:, 0], rings, before[:, 0])[:, None], {
                "position": after,
                "rings": rings,
            }
        hidden, inputs = self._piece(
            x, self.queues.in_order(carried["rings"], carried["position"]), before
        )
        return hidden, {
            "position": after,
            "rings": self.queues.after(carried["rings"], inputs, after),
        }

    def _piece(
        self,
        x: Float[Tensor, "B T C"],
        past: list[Tensor] | None,
        before: Int[Tensor, "B T"] | None,
    ) -> tuple[Float[Tensor, "B T S"], list[Tensor]]:
        """Compute all positions at once; return also what each layer read.

        `past` holds, for each layer, what it read before.
        """
        absent = x.new_zeros(x.shape[-1])
        inputs, gated = [], []
        for index, layer in enumerate(self.layers):
            inputs.append(normed(x))
            seen = (
                inputs[-1]
                if past is None
                else torch.cat([past[index].to(inputs[-1].dtype), inputs[-1]], dim=1)
            )
            dilation = self.queues.dilations[index]
            taps = causal_taps(
                seen,
                before,
                length=x.shape[1],
                taps=self.queues.taps,
                dilation=dilation,
                absent=absent,
            )
            x, out = layer(x, taps)
            gated.append(out)
        return self._combine(x, torch.cat(gated, dim=-1)), inputs

    def _one_token(
        self, x: Float[Tensor, "B C"], rings: Float[Tensor, "B P C"], position: Int[Tensor, " B"]
    ) -> Float[Tensor, "B S"]:
        """Read one more token in every row; the rings are written in place."""
        plain = layers_on_cpu(self.layers, self.skip, self.queues, rings, adds=self.adds)
        if plain is not None:
            return self._top(plain.read(x, rings, position))
        step = read_one_token(self.queues, rings, position)
        gated = []
        for layer, taps, newest in zip(
            self.layers, step.taps.flatten(2).unbind(), step.taps[:, :, -1].unbind(), strict=True
        ):
            newest.copy_(normed(x))
            x, out = layer(x, taps)
            gated.append(out)
        step.write()
        return self._combine(x, torch.cat(gated, dim=-1))

    def _combine(
        self, x: Float[Tensor, "*N C"], gated: Float[Tensor, "*N NC"]
    ) -> Float[Tensor, "*N S"]:
        """Return the sum of the skip connections, one matrix for all of them, or the last layer.

        It passes once more through a matrix.
        """
        return self._top(x if self.skip is None else self.skip(gated))

    def _top(self, summed: Float[Tensor, "*N S"]) -> Float[Tensor, "*N S2"]:
        mixed: Tensor = normed(torch.relu(self.mix(torch.relu(normed(summed)))))
        return mixed

    def initial(self, batch_size: int) -> dict[str, Tensor]:
        """Return the state before the first token: empty queues.

        `position` counts the document's tokens.
        """
        like = self.mix.weight.detach()
        position = torch.zeros(batch_size, dtype=torch.int64, device=like.device)
        return {
            "position": position,
            "rings": like.new_zeros(batch_size, self.queues.places, self.n_embd),
        }

    def flops(self, tokens: int) -> int:
        """Count two operations per weight and token forward, four backward."""
        return 6 * tokens * sum(weight.numel() for weight in self.parameters() if weight.ndim == 2)


class WaveNet(SequenceModel):
    """Dilated causal convolutions with gates, residual and skip connections."""

    Config = WaveNetConfig
    config: WaveNetConfig

    def __init__(self, config: WaveNetConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.dropout = Dropout(config.dropout)
        self.stack = WaveNetStack(config)
        self.head = nn.Linear(config.n_skip, config.vocab_size, bias=False)
        nn.init.normal_(self.embedding.weight)
        nn.init.normal_(self.head.weight, std=HEAD_STD * config.n_skip**-0.5)
        made = {"project": not config.skip or len(config.queues.dilations) > 1, "skip": config.skip}
        self.traits = Traits(branches=tuple(name for name, there in made.items() if there))

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return the logits for the token after each position, streamed from the layers' queues."""
        x = self.dropout(normed(self.embedding(tokens)))
        hidden, carried = self.stack(x, None if state is None else state.tensors, starts)
        return Output(
            logits=self.head(hidden),
            state=None if carried is None else State(carried),
            hidden=hidden,
        )

    def initial_state(self, batch_size: int) -> State:
        """Return the layers' empty queues."""
        return State(self.stack.initial(batch_size))

    @property
    def receptive_field(self) -> int:
        """The reach of layers, cycles and kernel together."""
        return self.config.receptive_field

    def units(self) -> Sequence[nn.Module]:
        """Return the layers, each of which a pass calls once."""
        return tuple(self.stack.layers)

    @property
    def token_rows(self) -> tuple[str, ...]:
        """The weights of embedding and head."""
        return ("embedding.weight", "head.weight")

    @property
    def input_embedding(self) -> nn.Embedding:
        """The embedding of the tokens."""
        return self.embedding

    def flops(self, tokens: int) -> int:
        """Count the operations of the layers and the head."""
        return self.stack.flops(tokens) + 6 * tokens * self.head.weight.numel()
