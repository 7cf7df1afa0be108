"""The form of ONNX: one graph with the state as explicit inputs and outputs."""

from __future__ import annotations

from inklings.config import RunConfig
from inklings.interop.exports.form import Form, any_length, no_notes
from inklings.models.contract import SequenceModel
from inklings.models.registry import ADAPTERS, ARCHITECTURES, load_class
from inklings.registry import Registry


def _takes(config: RunConfig) -> bool:
    """Return whether a graph may hold the model; the exporter has the last word on anybody's own.

    A user's file is not opened here: the run asks first whether it is trusted.
    """
    if config.architecture not in {**ARCHITECTURES, **ADAPTERS}:
        return True
    kind = load_class(config.architecture)
    return issubclass(kind, SequenceModel) and kind.untraceable is None


GRAPH = Form(
    name="graph",
    class_name="graph with its state",
    arm="gpt, gpt2, mlp, recurrent, tree_wavenet, wavegpt, wavenet, and your own where PyTorch's"
    " exporter can follow it",
    takes=_takes,
    reach=any_length,
    notes=no_notes,
    loading="No code of Inklings and no PyTorch is needed to load it.",
)

FORMS: Registry[Form] = Registry(
    "form of ONNX", {"graph": "inklings.interop.to_onnx.graph_forms:GRAPH"}
)
"""Every form by its name; the first that takes a run is the one."""
