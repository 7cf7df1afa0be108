"""The target `gguf`: a file that llama.cpp, and what is built on it, opens."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inklings.auditing.probes import TOLERANCE
from inklings.config import RunConfig
from inklings.errors import ArchitectureError, import_extra
from inklings.interop.exports.form import Form
from inklings.interop.exports.target import Leaving, Target
from inklings.interop.to_gguf.gguf_forms import FORMS, GgufForm, names_in_file
from inklings.interop.to_gguf.gguf_vocabulary import Vocabulary, vocabulary_of, why_absent
from inklings.interop.to_gguf.reading_back import read
from inklings.interop.to_transformers.rotary_model import neighbours

BLOCK = 32
"""Numbers of a row that share a scale where weights have eight bits."""
STORED = {
    "float32": ("F32", "ALL_F32"),
    "float16": ("F16", "MOSTLY_F16"),
    "q8_0": ("Q8_0", "MOSTLY_Q8_0"),
}
"""Of each precision, the types of the matrices and of the file, as `gguf` names them."""
QUANTIZATION_VERSION = 2


def prepare(form: Form) -> dict[str, str]:
    """Return the versions of what writes and reads a form.

    Raises:
        MissingExtraError: `gguf` or `transformers` is not installed.
        ArchitectureError: the installed `transformers` lacks the class that reads it back.
    """
    assert isinstance(form, GgufForm)
    import_extra("gguf", "export to gguf", "gguf")
    transformers = import_extra("transformers", "export to gguf", "gguf")
    if not hasattr(transformers, form.twin.class_name):
        raise ArchitectureError(
            f"transformers {transformers.__version__} has no {form.twin.class_name}, by which an"
            " exported file is compared. Install a newer one."
        )
    return {"gguf": version("gguf"), "transformers": transformers.__version__}


def write(leaving: Leaving, with_tokenizer: bool) -> None:
    """Write the file.

    Raises:
        ArchitectureError: its rows cannot be stored with so many bits.
    """
    import gguf

    assert with_tokenizer, "llama.cpp takes no file without one"
    model, form = leaving.model, leaving.form
    assert isinstance(form, GgufForm)
    tensors = _tensors(form, model)
    if leaving.precision == "q8_0":
        _refuse_widths(tensors)
    of_matrices, of_file = STORED[leaving.precision]
    writer = gguf.GGUFWriter(leaving.path, form.name)
    writer.add_type("model")
    writer.add_name(leaving.path.stem)
    writer.add_file_type(gguf.LlamaFileType[of_file])
    writer.add_quantization_version(QUANTIZATION_VERSION)
    settings = {
        **form.twin.settings(model),
        form.keys["context_length"]: form.reach(model),
    }
    for key, name in form.keys.items():
        value = settings[name]
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"{form.name}.{key}", value)
    _add_vocabulary(writer, vocabulary_of(leaving.tokenizer, leaving.model.config.opening))
    for name, tensor in tensors.items():
        kind = of_matrices if _is_matrix(name, tensor) else "F32"
        stored = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name, gguf.quantize(tensor, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(form: GgufForm, model: Any) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Return the weights in float32 by their names in a file."""
    names = names_in_file(form, model.config.n_layer)
    found = {}
    for theirs, tensor in form.twin.tensors(model).items():
        name = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        assert name is not None, theirs
        laid = tensor.T if theirs.endswith(form.turned) else tensor
        if theirs.endswith(form.paired):
            laid = neighbours(laid, model.config.n_head)
        found[name] = laid.detach().to("cpu", torch.float32).contiguous().numpy()
    return found


def _is_matrix(name: str, tensor: np.ndarray[Any, Any]) -> bool:
    """Return whether a tensor is multiplied with; llama.cpp wants all others in float32."""
    return tensor.ndim == 2 and name != "position_embd.weight"


def _refuse_widths(tensors: dict[str, np.ndarray[Any, Any]]) -> None:
    """Refuse rows that blocks do not fill.

    Raises:
        ArchitectureError: there are such rows.
    """
    widths = sorted(
        {
            tensor.shape[1]
            for name, tensor in tensors.items()
            if _is_matrix(name, tensor) and tensor.shape[1] % BLOCK
        }
    )
    if widths:
        raise ArchitectureError(
            f"q8_0 stores rows in blocks of {BLOCK} numbers, and rows of this model have"
            f" {' and '.join(map(str, widths))}. Take `--precision float16`, or train with n_embd a"
            " multiple of 96 (of 32 for gpt2), as in configs/portable.toml: with it all rows are"
            f" multiples of {BLOCK}."
        )


def _add_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre("gpt-2" if vocabulary.model == "gpt2" else "default")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.model == "gpt2":
        writer.add_token_merges(vocabulary.merges)
    else:
        writer.add_token_scores([0.0] * len(vocabulary.tokens))
    writer.add_add_space_prefix(False)
    writer.add_bos_token_id(vocabulary.opening)
    writer.add_eos_token_id(vocabulary.boundary)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)


def why_not(config: RunConfig, initial: str | None) -> str:
    """Return why no form takes a run with these settings; where it came from says nothing."""
    del initial
    ways = [way for form in FORMS if (way := form.in_the_way(config)) is not None]
    if not ways:
        return "llama.cpp has no architecture with its layers"
    nearest = min(ways, key=lambda way: len(way))
    return f"llama.cpp has no architecture that is it with {' and '.join(nearest)}"


def next_command(form: Form, path: Path) -> str:
    """Return the command that serves the file."""
    del form  # all are served alike
    return f"llama-server -m {path}"


GGUF = Target(
    name="gguf",
    path="FILE",
    becomes="a file for llama.cpp",
    forms=FORMS,
    why_not=why_not,
    precisions={"float32": TOLERANCE, "float16": 20 * TOLERANCE, "q8_0": None},
    prepare=prepare,
    why_no_tokenizer=why_absent,
    needs_tokenizer=True,
    write=write,
    read=read,
    use=None,
    next=next_command,
)
