"""Every other architecture that predicts token by token, as the class that our import registers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from inklings.config import RunConfig
from inklings.interop.exports.form import any_length, no_notes
from inklings.interop.to_transformers.forms import TransformersForm
from inklings.models.contract import SequenceModel
from inklings.models.objectives import has_likelihood
from inklings.models.registry import available, load_class
from inklings.runs.tensors.ties import shared_names
from inklings.runs.user_code import named_code

CLASSES = "inklings.interop.transformers"
"""The module that is imported to load it."""
PREFIX = "model."
"""What the names of weights begin with there."""


def _weights(model: SequenceModel) -> dict[str, Tensor]:
    """Return weights and tables under their own names, each once."""
    state = model.state_dict()
    ties = shared_names(state)
    return {f"{PREFIX}{name}": tensor for name, tensor in state.items() if name not in ties}


def _settings(model: SequenceModel) -> dict[str, Any]:
    # forms are listed where transformers is not installed
    from inklings.interop.registered.inklings_config import InklingsConfig, settings_of

    return {"model_type": InklingsConfig.model_type, **settings_of(model)}


def _takes(config: RunConfig) -> bool:
    # what has no name cannot be found by a process that opens the folder
    if named_code(config) or config.architecture not in available():
        return False
    return has_likelihood(load_class(config.architecture))


REGISTERED = TransformersForm(
    name="inklings",
    class_name="InklingsForCausalLM",
    arm="every other architecture that gives the next token a probability",
    takes=_takes,
    settings=_settings,
    tensors=_weights,
    reach=any_length,
    notes=no_notes,
    module=CLASSES,
    loading=f"To load it, Inklings has to be installed, and `import {CLASSES}` comes first.",
)
