"""A language model with an associative memory: any backbone, which finds again what it has read.

Vectors are remembered with the token that followed them, and searched with the vector of the
present position. Every row of a batch has a memory of its own, which a long-term memory that all
share may stand beside. The state knows it by a number and a version, so that copies of a state are
cheap: a write to a memory that another may see goes to a copy.

Three readers use what was found: `mixture` of probabilities, a layer of `attention`, or `concat`,
ahead of the backbone, as in the project that this comes from. What is written is decided by
position: `all`, some at `random`, the tokens of most `surprisal`, or those that a gate has
`learned` to keep.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor, nn

from inklings.errors import ConfigError
from inklings.memory.store import Memory
from inklings.models.backbone import make_backbone
from inklings.models.contract import (
    Output,
    SequenceModel,
    State,
    Store,
    Traits,
)
from inklings.models.drawings.drawing import Drawing
from inklings.models.drawings.of_varda import draw_varda
from inklings.models.registry import is_file
from inklings.models.remembering import Recollection, Written
from inklings.models.varda.config import VardaConfig
from inklings.models.varda.forward import BACKBONE, Decisions, Pass
from inklings.models.varda.readers import Attention, Concatenation, Mixture
from inklings.models.varda.recall import Control
from inklings.models.varda.rows import Habits
from inklings.models.varda.state import (
    empty_state,
    row_streams,
    state_from_tensors,
    state_to_tensors,
)

PIECE = 512
"""Tokens of a document that are read at a time."""
CLOSED = -4.0
"""Logit at which the decision to delete begins, so that it hardly ever deletes."""


class _Held:
    """A memory from outside; copying a model does not copy it."""

    def __init__(self, memory: Memory | None) -> None:
        self.memory = memory

    def __deepcopy__(self, memo: dict[int, object]) -> _Held:
        return self


class Varda(SequenceModel):
    """A backbone, its memories and a reader, as the module describes them."""

    Config = VardaConfig
    traits = Traits(carries_state=True, whole_documents=True)
    wraps = "backbone"
    untraceable = "its memory, which is on the host"
    config: VardaConfig

    def __init__(self, config: VardaConfig) -> None:
        super().__init__(config)
        self.backbone = make_backbone(config.backbone, config)
        width, vocab_size = self._width(), config.vocab_size
        self.dimension = config.memory_dim or width
        self.storable = (
            None if config.memory_dim is None else nn.Linear(width, config.memory_dim, bias=False)
        )
        self.store_decision = nn.Linear(width, 1) if config.write == "learned" else None
        deletes = config.delete_within > 0
        self.delete_decision = nn.Linear(width, config.num_search_results) if deletes else None
        self.deletable = nn.Linear(width, self.dimension, bias=False) if deletes else None
        if self.delete_decision is not None:
            nn.init.constant_(self.delete_decision.bias, CLOSED)
        self.reader: Mixture | Attention | Concatenation
        if config.reader == "mixture":
            self.reader = Mixture(
                width, sharpness=config.sharpness, share=config.share, nearness=config.nearness
            )
        elif config.reader == "attention":
            self.reader = Attention(width, self.dimension, vocab_size, sharpness=config.sharpness)
        else:
            self.reader = Concatenation(
                self.embedding.embedding_dim, self.dimension, config.num_search_results
            )
            if is_file(config.backbone):  # ours are tested
                self._check_embedding()
        if config.freeze_backbone:
            self.backbone.requires_grad_(False)
        self.control: Control = "none"
        """What is done to the memory, to see what it is worth."""
        self._outside = _Held(None)
        self._records: list[list[Recollection]] | None = None
        self.habits = Habits.of(config, self.dimension)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch leaves it untyped
    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
        memory_input: Float[Tensor, "B T D"] | None = None,
    ) -> Output:
        """Return the logits after each position.

        The memories that a state refers to are written to in place only without gradients, and if
        no other state shares them.

        Args:
            tokens: (B, T).
            state: the state to go on from; None for a fresh pass.
            starts: (B, T), marks the first tokens of documents.
            memory_input: vectors to search with in place of the model's own.
        """
        work = Pass(self, tokens, state, starts, memory_input)
        logits, hidden = work.run()
        losses = self._gate_losses(work.decisions()) if self.training else {}
        if self._records is not None:
            self._records.append(work.recollections())
        return Output(
            logits=logits,
            state=None if state is None else work.state(),
            hidden=hidden,
            losses=losses,
        )

    def decisions(self, hidden: Float[Tensor, "B T C"]) -> Decisions:
        """Compute the decisions for the memory from hidden vectors.

        Keys and deletable vectors are of unit size.
        """
        keys = _unit(hidden.float() if self.storable is None else self.storable(hidden.float()))
        log_gates = (
            None
            if self.store_decision is None
            else F.logsigmoid(self.store_decision(hidden.float())).squeeze(-1)
        )
        if self.deletable is None or self.delete_decision is None:
            return Decisions(keys, log_gates, None, None)
        deletable, deletes = self.deletable(hidden.float()), self.delete_decision(hidden.float())
        return Decisions(keys, log_gates, _unit(deletable), torch.sigmoid(deletes))

    def _gate_losses(self, decisions: Decisions) -> dict[str, Float[Tensor, ""]]:
        """Compute the loss that keeps the gates of each row within their budgets.

        The budget of writing is `write_budget`, that of deleting is zero.
        """
        losses, weight = {}, self.config.gate_weight
        if weight and decisions.log_gates is not None:
            losses["write"] = (
                weight
                * (decisions.log_gates.exp().mean(1) - self.config.write_budget).square().mean()
            )
        if weight and decisions.delete_gates is not None:
            losses["delete"] = weight * decisions.delete_gates.mean((1, 2)).square().mean()
        return losses

    def initial_state(self, batch_size: int) -> State:
        """Return the backbone's state, and what `own_state` adds."""
        inner = self.backbone.initial_state(batch_size)
        tensors, stores = self.own_state(batch_size)
        return State(
            {**{f"{BACKBONE}{name}": tensor for name, tensor in inner.tensors.items()}, **tensors},
            {**inner.stores, **stores},
        )

    def own_state(self, batch_size: int) -> tuple[dict[str, Tensor], dict[int, Store]]:
        """Make an empty memory for each row.

        Beside it is room for a segment that was read and not yet written.
        """
        return empty_state(self.config, self.habits.memory, batch_size, self.device)

    def state_to_tensors(self, state: State) -> dict[str, Tensor]:
        """Return the state with every row's memory written out."""
        return state_to_tensors(state)

    def state_from_tensors(self, tensors: dict[str, Tensor]) -> State:
        """Make the state again, with new memories."""
        return state_from_tensors(tensors, self.habits.memory, self.device)

    def row_memories(self, state: State) -> list[Memory]:
        """Return the memory of each row."""
        return [stream.memory for stream in row_streams(state)]

    def drawing(self) -> Drawing:
        """Return the backbone, the memory, and how what was found enters a prediction."""
        return draw_varda(self)

    @property
    def long_term(self) -> Memory | None:
        """A memory from outside that every row reads and none writes."""
        return self._outside.memory

    @long_term.setter
    def long_term(self, memory: Memory | None) -> None:
        if memory is not None and memory.config.dimension != self.dimension:
            raise ConfigError(
                f"the memory holds vectors of {memory.config.dimension} numbers, the model's have"
                f" {self.dimension}: it is another's."
            )
        self._outside = _Held(memory)

    def written(self, tokens: Int[Tensor, "1 T"]) -> Written:
        """Return the entries that it would write of a document; see `Remembering`.

        Nothing is forgotten on the way, however long the document is.
        """
        length = tokens.shape[1]
        room = dataclasses.replace(
            self.habits.memory,
            capacity=length + self.config.segment,
            backend="exact",
            eviction="oldest",
        )
        kept = self.habits
        self.habits = dataclasses.replace(
            kept, memory=room, clear=False, frozen=False, decay=1.0, forget=0.0, delete_within=0.0
        )
        try:
            with self.controlled("off"), self._reading_only():
                state = self._read(tokens)[0]
                # one more boundary writes what is pending; the entry that it completes itself is
                # none of the document's
                end = tokens.new_full((1, 1), self.config.boundary_token)
                state = self(end, state, starts=torch.ones_like(end, dtype=torch.bool)).state
        finally:
            self.habits = kept
        assert state is not None
        memory = self.row_memories(state)[0]
        entries = memory.entries()
        order = np.argsort(entries.ids)
        order = order[entries.positions[order] < length]
        vectors = memory.vectors(entries.ids[order])
        return Written(
            vectors, entries.values[order], entries.positions[order], entries.scores[order]
        )

    def queries(self, tokens: Int[Tensor, "1 T"]) -> Float32[np.ndarray, "T D"]:
        """Return the vectors that it would search with after each token."""
        with self.controlled("off"), self._reading_only():
            return np.concatenate(self._read(tokens)[1])

    def _read(self, tokens: Int[Tensor, "1 T"]) -> tuple[State, list[Float32[np.ndarray, "_ D"]]]:
        """Read a document from its beginning, in pieces.

        Return the state after it, and the vectors that were searched with.
        """
        state, queries = self.initial_state(1), []
        for piece in torch.split(tokens, PIECE, dim=1):
            work = Pass(self, piece, state, None, None)
            work.run()
            state = work.state()
            queries.append(work.queries()[0])
        return state, queries

    @contextlib.contextmanager
    def controlled(self, control: Control) -> Iterator[None]:
        """Change the memory within the block as a control asks."""
        before, self.control = self.control, control
        try:
            yield
        finally:
            self.control = before

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[list[Recollection]]]:
        """Give a list that gets, for every pass within the block, what each row found."""
        before, self._records = self._records, []
        try:
            yield self._records
        finally:
            self._records = before

    @contextlib.contextmanager
    def _reading_only(self) -> Iterator[None]:
        was = self.training
        self.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.train(was)

    def train(self, mode: bool = True) -> Varda:
        """Switch between training and evaluation; a frozen backbone stays in evaluation."""
        super().train(mode)
        if self.config.freeze_backbone:
            self.backbone.train(False)
        return self

    def units(self) -> Sequence[nn.Module]:
        """Return the backbone's units; `concat` calls it once for every segment."""
        return () if self.config.reader == "concat" else self.backbone.units()

    @property
    def token_rows(self) -> tuple[str, ...]:
        """The backbone's rows, and those of the head that attention reads its result by."""
        return (
            *(f"{BACKBONE}{name}" for name in self.backbone.token_rows),
            *(("reader.tokens.weight",) if isinstance(self.reader, Attention) else ()),
        )

    def matrices(self) -> list[nn.Parameter]:
        """Return the backbone's matrices, and those of the attention over the memory."""
        own: list[nn.Parameter] = []
        if isinstance(self.reader, Attention):
            own = [
                weight
                for layer in (self.reader.query, self.reader.key, self.reader.value)
                for weight in layer.parameters()
            ]
        return [*self.backbone.matrices(), *own]

    def flops(self, tokens: int) -> int:
        """Count the operations of the backbone (a third if frozen), of reading and of deciding.

        Each token adds one comparison with every entry of a full memory.
        """
        own = sum(
            weight.numel()
            for name, weight in self.named_parameters()
            if not name.startswith(BACKBONE) and weight.ndim == 2
        )
        backbone, searching = (
            self.backbone.flops(tokens),
            2 * self.dimension * self.config.memory_size,
        )
        return (backbone // 3 if self.config.freeze_backbone else backbone) + tokens * (
            6 * own + searching
        )

    @property
    def embedding(self) -> nn.Embedding:
        """The backbone's embedding, which `concat` follows.

        Raises:
            ConfigError: it has none.
        """
        embedding = self.backbone.input_embedding
        if embedding is None:
            raise ConfigError(
                f"VardaConfig.reader is 'concat', but {self.config.backbone!r} does not say which"
                " layer embeds its tokens. Take mixture or attention, or give the class the"
                " property input_embedding."
            )
        return embedding

    @property
    def begins_anew(self) -> bool:
        """Whether the backbone begins anew whenever its context is full.

        A backbone that reads half a context again cannot behind `concat`: vectors made of what was
        found cannot be made a second time.
        """
        return self.config.reader == "concat" and self.backbone.traits.rereads

    @property
    def queries_learn(self) -> bool:
        """Whether what is searched with can be improved by the gradient of what was found."""
        return self.config.reader != "concat" and (
            self.storable is not None or not self.config.freeze_backbone
        )

    def _width(self) -> int:
        """Return the size of the hidden vectors that the backbone's head reads."""
        was = self.backbone.training
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            tokens = torch.full((1, 1), self.config.boundary_token)
            width = self.backbone.eval()(tokens).hidden.shape[-1]
        self.backbone.train(was)
        return int(width)

    def _check_embedding(self) -> None:
        """Raise a `ConfigError` if the backbone does not read each token once, by its embedding.

        `concat` stands in for that embedding.
        """
        read: list[int] = []
        backbone, length = self.backbone, self.backbone.config.context_length
        handle = self.embedding.register_forward_hook(
            lambda module, inputs, output: read.append(output[..., 0].numel())
        )
        try:
            with self._reading_only(), torch.random.fork_rng(devices=[]):
                tokens = torch.full((1, length), self.config.boundary_token)
                state = backbone(tokens, backbone.initial_state(1)).state
                anew = torch.ones(1, 1, dtype=torch.bool) if backbone.traits.rereads else None
                backbone(tokens[:, :1], state, starts=anew)
        finally:
            handle.remove()
        if read != [length, 1]:
            raise ConfigError(
                f"VardaConfig.reader is 'concat', but {self.config.backbone!r} does not read each"
                f" token once by its input_embedding: of {length} tokens, its context, and one more"
                f" it embedded {read}. Set rereads=True in its Traits if it reads tokens again once"
                " its context is full; or take mixture or attention."
            )


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors, dim=-1)
