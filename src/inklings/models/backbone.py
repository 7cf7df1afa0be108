"""The backbone: a model inside another, named as everywhere else.

`NAME[:field=value,...]` or `FILE.py:CLASS[:field=value,...]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inklings.errors import ArchitectureError, unknown_name
from inklings.fields import parse_fields
from inklings.models.contract import ModelConfig, SequenceModel, model_fields, model_hints
from inklings.models.objectives import objective_of, predictor
from inklings.models.registry import build, load_class, split_name


def make_backbone(name: str, config: ModelConfig) -> SequenceModel:
    """Make the model that `name` describes, with fresh weights.

    It gets the vocabulary of `config`, and its context unless the name gives one.

    Raises:
        ArchitectureError: the architecture is unknown, cannot be loaded, or is not one that a
            memory can be added to.
        ConfigError: a field or a value cannot be used.
    """
    architecture, given = split_name(name)
    kind = load_class(architecture)
    # before anything of it is built: it may name others in turn
    if not objective_of(kind).learns_by_likelihood or kind.wraps is not None:
        raise ArchitectureError(
            f"{name!r} cannot be a backbone: it must learn by likelihood and have none of its own."
            " Try gpt2."
        )
    fields = parse_model_fields(architecture, given)
    if "context_length" in model_fields(kind.Config):
        fields.setdefault("context_length", config.context_length)
    made = build(
        architecture, fields, vocab_size=config.vocab_size, boundary_token=config.boundary_token
    )
    return predictor(made, "a backbone")


def parse_model_fields(architecture: str, text: str | None) -> dict[str, Any]:
    """Parse `field=value,...` to fields of an architecture's configuration.

    Raises:
        ArchitectureError: the architecture is unknown or cannot be loaded.
        ConfigError: a part has another form, the field is unknown, or the value is of another type.
    """
    hints = model_hints(load_class(architecture).Config)
    return parse_fields(
        hints,
        text or "",
        where=architecture,
        unknown=lambda name: unknown_name(f"field of {architecture}", name, hints),
    )


def written_out(architecture: str, fields: Mapping[str, Any]) -> str:
    """Write the name that `make_backbone` reads back as these."""
    parts = [
        f"{key}={'/'.join(map(str, value)) if isinstance(value, tuple | list) else value}"
        for key, value in fields.items()
    ]
    return architecture + (":" + ",".join(parts) if parts else "")
