"""A form of transformers: a class there that computes the same as a model of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from inklings.interop.exports.form import Form
from inklings.interop.exports.target import Leaving
from inklings.registry import Registry


@dataclass(frozen=True, kw_only=True)
class TransformersForm(Form):
    """A class of `transformers`, and how a model of ours becomes one, tensor for tensor."""

    settings: Callable[[Any], dict[str, Any]]
    """The content of config.json for a model, without what all forms have."""
    tensors: Callable[[Any], dict[str, Tensor]]
    """The weights under the names that they have there."""
    module: str = "transformers"
    """Where the class is found: what has to be imported."""
    code: Callable[[Leaving], Mapping[str, str]] | None = None
    """Files of Python code, by their names, which lie beside the weights and are run when it is
    loaded, with `trust_remote_code=True` alone; None where there are none.
    """


FORMS: Registry[Form] = Registry(
    "form of transformers",
    {
        "gpt2": "inklings.interop.to_transformers.gpt2:GPT2_FORM",
        "qwen3": "inklings.interop.to_transformers.qwen3:QWEN3",
        "mistral": "inklings.interop.to_transformers.mistral:MISTRAL",
        "nanochat": "inklings.interop.to_transformers.nanochat:NANOCHAT",
        "inklings": "inklings.interop.to_transformers.registered_form:REGISTERED",
        "own_code": "inklings.interop.to_transformers.own_code_form:OWN_CODE",
    },
)
"""Every form by its name; the first that takes a run is the one."""
