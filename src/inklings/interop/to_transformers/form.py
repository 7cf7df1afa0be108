"""A form in which a model is exported: a class of `transformers` that computes the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from inklings.config import RunConfig
from inklings.errors import ArchitectureError
from inklings.models.backbone import written_out
from inklings.models.contract import SequenceModel
from inklings.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Form:
    """A class of `transformers`, and how a model of ours becomes one, tensor for tensor."""

    name: str
    """As the registry and the exported folder name it."""
    class_name: str
    """The class of `transformers`, which needs no code of ours."""
    architecture: str
    """The architecture of ours that it takes."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The fields that it must have, with their values."""
    settings: Callable[[Any], dict[str, Any]]
    """The content of config.json for a model, without what all forms have."""
    tensors: Callable[[Any], dict[str, Tensor]]
    """The weights under the names that they have there."""
    reach: Callable[[SequenceModel], int]
    """How many tokens of one text it reads as the run does."""
    notes: Callable[[Any], tuple[str, ...]]
    """Sentences that say in what the exported model is other than the run."""

    @property
    def arm(self) -> str:
        """What it takes, as ARM on the command line."""
        return written_out(self.architecture, self.fields)

    def takes(self, config: RunConfig) -> bool:
        """Return whether a run with these settings can be exported in this form."""
        return config.architecture == self.architecture and all(
            config.model.get(name) == value for name, value in self.fields.items()
        )


FORMS: Registry[Form] = Registry(
    "form of export",
    {
        "gpt2": "inklings.interop.to_transformers.gpt2:GPT2_FORM",
        "qwen3": "inklings.interop.to_transformers.qwen3:QWEN3",
        "nanochat": "inklings.interop.to_transformers.nanochat:NANOCHAT",
    },
)
"""Every form by its name; the first that takes a run is the one."""


def form_of(config: RunConfig) -> Form:
    """Return the form in which a run with these settings is exported.

    Raises:
        ArchitectureError: there is none; the message names what can be exported.
    """
    for form in FORMS:
        if form.takes(config):
            return form
    can = ", ".join(f"{form.arm} (as {form.class_name})" for form in FORMS)
    raise ArchitectureError(
        f"{config.architecture} cannot be exported: transformers has no class with its layers, and"
        " an exported model has to load without code of ours. What can be exported:"
        f" {can}."
    )
