"""The contract of an architecture: what every generator declares and implements, and nothing more.

An architecture is one file with a `ModelConfig` and a `SequenceModel`. A class that keeps this
contract trains, streams, is evaluated, compared and generated from like all the others, and every
test in `tests/contracts/` runs on it. A generator that makes whole texts out of noise, and gives no
probabilities, is a `SampleModel` instead (`from_noise.py`).

Shapes are named B (rows of the batch), T (positions), C (channels), V (size of the vocabulary).
"""

from __future__ import annotations

import dataclasses
import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from inklings.fields import field_hints
from inklings.models.drawings.drawing import Drawing
from inklings.values import check, check_types


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The settings that every architecture has.

    Subclasses add their sizes and check them in `__post_init__`. `vocab_size` and `boundary_token`
    come from the tokenizer, never from the user.
    """

    sizes: ClassVar[tuple[str, ...]] = ()
    """Fields by which the model is brought to a number of parameters: its width first, then what
    may follow.
    """
    beginnings: ClassVar[tuple[str, ...]] = ()
    """Fields that say how weights begin and nothing else: with the weights of another run they
    would mean nothing.
    """

    vocab_size: int
    """V: how many tokens there are, the boundary included."""
    boundary_token: int = 0
    """The token that opens every document and, as a target, ends the one before; it also pads a
    missing past.
    """
    context_length: int = 64
    """How many tokens, the current one included, a prediction may look back on (no limit where
    state is carried).
    """

    def __post_init__(self) -> None:
        check_types(self)
        require(self, "vocab_size", self.vocab_size >= 2, "at least 2")
        require(self, "context_length", self.context_length >= 1, "at least 1")
        known = 0 <= self.boundary_token < self.vocab_size
        require(self, "boundary_token", known, "a token of the vocabulary")

    @property
    def opening(self) -> int:
        """The token that weights learned to read where a document opens: here the boundary."""
        return self.boundary_token


require = check
"""Raise a `ConfigError` unless a field of a configuration holds what it must."""


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What an architecture can do: declared here, never guessed from a name or a type."""

    objective: str = "likelihood"
    """How it learns: the name of an objective, such as `likelihood`, `counting`, `adversarial`
    (`models/objectives.py` has their records).
    """
    has_likelihood: bool = True
    """Whether its logits are a distribution over the next token that may be scored."""
    carries_state: bool = False
    """Whether training hands the state of one batch to the next (ordered streams, truncated
    back-propagation).
    """
    batch_statistics: bool = False
    """Whether rows of a training batch influence each other (BatchNorm). In evaluation they never
    may.
    """
    branches: tuple[str, ...] = ()
    """Names of submodules that can be knocked out to see what each is worth."""
    whole_documents: bool = False
    """Whether a prediction may rest on anything before it in the document: then documents are
    scored whole, never in parts.
    """
    rereads: bool = False
    """Whether tokens are read a second time once the context is full, because there are no
    positions beyond it.
    """

    def __post_init__(self) -> None:
        for name in (one.name for one in dataclasses.fields(self)):
            value: Any = getattr(self, name)
            kind: type = type(getattr(Traits, name))
            allowed = {bool: "True or False", str: "a name", tuple: "a tuple of names"}[kind]
            holds = isinstance(value, kind)
            if kind is tuple:
                holds = holds and all(isinstance(item, str) for item in value)
            require(self, name, holds, allowed)


@runtime_checkable
class Store(Protocol):
    """What a state refers to by number because it is too large to be copied with every state."""

    shared: bool
    """Whether another state or row may refer to it too: who would write to it then takes a copy of
    its own.
    """


@dataclass(frozen=True)
class State:
    """What a model carries from one token to the next: named tensors, with the batch first.

    The operations are what continuous batching and beam search need, and they are the same for
    every model.
    """

    tensors: dict[str, Tensor]
    stores: dict[int, Store] = field(default_factory=dict)
    """What the rows refer to by number, if the model has such a thing; it lives as long as a state
    refers to it.
    """

    @property
    def batch_size(self) -> int:
        """The number of rows, B."""
        return next(iter(self.tensors.values())).shape[0]

    def clone(self) -> State:
        """Return an independent copy: streaming on from one leaves the other as it is."""
        return State({name: tensor.clone() for name, tensor in self.tensors.items()}, self._share())

    def select(self, rows: Int[Tensor, " N"]) -> State:
        """Return a new state with copies of the given rows, in that order; rows may repeat."""
        return State(
            {name: tensor.index_select(0, rows) for name, tensor in self.tensors.items()},
            self._share(),
        )

    def assign(self, rows: Int[Tensor, " N"], other: State) -> None:
        """Overwrite the given rows, in place, with the N rows of `other`.

        What they referred to before stays in `stores`: a caller that keeps one state for long takes
        the stores of the last output.
        """
        for name, tensor in self.tensors.items():
            tensor.index_copy_(0, rows, other.tensors[name].to(tensor.dtype))
        self.stores.update(other._share())

    def detach(self) -> State:
        """Return the same values, detached from the graph."""
        return State({name: tensor.detach() for name, tensor in self.tensors.items()}, self.stores)

    def part(self, rows: slice) -> State:
        """Return a view of consecutive rows."""
        return State({name: tensor[rows] for name, tensor in self.tensors.items()}, self.stores)

    @staticmethod
    def layered(layers: Sequence[Mapping[str, Tensor]]) -> State:
        """Make a state of the tensors of each layer, first layer first."""
        return State(
            {
                f"{number}.{name}": tensor
                for number, layer in enumerate(layers)
                for name, tensor in layer.items()
            }
        )

    @property
    def layers(self) -> list[dict[str, Tensor]]:
        """The tensors of each layer, as `layered` took them."""
        found: dict[int, dict[str, Tensor]] = {}
        for full_name, tensor in self.tensors.items():
            number, _, name = full_name.partition(".")
            found.setdefault(int(number), {})[name] = tensor
        return [found[number] for number in sorted(found)]

    @staticmethod
    def joined(states: Sequence[State]) -> State:
        """Concatenate the rows of several states."""
        names = states[0].tensors
        stores = {number: store for state in states for number, store in state.stores.items()}
        return State({n: torch.cat([state.tensors[n] for state in states]) for n in names}, stores)

    def _share(self) -> dict[int, Store]:
        for store in self.stores.values():
            store.shared = True
        return dict(self.stores)


_NOT_GIVEN = torch.empty(0, 0, 0)


@dataclass(frozen=True)
class Output:
    """The result of `forward`."""

    logits: Float[Tensor, "B T V"]
    """Unnormalised log-probabilities of the token after each position."""
    state: State | None = None
    """The state after the last position; None if `forward` was given none."""
    hidden: Float[Tensor, "B T C"] = _NOT_GIVEN
    """The representation that the head reads; the logits where a model names none."""
    losses: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
    """Named auxiliary losses, already weighted, to be added to the objective."""

    def __post_init__(self) -> None:
        if self.hidden is _NOT_GIVEN:
            object.__setattr__(self, "hidden", self.logits)


class Architecture(nn.Module, ABC):
    """The base of every generator: sizes, traits, weights, and what training it costs."""

    Config: ClassVar[type[ModelConfig]]
    traits: Traits = Traits()
    wraps: ClassVar[str | None] = None
    """The field that names another architecture inside this one, as `backbone`; its weights may
    come from a run of that one.
    """

    without_token_rows: ClassVar[str] = (
        "it does not say which weights have a row for each token (`token_rows`)"
    )
    """Why the vocabulary cannot be extended, where `token_rows` names none."""

    untraceable: ClassVar[str | None] = None
    """What a pass looks up on the host, so that no compiler follows it; None where it looks up
    nothing.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    def flops(self, tokens: int) -> int:
        """Return the floating-point operations of training on that many tokens.

        Forward and backward are counted. By default six for each weight and token (Kaplan et al.
        2020), tables that are only looked up left out: right where every weight is used once a
        token, and nothing else costs much. Attention scores, for one, do.
        """
        used = {
            id(weight): weight.numel()
            for module in self.modules()
            if not isinstance(module, nn.Embedding)
            for weight in module.parameters(recurse=False)
        }
        return 6 * sum(used.values()) * tokens

    def drawing(self) -> Drawing | None:
        """Return the architecture as boxes and arrows, with the sizes of this model.

        None where it has no drawing.
        """
        return None

    @property
    def receptive_field(self) -> int | None:
        """How many tokens, the current one included, can change a prediction; None for no limit."""
        return None

    @property
    def token_rows(self) -> tuple[str, ...]:
        """Names of the weights that have a row, or a number, for each token.

        Tied weights are named by all their names. These grow when a vocabulary is extended; where
        none are named, it cannot be.
        """
        return ()

    def matrices(self) -> list[nn.Parameter]:
        """Return the hidden weight matrices, which an optimiser for matrices (Muon) may take.

        Embeddings and heads are left out: the default takes the weight of every `nn.Linear` that
        does not map to the vocabulary.
        """
        return [
            weight
            for module in self.modules()
            if isinstance(module, nn.Linear) and module.out_features != self.config.vocab_size
            for name, weight in module.named_parameters(recurse=False)
            if name == "weight"
        ]

    def units(self) -> Sequence[nn.Module]:
        """Return the parts whose weights need be there one part at a time (FSDP2).

        Each is called once in every pass, whatever is read, and its weights are looked at by its
        own `forward` alone. What is in none of them is there all through a pass.
        """
        return ()

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(tensor.device for tensor in itertools.chain(self.parameters(), self.buffers()))


def is_architecture(value: object) -> TypeGuard[type[Architecture]]:
    """Return whether something is a class of generators."""
    # issubclass of an abstract class asks each of its subclasses before it says no
    return isinstance(value, type) and Architecture in value.__mro__


class SequenceModel(Architecture):
    """A generator of token sequences that gives every next token a probability.

    **Streaming is `forward` with a state.** `forward(tokens)` is one fresh parallel pass, for
    training and scoring. `forward(tokens, state)` continues from a state, any T >= 1, and returns
    the state to go on from. The two agree: any split of a sequence into pieces gives the logits of
    the single pass. Where gradients are off, `forward` consumes the state that it is given and may
    write into it (`State.clone` keeps one); under autograd nothing is written in place.

    `starts` marks positions whose token is the first of a document: whatever is carried across
    positions begins anew there, so a row may hold several documents and none sees another.
    """

    @abstractmethod
    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        *,
        starts: Bool[Tensor, "B T"] | None = None,
    ) -> Output:
        """Return the logits for the token after each position.

        Args:
            tokens: (B, T).
            state: the state to go on from, as `initial_state` or the last call returned it; None
                for a fresh pass.
            starts: (B, T), marks the first tokens of documents.
        """

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """Return the state before the first token for `batch_size` rows, on the weights' device."""

    def traceable_state(self, batch_size: int) -> State:
        """Return the initial state in the form that a compiler follows.

        With it every pass takes one course, whatever the rows hold; a CPU may have a faster form.
        """
        return self.initial_state(batch_size)

    @property
    def lead(self) -> int:
        """How many earlier tokens a training window repeats, unscored.

        They give its first scored position the past that it would have. Zero for a model that sees
        an absent past as absent; the window less one where the past is padded.
        """
        return 0

    @property
    def input_embedding(self) -> nn.Embedding | None:
        """The layer that turns tokens into vectors, if everything else is computed from these."""
        return None

    def state_to_tensors(self, state: State) -> dict[str, Tensor]:
        """Return a whole state, its stores included, as tensors for a checkpoint."""
        return state.tensors

    def state_from_tensors(self, tensors: dict[str, Tensor]) -> State:
        """Make the state that `state_to_tensors` wrote."""
        return State({name: tensor.to(self.device) for name, tensor in tensors.items()})

    def branch_shares(self, tokens: Int[Tensor, "B T"]) -> dict[str, float]:
        """Return the mean share that the model gives to each branch that it weighs itself."""
        return {}

    def state_after(self, context: Int[Tensor, "B N"]) -> State:
        """Return the state of rows that have already read `context`.

        It is used to predict one position from a given past.
        """
        with torch.no_grad():
            output: Output = self(context, self.initial_state(context.shape[0]))
        assert output.state is not None
        return output.state


def parameter_count(model: nn.Module) -> int:
    """Return the number of parameters; tied weights count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def model_fields(config_type: type[ModelConfig]) -> dict[str, dataclasses.Field[Any]]:
    """Return the fields that a user may set.

    All of the configuration but what the tokenizer decides.
    """
    decided = ("vocab_size", "boundary_token")
    return {f.name: f for f in dataclasses.fields(config_type) if f.name not in decided}


def chosen_fields(config: ModelConfig) -> dict[str, Any]:
    """Return the values of the fields that a user may set, all of them written out."""
    return {name: getattr(config, name) for name in model_fields(type(config))}


def model_hints(config_type: type[ModelConfig]) -> dict[str, Any]:
    """Return the types of the fields that a user may set."""
    hints = field_hints(config_type)
    return {name: hints[name] for name in model_fields(config_type)}
