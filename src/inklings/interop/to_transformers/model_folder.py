"""The target `transformers`: a folder that `AutoModelForCausalLM` opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from inklings.auditing.probes import TOLERANCE
from inklings.durable import write_bytes, write_json
from inklings.errors import ArchitectureError, import_extra
from inklings.interop.exports.form import Form
from inklings.interop.exports.target import Leaving, Reader, Target
from inklings.interop.to_transformers.forms import FORMS, TransformersForm
from inklings.interop.to_transformers.vocabulary import why_absent, write_tokenizer
from inklings.models.adapters.hugging_face import load_hugging_face

USE = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}")
prompt = tokenizer("", return_tensors="pt")
written = model.generate(**prompt, max_new_tokens=40, do_sample=True)
print(tokenizer.decode(written[0], skip_special_tokens=True))
```
"""

USE_WITHOUT_TOKENIZER = """\
```python
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("{folder}")
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
    if not hasattr(transformers, form.class_name):
        raise ArchitectureError(
            f"transformers {version} has no {form.class_name}. Install a newer one."
        )
    return {"transformers": version, "torch": torch.__version__}


def write(leaving: Leaving, with_tokenizer: bool) -> None:
    """Write configuration, weights, and the tokenizer if it is to come along."""
    folder, model, form = leaving.path, leaving.model, leaving.form
    assert isinstance(form, TransformersForm)
    boundary = model.config.boundary_token
    ends = {"bos_token_id": boundary, "eos_token_id": boundary}
    settings = {
        "architectures": [form.class_name],
        "dtype": leaving.precision,
        **form.settings(model),
        **ends,
    }
    write_json(folder / "config.json", settings)
    write_json(folder / "generation_config.json", {**ends, "pad_token_id": boundary})
    tensors = {
        name: tensor.detach().to("cpu", torch.float32).contiguous().clone()
        for name, tensor in form.tensors(model).items()
    }
    data = safetensors.torch.save(tensors, metadata={"format": "pt"})
    write_bytes(folder / "model.safetensors", data)
    write_tokenizer(
        leaving.tokenizer if with_tokenizer else None, folder, longest=form.reach(model)
    )


def read(leaving: Leaving) -> Reader:
    """Open the folder as anybody would."""
    loaded = load_hugging_face(str(leaving.path))
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


def use(form: Form, name: str, with_tokenizer: bool) -> str:
    """Return how a folder is used, as Markdown.

    Args:
        form: what it holds.
        name: of the folder.
        with_tokenizer: whether a tokenizer is there.
    """
    del form  # all are used alike
    return (USE if with_tokenizer else USE_WITHOUT_TOKENIZER).format(folder=name)


def next_command(path: Path) -> str:
    """Return the audit of what was written."""
    return f"inklings audit hf:{path}"


TRANSFORMERS = Target(
    name="transformers",
    path="DIR",
    becomes="a model of transformers",
    forms=FORMS,
    why_not="transformers has no class with its layers, and an exported model has to load without"
    " code of ours",
    precisions={"float32": TOLERANCE},
    prepare=prepare,
    why_no_tokenizer=why_absent,
    write=write,
    read=read,
    use=use,
    next=next_command,
)
