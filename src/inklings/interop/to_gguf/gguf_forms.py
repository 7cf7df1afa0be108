"""A form of GGUF: an architecture of llama.cpp that computes the same as a model of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inklings.interop.exports.form import Form
from inklings.interop.to_transformers.forms import TransformersForm
from inklings.registry import Registry

if TYPE_CHECKING:
    from gguf import TensorNameMap


@dataclass(frozen=True, kw_only=True)
class GgufForm(Form):
    """An architecture of llama.cpp, told by its twin: the class of `transformers` that it is."""

    twin: TransformersForm
    """Gives settings and weights; the library `gguf` knows the names of the weights in a file."""
    keys: Mapping[str, str]
    """Settings of the twin by their keys in a file, which stand behind the form's name."""
    turned: tuple[str, ...] = ()
    """What the twin's matrices end with that are stored (inputs, outputs); in a file rows are
    outputs.
    """
    paired: tuple[str, ...] = ()
    """What the twin's matrices end with whose channels that turn together are neighbours in a file;
    in the twin they stand half a head apart.
    """


FORMS: Registry[Form] = Registry(
    "form of GGUF",
    {
        "gpt2": "inklings.interop.to_gguf.gguf_gpt2:GPT2_FILE",
        "qwen3": "inklings.interop.to_gguf.gguf_qwen3:QWEN3_FILE",
        "llama": "inklings.interop.to_gguf.gguf_llama:LLAMA_FILE",
    },
)
"""Every form by its name; the first that takes a run is the one."""


def names_in_file(form: GgufForm, n_layer: int) -> TensorNameMap:
    """Return what gives weights of the twin the names that they have in a file."""
    import gguf

    return gguf.get_tensor_name_map(gguf.MODEL_ARCH[form.name.upper()], n_layer)
