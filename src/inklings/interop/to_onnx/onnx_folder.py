"""The target `onnx`: a folder with a graph, what its state begins with, and the tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inklings.auditing.probes import TOLERANCE
from inklings.config import RunConfig
from inklings.durable import write_bytes, write_json
from inklings.errors import ArchitectureError, import_extra
from inklings.interop.exports.form import Form
from inklings.interop.exports.target import Leaving, Reader, Target
from inklings.interop.exports.tokenizer_files import FILES, why_absent, write_tokenizer
from inklings.interop.to_onnx.graph_forms import FORMS
from inklings.interop.to_onnx.step_graph import AFTER, LOGITS, TOKENS, stream_graph
from inklings.models.contract import SequenceModel
from inklings.models.registry import load_class

GRAPH_FILE, STREAM_FILE = "model.onnx", "stream.json"
LONGEST_PIECE = 64
"""Tokens that the reader reads in one call before it goes on token by token."""

USE = """\
```python
import json, pathlib
import numpy, onnxruntime{imports}

folder = pathlib.Path("{folder}")
session = onnxruntime.InferenceSession(folder / "model.onnx")
stream = json.loads((folder / "stream.json").read_text())
parts = {{part["name"]: part for part in stream["state"]}}
state = {{
    name: numpy.full([1, *part["shape"]], part["fill"], part["dtype"])
    for name, part in parts.items()
}}
{begin}
written = []
for _ in range(40):
    logits, *after = session.run(None, {{"tokens": numpy.array([tokens]), **state}})
    state = dict(zip(parts, after))
    chances = numpy.exp(logits[0, -1] - logits[0, -1].max())
    tokens = [int(numpy.random.choice(len(chances), p=chances / chances.sum()))]
    if tokens[0] == stream["boundary"]:
        break
    written += tokens
{end}
```

`tokens` are (batch, time), any number of either: a prompt goes in at once, what is written token by
token. `stream.json` says what the state is before the first token; every call gives the next one.
"""


def prepare(form: Form) -> dict[str, str]:
    """Return the versions of what writes and reads a graph.

    Raises:
        MissingExtraError: `onnx`, `onnxscript` or `onnxruntime` is not installed.
    """
    del form  # there is one
    names = ("onnx", "onnxscript", "onnxruntime")
    found = {name: import_extra(name, "export to onnx", "onnx").__version__ for name in names}
    return {**found, "torch": torch.__version__}


def write(leaving: Leaving, with_tokenizer: bool) -> None:
    """Write the graph, what it is given and gives, and the tokenizer if it is to come along."""
    folder, model = leaving.path, leaving.model
    if not (folder / GRAPH_FILE).exists():  # a second call is about the tokenizer alone
        write_graph(model, folder)
    tokenizer, opening = leaving.tokenizer if with_tokenizer else None, model.config.opening
    write_tokenizer(tokenizer, folder, opening=opening, longest=leaving.form.reach(model))


def write_graph(model: SequenceModel, folder: Path) -> None:
    """Write the graph of a model, and what it begins with."""
    write_bytes(folder / GRAPH_FILE, stream_graph(model).SerializeToString())
    write_json(folder / STREAM_FILE, _description(model))


def _description(model: SequenceModel) -> dict[str, Any]:
    """Return what is needed to begin: the state before the first token, and the boundary."""
    return {
        "format_version": 1,
        "graph": GRAPH_FILE,
        "vocab_size": model.config.vocab_size,
        "boundary": model.config.boundary_token,
        TOKENS: {"name": TOKENS, "shape": ["batch", "time"], "dtype": "int64"},
        LOGITS: {
            "name": LOGITS,
            "shape": ["batch", "time", model.config.vocab_size],
            "dtype": "float32",
        },
        "state": [_part(name, tensor) for name, tensor in model.traceable_state(1).tensors.items()],
    }


def _part(name: str, tensor: Tensor) -> dict[str, Any]:
    """Return a part of the state: its shape without the batch, and the one number it is full of."""
    fill = tensor.flatten()[0].item() if tensor.numel() else 0
    if not bool((tensor == fill).all()):
        raise ArchitectureError(
            f"its state begins with different numbers in {name}, and a graph's state begins with"
            " one number everywhere. Let the initial state be zeros."
        )
    return {
        "name": name,
        "after": AFTER + name,
        "shape": list(tensor.shape[1:]),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "fill": fill,
    }


def read(leaving: Leaving) -> Reader:
    """Open the folder with onnxruntime and `tokenizers` alone."""
    import onnxruntime

    folder = leaving.path
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        folder / GRAPH_FILE, options, providers=["CPUExecutionProvider"]
    )
    parts = json.loads((folder / STREAM_FILE).read_bytes())["state"]

    def logits(tokens: Int[Tensor, "1 T"]) -> Float[Tensor, "1 T V"]:
        # Beside the text goes the same from its end, which its row is not to see. The first tokens
        # are read in one call, all that follow one by one.
        rows = torch.cat((tokens, tokens.flip(1))).numpy()
        first = min(LONGEST_PIECE, rows.shape[1] - 1)
        state = {
            part["name"]: np.full([len(rows), *part["shape"]], part["fill"], part["dtype"])
            for part in parts
        }
        found = []
        for piece in np.split(rows, range(first, rows.shape[1]), axis=1):
            said, *after = session.run(None, {TOKENS: piece, **state})
            state = dict(zip(state, after, strict=True))
            found.append(said[:1])
        return torch.from_numpy(np.concatenate(found, axis=1))

    if not (folder / FILES[0]).exists():
        return Reader(logits=logits, encode=None, decode=None)
    theirs = tokenizers.Tokenizer.from_file(str(folder / FILES[0]))
    theirs.encode_special_tokens = True  # the boundary's name, met in a text, is text
    return Reader(
        logits=logits,
        encode=lambda text: list(theirs.encode(text).ids),
        decode=lambda tokens: str(theirs.decode(tokens, skip_special_tokens=True)),
    )


def use(form: Form, name: str, with_tokenizer: bool) -> str:
    """Return how a folder is used, as Markdown.

    Args:
        form: what it holds.
        name: of the folder.
        with_tokenizer: whether a tokenizer is there.
    """
    del form  # all are used alike
    if not with_tokenizer:
        begin, end = 'tokens = [stream["boundary"]]', "print(written)"
        return USE.format(folder=name, imports="", begin=begin, end=end)
    return USE.format(
        folder=name,
        imports=", tokenizers",
        begin='tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))\n'
        'tokens = tokenizer.encode("").ids  # the token that every document begins with',
        end="print(tokenizer.decode(written))",
    )


def why_not(config: RunConfig, initial: str | None) -> str:
    """Return why no graph holds a run with these settings; where it came from says nothing."""
    del initial
    kind = load_class(config.architecture)
    if issubclass(kind, SequenceModel) and kind.untraceable is not None:
        return f"it looks up {kind.untraceable}, and a graph looks nothing up there"
    return "a graph holds a model that predicts token by token, and looks nothing up on the host"


def next_command(form: Form, path: Path) -> str:
    """Return the reading of the card, which has the code that writes with it."""
    del form  # all are used alike
    return f"cat {path}/README.md"


ONNX = Target(
    name="onnx",
    path="DIR",
    becomes="a model of onnxruntime",
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
