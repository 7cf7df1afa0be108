"""A kind of import: whose models become which of ours, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from inklings.interop.imports.foreign_folder import ModelFolder
from inklings.models.contract import SequenceModel
from inklings.registry import Registry


@dataclass(frozen=True, kw_only=True)
class ImportKind:
    """Models of one make, and how they become ours."""

    name: str
    """The `model_type` of their config.json."""
    architecture: str
    """The name, in our registry, of the architecture that takes their weights."""
    load: Callable[[ModelFolder, int, int], SequenceModel]
    """Return the model for a number of tokens and the boundary among them; the folder may have
    more, which are cut off. Raises `ForeignFormError` where the form is not ours.
    """


KINDS: Registry[ImportKind] = Registry(
    "kind of import",
    {
        "gpt2": "inklings.interop.imports.from_gpt2:GPT2_KIND",
        "qwen3": "inklings.interop.imports.from_gated_decoder:QWEN3_KIND",
        "llama": "inklings.interop.imports.from_gated_decoder:LLAMA_KIND",
        "mistral": "inklings.interop.imports.from_gated_decoder:MISTRAL_KIND",
        "nanochat": "inklings.interop.imports.from_nanochat:NANOCHAT_KIND",
        "as-it-is": "inklings.interop.imports.as_it_is:AS_IT_IS",
    },
)
"""Every kind by the `model_type` that it takes; the last takes any causal model, and has to be
asked for.
"""
