"""A plain recurrent network, a GRU or an LSTM, trained over ordered streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from inklings.device import onednn_has_bfloat16
from inklings.layers.dropout import Dropout
from inklings.models.contract import ModelConfig, Output, SequenceModel, State, Traits, require

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""Matrices per layer and cell: a step multiplies its input and its past by each."""

Memory = tuple[Tensor, ...]
"""State of the cells, each (n_layer, rows, n_hidden): the hidden vectors and, of an LSTM, the cell
states.
"""

CELLS: dict[str, Callable[[Tensor, Memory, Sequence[Tensor]], Memory]] = {
    "rnn": lambda x, past, weights: (torch.rnn_tanh_cell(x, past[0], *weights),),
    "gru": lambda x, past, weights: (torch.gru_cell(x, past[0], *weights),),
    "lstm": lambda x, past, weights: torch.lstm_cell(x, past, *weights),
}
"""One step of a layer: its input (B, E) and its own part of the state make its new state."""


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig(ModelConfig):
    """Sizes of the `recurrent` network.

    `context_length` limits nothing: the past is carried without end.
    """

    sizes: ClassVar[tuple[str, ...]] = ("n_hidden", "n_embd")

    cell: Literal["rnn", "gru", "lstm"] = "gru"
    """Elman's network with tanh, the gated recurrent unit, or long short-term memory."""
    n_layer: int = 1
    """Layers, each reading the one below."""
    n_embd: int = 64
    """Channels of a token's embedding."""
    n_hidden: int = 128
    """Units of a layer."""
    dropout: float = 0.0
    """Share dropped between layers, before the first and after the last, never from one step to the
    next.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_layer", "n_embd", "n_hidden"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "dropout", 0 <= self.dropout < 1, "in [0, 1)")


class Recurrent(SequenceModel):
    """Embedding, recurrent layers, linear head; the state is what the cells carry.

    Sources: Elman 1990; Hochreiter and Schmidhuber 1997; Cho et al. 2014; dropout on the
    connections that are not recurrent as in Zaremba, Sutskever and Vinyals 2014.
    """

    Config = RecurrentConfig
    config: RecurrentConfig
    traits = Traits(carries_state=True)

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        cells: dict[str, Callable[..., nn.RNNBase]] = {
            "rnn": nn.RNN,
            "gru": nn.GRU,
            "lstm": nn.LSTM,
        }
        between_layers = (
            config.dropout if config.n_layer > 1 else 0.0
        )  # torch warns where there is no "between"
        self._parts = ("hidden", "cell") if config.cell == "lstm" else ("hidden",)
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.dropout = Dropout(config.dropout)
        self.layers = cells[config.cell](
            config.n_embd, config.n_hidden, config.n_layer, dropout=between_layers, batch_first=True
        )
        self.head = nn.Linear(config.n_hidden, config.vocab_size)
        # Small, so that the first predictions are near uniform.
        nn.init.normal_(self.head.weight, std=0.1 * config.n_hidden**-0.5)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return logits (B, T, V); `hidden` is the last layer.

        At the start of a document the cells begin from zero.
        """
        inputs = self.dropout(self.embedding(tokens))
        memory = self._as_memory(self.initial_state(tokens.shape[0]) if state is None else state)
        if starts is not None:
            memory = tuple(part.where(~starts[:, 0, None], 0) for part in memory)
        if starts is None or starts.shape[1] == 1:
            hidden, memory = self._run(inputs, memory)
        elif not starts.is_cpu:  # to ask it would be to wait for it
            hidden, memory = self._run_steps(inputs, memory, starts)
        elif starts[:, 1:].any():
            hidden, memory = self._run_segments(inputs, memory, starts)
        else:
            hidden, memory = self._run(inputs, memory)
        hidden = self.dropout(hidden)
        new_state = None if state is None else self._as_state(memory)
        return Output(logits=self.head(hidden), state=new_state, hidden=hidden)

    def _run_segments(
        self, inputs: Float[Tensor, "B T E"], memory: Memory, starts: Bool[Tensor, "B T"]
    ) -> tuple[Tensor, Memory]:
        """Run the layers over rows that hold several documents.

        Rows are cut at the starts, and the pieces run side by side as one packed batch: as many
        steps as the longest piece has tokens, where stepping through the rows would take T and a
        reset at each.
        """
        batch_size, length = starts.shape
        cuts = starts.clone()
        cuts[:, 0] = True
        begins = cuts.flatten().nonzero().squeeze(1)
        lengths = begins.diff(append=begins.new_tensor([starts.numel()]))
        order = lengths.argsort(
            descending=True, stable=True
        )  # a packed batch has its longest piece first
        begins, lengths = begins[order], lengths[order]

        steps = torch.arange(int(lengths[0]), device=starts.device)
        running = steps[:, None] < lengths
        places = (begins + steps[:, None])[running]
        packed = PackedSequence(inputs.flatten(0, 1).index_select(0, places), running.sum(1).cpu())
        rows = begins // length
        opens_row = (begins % length == 0)[:, None]
        outputs, after = self._run(
            packed, tuple(part[:, rows].where(opens_row, 0) for part in memory)
        )

        hidden = outputs.data.index_select(0, places.argsort()).view(batch_size, length, -1)
        last_pieces = order.argsort().index_select(0, cuts.sum(1).cumsum(0) - 1)
        return hidden, tuple(part[:, last_pieces] for part in after)

    def _run_steps(
        self, inputs: Float[Tensor, "B T E"], memory: Memory, starts: Bool[Tensor, "B T"]
    ) -> tuple[Tensor, Memory]:
        """Run the layers step by step, with a reset at each start, without a look at `starts`.

        Slower than the pieces are where the host knows them without a wait.
        """
        step = CELLS[self.config.cell]
        x, after = inputs, []
        for layer, weights in enumerate(self.layers.all_weights):
            if layer > 0:
                x = F.dropout(x, self.layers.dropout, self.training)
            carried, outputs = tuple(part[layer] for part in memory), []
            for one, begins in zip(x.unbind(1), starts.unbind(1), strict=True):
                kept = tuple(part.where(~begins[:, None], 0) for part in carried)
                carried = step(one, kept, weights)
                outputs.append(carried[0])
            x = torch.stack(outputs, dim=1)
            after.append(carried)
        return x, tuple(torch.stack(parts) for parts in zip(*after, strict=True))

    def _run(self, inputs: Any, memory: Memory) -> tuple[Any, Memory]:
        """Run the layers over rows, or packed pieces, of one document each.

        Torch gives an LSTM a pair, the others a tensor.
        """
        if self.config.cell == "lstm":
            # oneDNN has the LSTM, alone of the three, and not in bfloat16 on every processor
            mixed = torch.is_autocast_enabled("cpu") and not onednn_has_bfloat16()
            with torch.autocast("cpu", enabled=False) if mixed else nullcontext():
                out: tuple[Any, Memory] = self.layers(inputs, memory)
            return out
        outputs, hidden = self.layers(inputs, memory[0])
        return outputs, (hidden,)

    def _as_state(self, memory: Memory) -> State:
        """Put the batch first, in the weights' type, whatever autocast computed in."""
        return State(
            {
                name: part.transpose(0, 1).to(self.head.weight.dtype)
                for name, part in zip(self._parts, memory, strict=True)
            }
        )

    def _as_memory(self, state: State) -> Memory:
        """Put the layers first, as torch has them."""
        return tuple(state.tensors[name].transpose(0, 1).contiguous() for name in self._parts)

    def initial_state(self, batch_size: int) -> State:
        """Return zeros: nothing is remembered."""
        shape = (self.config.n_layer, batch_size, self.config.n_hidden)
        return self._as_state(tuple(self.head.weight.new_zeros(shape) for _ in self._parts))

    @property
    def token_rows(self) -> tuple[str, ...]:
        """The weights of embedding and head."""
        return ("embedding.weight", "head.weight", "head.bias")

    @property
    def input_embedding(self) -> nn.Embedding:
        """The embedding of the tokens."""
        return self.embedding

    def flops(self, tokens: int) -> int:
        """Count the gates' products with the input and with the past, and the head.

        Each is computed once forward and twice backward.
        """
        config = self.config
        widths = [config.n_embd, *[config.n_hidden] * (config.n_layer - 1)]
        per_token = sum(
            GATES[config.cell] * config.n_hidden * (width + config.n_hidden) for width in widths
        )
        return 6 * tokens * (per_token + config.n_hidden * config.vocab_size)
