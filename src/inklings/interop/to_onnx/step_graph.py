"""A model as one graph of ONNX that reads texts and hands on its state.

PyTorch's exporter follows the pass that reads one token in each row (`_Step`). The graph runs it
over any number of tokens with ONNX's `Scan`, so a text may be read in one call or in many, and both
compute the same. The weights stand once, outside the step.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from inklings.errors import ArchitectureError
from inklings.models.contract import SequenceModel, State

TOKENS, LOGITS = "tokens", "logits"
"""What the graph is given beside the state, (B, T), and what it gives, (B, T, V)."""
AFTER = "after."
"""Stands before the name of a part of the state in what the graph gives."""
_STEP = "step."
"""Stands before every name within the step, so that none is that of the graph around it."""
_ROWS = 2
"""Rows of the pass that is followed; the graph takes any number."""
_LARGEST = 2 * 1024**3 - 2**20
"""Bytes that one file of ONNX holds, with some left for the graph."""


class _Step(nn.Module):
    """Read one token in each row: tokens (B, 1) and a state become logits and the next state."""

    def __init__(self, model: SequenceModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, tokens: Int[Tensor, "B 1"], *state: Tensor) -> tuple[Tensor, ...]:
        """Return the logits and the tensors of the next state, in the order of the names."""
        # a pass consumes its state, and a graph must not write into what it is given
        before = {name: part.clone() for name, part in zip(self.names, state, strict=True)}
        output = self.model(tokens, State(before))
        assert output.state is not None
        return (output.logits, *(output.state.tensors[name] for name in self.names))


def stream_graph(model: SequenceModel) -> Any:
    """Return the graph as an `onnx.ModelProto`.

    Inputs are `tokens` (B, T) and the state by the names of `State.tensors`; outputs are `logits`
    (B, T, V) and the next state, each name behind `after.`.

    Raises:
        ArchitectureError: the exporter cannot follow the model, or it is too large for one file.
    """
    import onnx
    from onnx import helper

    if model.untraceable is not None:
        raise ArchitectureError(
            f"no graph can be made of a model that looks up {model.untraceable}."
        )
    _check_size(model)
    step = _followed(model)
    names = [value.name.removeprefix(_STEP) for value in step.graph.input][1:]
    (tokens, *before), (logits, *after) = step.graph.input, step.graph.output
    batch, _ = _shape(tokens)
    axis = f"{_STEP}axis"
    body = helper.make_graph(
        [
            helper.make_node("Unsqueeze", [f"{_STEP}token", axis], [tokens.name]),
            *step.graph.node,
            helper.make_node("Squeeze", [logits.name, axis], [f"{_STEP}scanned"]),
        ],
        "one_token",
        [*before, _value(f"{_STEP}token", tokens, [batch])],
        [*after, _value(f"{_STEP}scanned", logits, [batch, model.config.vocab_size])],
    )
    scan = helper.make_node(
        "Scan",
        [*names, TOKENS],
        [*(AFTER + name for name in names), LOGITS],
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_output_axes=[1],
    )
    graph = helper.make_graph(
        [scan],
        "text",
        [
            _value(TOKENS, tokens, [batch, "time"]),
            *(_value(name, part, _shape(part)) for name, part in zip(names, before, strict=True)),
        ],
        [
            _value(LOGITS, logits, [batch, "time", model.config.vocab_size]),
            *(
                _value(AFTER + name, part, _shape(given))
                for name, part, given in zip(names, after, before, strict=True)
            ),
        ],
        initializer=[
            *step.graph.initializer,
            helper.make_tensor(axis, tokens.type.tensor_type.elem_type, [1], [1]),
        ],
    )
    made = helper.make_model(
        graph, opset_imports=step.opset_import, ir_version=step.ir_version, producer_name="inklings"
    )
    onnx.checker.check_model(made)
    return made


def _followed(model: SequenceModel) -> Any:
    """Return the graph of reading one token, whose names all begin with `step.`."""
    state = model.traceable_state(_ROWS).tensors
    rows = torch.export.Dim("batch", min=1)
    tokens = torch.zeros(_ROWS, 1, dtype=torch.int64)
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                _Step(model, tuple(state)),
                (tokens, *state.values()),
                dynamo=True,
                input_names=[f"{_STEP}{TOKENS}", *(_STEP + name for name in state)],
                output_names=[f"{_STEP}{LOGITS}", *(_STEP + AFTER + name for name in state)],
                dynamic_shapes=({0: rows}, tuple({0: rows} for _ in state)),
                verbose=False,
            )
    except Exception as error:  # whatever a user's own code does to a compiler
        reason = str(error.__cause__ or error).strip().splitlines()[:1]
        raise ArchitectureError(
            f"PyTorch's exporter cannot follow the forward of {type(model).__name__}:"
            f" {' '.join(reason)}. It follows a pass that branches on shapes alone, and never on"
            " what a tensor holds."
        ) from error
    found = program.model_proto
    assert not found.functions, "all functions are written out"
    _strip(found.graph)
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what PyTorch's exporter says to itself from the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip(graph: Any) -> None:
    """Take away where in whose files each operation came from, and name all within the step."""
    kept = {value.name for value in (*graph.input, *graph.output)}

    def inside(name: str) -> str:
        return name if not name or name in kept else _STEP + name

    for node in graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
        node.ClearField("name")
        for names in (node.input, node.output):
            names[:] = [inside(name) for name in names]
        assert not any(attribute.HasField("g") for attribute in node.attribute)
    for tensor in graph.initializer:
        tensor.name = inside(tensor.name)
        tensor.ClearField("doc_string")
    for value in (*graph.input, *graph.output):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")


def _shape(value: Any) -> list[int | str]:
    return [one.dim_param or one.dim_value for one in value.type.tensor_type.shape.dim]


def _value(name: str, like: Any, shape: Sequence[int | str]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, like.type.tensor_type.elem_type, shape)


def _check_size(model: SequenceModel) -> None:
    size = sum(4 * weight.numel() for weight in model.parameters())
    if size > _LARGEST:
        raise ArchitectureError(
            f"its weights take {size / 1024**3:.1f} GiB, and a file of ONNX holds 2 GiB. Export a"
            " smaller model."
        )
