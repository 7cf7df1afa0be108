"""The configuration of a registered model: an architecture of ours by its name, and its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from inklings.config import RunConfig
from inklings.errors import ArchitectureError
from inklings.models.contract import Architecture, SequenceModel, chosen_fields
from inklings.models.registry import available, load_class
from inklings.runs.tensors.ties import shared_names
from inklings.runs.user_code import named_code
from inklings.values import from_mapping


class InklingsConfig(PretrainedConfig):
    """What `config.json` says of a model: enough to build it, but for its weights."""

    model_type = "inklings"

    def __init__(
        self,
        architecture: str = "gpt",
        fields: Mapping[str, Any] | None = None,
        vocab_size: int = 256,
        boundary_token: int = 0,
        table_sizes: Mapping[str, list[int]] | None = None,
        **others: Any,
    ) -> None:
        """Keep the settings.

        Args:
            architecture: its name, as `inklings models` lists it, or FILE.py:CLASS of a file beside
                the weights.
            fields: those of its configuration that are not at their defaults, or all of them.
            vocab_size: V.
            boundary_token: opens every text, and ends the one before.
            table_sizes: shapes of the tensors whose sizes only the training text decides.
            others: what every configuration of transformers has.
        """
        self.architecture = architecture
        self.fields = dict(fields or {})
        self.vocab_size = vocab_size
        self.boundary_token = boundary_token
        self.table_sizes = {name: list(shape) for name, shape in (table_sizes or {}).items()}
        ends = {"bos_token_id": boundary_token, "eos_token_id": boundary_token}
        super().__init__(**{**ends, **others})


def settings_of(model: SequenceModel, architecture: str | None = None) -> dict[str, Any]:
    """Return what `InklingsConfig` takes to describe a model.

    `architecture` is what to call its class; None takes its name in the registry.

    Raises:
        ArchitectureError: its class has no name there.
    """
    config = model.config
    settings: dict[str, Any] = {
        "architecture": architecture or _name_of(type(model)),
        "fields": chosen_fields(config),
        "bos_token_id": config.opening,
        "vocab_size": config.vocab_size,
        "boundary_token": config.boundary_token,
        "tie_word_embeddings": bool(shared_names(model.state_dict())),
    }
    fresh = built(InklingsConfig(**settings), type(model)).state_dict()
    settings["table_sizes"] = {
        name: list(tensor.shape)
        for name, tensor in model.state_dict().items()
        if tensor.shape != fresh[name].shape
    }
    return settings


def built(config: InklingsConfig, kind: type[Architecture] | None = None) -> SequenceModel:
    """Build the model with fresh weights, and room for its tables.

    `kind` is the class; None looks the name up in the registry, and runs no code of the folder.

    Raises:
        ArchitectureError: its name is not known here, it is code, or it does not predict token by
            token.
        ConfigError: a field is unknown, of the wrong type, or out of range.
    """
    kind = kind or _class_of(config)
    given = {
        **config.fields,
        "vocab_size": config.vocab_size,
        "boundary_token": config.boundary_token,
    }
    model = kind(from_mapping(kind.Config, given, where=f"model {config.architecture}"))
    if not isinstance(model, SequenceModel):
        raise ArchitectureError(
            f"{config.architecture} does not predict token by token, as models of `generate` do."
        )
    for name, shape in config.table_sizes.items():
        owner, _, own_name = name.rpartition(".")
        table = model.get_buffer(name)
        model.get_submodule(owner).register_buffer(own_name, table.new_zeros(shape))
    return model


def _class_of(config: InklingsConfig) -> type[Architecture]:
    code = named_code(RunConfig(architecture=config.architecture, model=config.fields))
    if code:
        raise ArchitectureError(
            f"{', '.join(code)} is Python code. Where it lies beside the weights, read it; if you"
            " trust it, load the model with trust_remote_code=True. Code that is named elsewhere"
            " is never run."
        )
    return load_class(config.architecture)


def _name_of(kind: type[Architecture]) -> str:
    for name, place in available().items():
        if place.partition(":")[2] == kind.__qualname__ and load_class(name) is kind:
            return name
    raise ArchitectureError(
        f"{kind.__name__} has no name by which another process could find it. A package gives it"
        " one: an entry point in the group `inklings.models`."
    )
