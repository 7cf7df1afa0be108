"""The target `transformers`: a folder that `AutoModelForCausalLM` opens."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from inklings.auditing.probes import TOLERANCE
from inklings.config import RunConfig
from inklings.durable import write_bytes, write_json
from inklings.errors import ArchitectureError, import_extra
from inklings.interop.any_causal_model import load_any_causal
from inklings.interop.exports.form import Form
from inklings.interop.exports.target import Leaving, Reader, Target
from inklings.interop.exports.tokenizer_files import why_absent, write_tokenizer
from inklings.interop.to_transformers.forms import FORMS, TransformersForm
from inklings.models.objectives import objective_of
from inklings.models.registry import ADAPTERS, load_class
from inklings.runs.user_code import named_code

USE = """\
```python
{first}from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}"{how})
prompt = tokenizer("", return_tensors="pt")
written = model.generate(**prompt, max_new_tokens=40, do_sample=True)
print(tokenizer.decode(written[0], skip_special_tokens=True))
```
"""

USE_WITHOUT_TOKENIZER = """\
```python
{first}from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("{folder}"{how})
```
"""


def prepare(form: Form) -> dict[str, str]:
    """Return the versions of what writes and reads a form.

    Raises:
        MissingExtraError: `transformers` is not installed.
        ArchitectureError: the installed version lacks the class.
    """
    transformers = import_extra("transformers", "export to transformers", "transformers")
    version = transformers.__version__
    assert isinstance(form, TransformersForm)
    if not hasattr(importlib.import_module(form.module), form.class_name):
        raise ArchitectureError(
            f"transformers {version} has no {form.class_name}. Install a newer one."
        )
    return {"transformers": version, "torch": torch.__version__}


def write(leaving: Leaving, with_tokenizer: bool) -> None:
    """Write configuration, weights, and the tokenizer if it is to come along."""
    folder, model, form = leaving.path, leaving.model, leaving.form
    assert isinstance(form, TransformersForm)
    boundary, opening = model.config.boundary_token, model.config.opening
    ends = {"bos_token_id": opening, "eos_token_id": boundary}
    settings = {
        "architectures": [form.class_name],
        "dtype": leaving.precision,
        **form.settings(model),
        **ends,
    }
    write_json(folder / "config.json", settings)
    write_json(folder / "generation_config.json", {**ends, "pad_token_id": boundary})
    tensors = {
        name: tensor.detach().to("cpu", dtype_of(tensor)).contiguous().clone()
        for name, tensor in form.tensors(model).items()
    }
    data = safetensors.torch.save(tensors, metadata={"format": "pt"})
    for name, text in (form.code(leaving) if form.code else {}).items():
        write_bytes(folder / name, text.encode())
    write_bytes(folder / "model.safetensors", data)
    tokenizer = leaving.tokenizer if with_tokenizer else None
    write_tokenizer(tokenizer, folder, opening=opening, longest=form.reach(model))


def read(leaving: Leaving) -> Reader:
    """Open the folder as anybody would."""
    loaded = load_any_causal(str(leaving.path), trust_code=leaving.form.code is not None)
    theirs: Any = loaded.tokenizer
    return Reader(
        logits=lambda tokens: loaded.inner(input_ids=tokens).logits,
        encode=None
        if theirs is None
        else lambda text: list(theirs(text, verbose=False)["input_ids"]),
        decode=None
        if theirs is None
        else lambda tokens: str(theirs.decode(tokens, skip_special_tokens=True)),
    )


def dtype_of(tensor: Tensor) -> torch.dtype:
    """Return what a tensor is stored as: tables of whole numbers stay what they are."""
    return torch.float32 if tensor.is_floating_point() else tensor.dtype


def use(form: Form, name: str, with_tokenizer: bool) -> str:
    """Return how a folder is used, as Markdown.

    Args:
        form: what it holds.
        name: of the folder.
        with_tokenizer: whether a tokenizer is there.
    """
    assert isinstance(form, TransformersForm)
    own = form.module == "transformers"
    return (USE if with_tokenizer else USE_WITHOUT_TOKENIZER).format(
        folder=name,
        first="" if own else f"import {form.module}  # lets transformers know the model\n",
        how=", trust_remote_code=True" if form.code else "",
    )


def next_command(form: Form, path: Path) -> str:
    """Return the audit of what was written."""
    assert isinstance(form, TransformersForm)
    return f"inklings audit hf:{path} --trust-code" if form.code else f"inklings audit hf:{path}"


def why_not(config: RunConfig, initial: str | None) -> str:
    """Return why no form takes a run with these settings, whose weights began as `initial`."""
    if config.architecture in ADAPTERS:
        source = initial or "what it was imported from"
        return f"it is a model of transformers as it came, and {source} is that model already"
    inner = [name for name in named_code(config) if name != config.architecture]
    if inner:
        return (
            f"{', '.join(inner)} is code of your own inside another architecture, which a process"
            " that opens the export could not find. Make it a package with an entry point in the"
            " group `inklings.models`, and train with its name"
        )
    does = objective_of(load_class(config.architecture)).does
    return f"it {does}, and transformers draws token after token from probabilities"


TRANSFORMERS = Target(
    name="transformers",
    path="DIR",
    becomes="a model of transformers",
    forms=FORMS,
    why_not=why_not,
    precisions={"float32": TOLERANCE},
    prepare=prepare,
    why_no_tokenizer=why_absent,
    write=write,
    read=read,
    use=use,
    next=next_command,
)
