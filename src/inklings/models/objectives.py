"""The record of each objective: everything that depends on the kind of a generator.

A model names its objective in its `Traits`. The record says what contract its models keep and how
they learn; the training half (`training/objectives/`) is named by a string, so that asking about a
kind imports nothing of training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

from inklings.errors import ArchitectureError, ConfigError
from inklings.models.contract import Architecture, SequenceModel
from inklings.models.from_noise import SampleModel
from inklings.models.own_code.places import place_of
from inklings.registry import Registry


@dataclass(frozen=True, kw_only=True)
class ObjectiveRecord:
    """Everything that is known of an objective before training."""

    contract: type
    """The base class of its models: it says what they can be asked for."""
    training: str
    """Where its training half is, as `module:Class`: a subclass of
    `training.objectives.base.Objective`.
    """
    does: str
    """What its models do, to follow their name in a sentence."""
    unit: str = "nats per token"
    """The unit of the figure that weights are chosen by; lower is better."""
    without_rate: str = ""
    """Why the settings' learning rates have no effect, to follow the model's name in a sentence;
    empty where they have one.
    """
    method: str = ""
    """What its models have beside the contract, as `count`: it is how they learn."""
    one_pass: bool = False
    """Whether it learns by reading the training split once, as far as the budget goes: no gradient,
    no batches, no seeds.
    """
    likelihood: bool = False
    """Whether the figure that weights are chosen by is the likelihood of the next token, which
    guessing and counting can be held against.
    """
    learns_by_likelihood: bool = False
    """Whether it is gradient descent on the loss of the next token, at the settings' rates. Only
    such models can be a backbone, be branched, probed, or have their rates searched before a
    comparison.
    """

    @property
    def predicts_tokens(self) -> bool:
        """Whether its models give every next token a probability."""
        return issubclass(self.contract, SequenceModel)

    @property
    def makes_texts(self) -> bool:
        """Whether its models make whole texts out of noise."""
        return issubclass(self.contract, SampleModel)


LIKELIHOOD = ObjectiveRecord(
    contract=SequenceModel,
    training="inklings.training.objectives.likelihood:LikelihoodObjective",
    does="predicts token by token",
    likelihood=True,
    learns_by_likelihood=True,
)
COUNTING = ObjectiveRecord(
    contract=SequenceModel,
    training="inklings.training.objectives.counting:CountingObjective",
    does="predicts token by token",
    without_rate="counts: it has no learning rate.",
    method="count",
    one_pass=True,
    likelihood=True,
)
ADVERSARIAL = ObjectiveRecord(
    contract=SampleModel,
    training="inklings.training.objectives.adversarial:AdversarialObjective",
    does="makes whole texts out of noise and gives no probabilities",
    unit="bits of divergence",
    without_rate=(
        "learns against a critic, whose losses tell no good rate. Compare runs by their samples."
    ),
)

OBJECTIVES: Registry[ObjectiveRecord] = Registry(
    "objective",
    {
        "likelihood": "inklings.models.objectives:LIKELIHOOD",
        "counting": "inklings.models.objectives:COUNTING",
        "adversarial": "inklings.models.objectives:ADVERSARIAL",
    },
)
"""Every objective by the name that `Traits.objective` gives."""


def objective_of(model: Architecture | type[Architecture]) -> ObjectiveRecord:
    """Return the record of the objective that a model, or its class, declares.

    Raises:
        ArchitectureError: there is no objective of that name, or the model does not keep the
            contract of those that it trains.
    """
    kind, name = model if isinstance(model, type) else type(model), model.traits.objective
    try:
        record = OBJECTIVES[name]
    except ConfigError as error:
        where = place_of(kind, "traits")
        raise ArchitectureError(f"{where}: {kind.__name__}.traits: {error}") from error
    if not issubclass(kind, record.contract):
        raise ArchitectureError(
            f"{kind.__name__} declares the objective {name!r}, which trains a"
            f" {record.contract.__name__}, and it is none."
        )
    if record.method and not callable(getattr(kind, record.method, None)):
        raise ArchitectureError(
            f"{kind.__name__} declares the objective {name!r}, and has no method"
            f" `{record.method}`, by which such models learn."
        )
    return record


def predicts_tokens(model: Architecture) -> TypeGuard[SequenceModel]:
    """Return whether the model gives every next token a probability."""
    return objective_of(model).predicts_tokens


def makes_texts(model: Architecture) -> TypeGuard[SampleModel]:
    """Return whether the model makes whole texts out of noise."""
    return objective_of(model).makes_texts


def has_likelihood(model: Architecture | type[Architecture]) -> bool:
    """Return whether a text can be scored: the model predicts tokens, and by a distribution."""
    return objective_of(model).predicts_tokens and model.traits.has_likelihood


def predictor(model: Architecture, what: str) -> SequenceModel:
    """Return the model as one that predicts tokens.

    Raises:
        ArchitectureError: it does not; `what` says what would need that.
    """
    if predicts_tokens(model):
        return model
    judged = (
        " Its texts are judged by `inklings evaluate RUN --samples 3000`, beside likelihood models"
        " too."
        if makes_texts(model)
        else ""
    )
    raise ArchitectureError(
        f"{type(model).__name__} {objective_of(model).does}, and {what} needs probabilities of the"
        f" next token.{judged}"
    )


def refuse_silent(model: Architecture | type[Architecture], what: str) -> None:
    """Raise an `ArchitectureError` where a model neither predicts tokens nor makes texts.

    `what` says what would need one of the two.
    """
    record, kind = objective_of(model), model if isinstance(model, type) else type(model)
    if not (record.predicts_tokens or record.makes_texts):
        raise ArchitectureError(
            f"{kind.__name__} {record.does}: it neither gives the next token a probability"
            f" nor makes texts, and {what} needs one of the two. What it was trained for was"
            f" measured on the way, in {record.unit}: see the run's metrics.jsonl."
        )
