"""The layers of a model as a table: what each holds, and hands on for a small batch."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from inklings.models.contract import Architecture
from inklings.models.objectives import makes_texts, predicts_tokens

BATCH_SIZE = 4
"""Texts of the batch that is passed through."""
LENGTH = 8
"""Its tokens, where the context allows so many."""


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """A module that holds parameters of its own."""

    name: str
    """Its path in the model: `layers.0.attention`; for several that are alike, `layers.0-3.norm`.
    """
    kind: str
    """Name of its class."""
    output: tuple[int, ...] | None
    """Shape of the first tensor that it hands on; None where the model uses it in another way than
    by calling it.
    """
    weights: tuple[tuple[int, ...], ...]
    """Shapes of its own parameters."""
    parameters: int
    """How many numbers these are; what it shares with a layer above counts there alone."""
    count: int = 1
    """How many layers the row stands for, each with so many parameters."""


@dataclass(frozen=True, kw_only=True)
class LayerTable:
    """The layers of a model, in the order in which it names them."""

    layers: tuple[LayerRow, ...]
    batch_size: int
    length: int

    @property
    def parameters(self) -> int:
        """All parameters, each counted once."""
        return sum(layer.parameters * layer.count for layer in self.layers)


def layer_table(model: Architecture) -> LayerTable:
    """Pass a small batch through a model; return what each layer holds and makes of it.

    The model and torch's random state stay as they were. Layers that are alike, of blocks one
    behind the other, share a row.
    """
    length = min(LENGTH, model.config.context_length)
    outputs: dict[nn.Module, tuple[int, ...]] = {}

    def keep(module: nn.Module, given: Any, output: Any) -> None:
        found = _first_tensor(output)
        if found is not None:
            outputs.setdefault(module, tuple(found.shape))

    modules = dict(model.named_modules())
    hooks = [module.register_forward_hook(keep) for module in modules.values()]
    training = model.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model.eval()
            _pass(model, BATCH_SIZE, length)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    layers, seen = [], set[int]()
    for name, module in modules.items():
        own = list(module.parameters(recurse=False))
        if not own:
            continue
        fresh = [parameter for parameter in own if id(parameter) not in seen]
        seen.update(map(id, own))
        layers.append(
            LayerRow(
                name=name or type(model).__name__,
                kind=type(module).__name__,
                output=outputs.get(module),
                weights=tuple(tuple(parameter.shape) for parameter in own),
                parameters=sum(parameter.numel() for parameter in fresh),
            )
        )
    return LayerTable(layers=tuple(_folded(layers)), batch_size=BATCH_SIZE, length=length)


def _pass(model: Architecture, rows: int, length: int) -> None:
    if makes_texts(model):
        model(model.noise(rows, length).to(model.device))
    elif predicts_tokens(model):
        model(torch.zeros(rows, length, dtype=torch.long, device=model.device))


def _first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor of what a module hands on, the logits of a whole model."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, tuple | list):
        return next((found for part in output if (found := _first_tensor(part)) is not None), None)
    logits = getattr(output, "logits", None)
    return logits if isinstance(logits, Tensor) else None


def _folded(layers: list[LayerRow]) -> list[LayerRow]:
    """Join rows that differ in one number of their names alone, from numbers that follow."""
    rows: list[LayerRow] = []
    places: dict[Any, int] = {}
    for layer in layers:
        found = re.search(r"\d+", layer.name)
        if found is None:
            rows.append(layer)
            continue
        number, shape = int(found[0]), (layer.kind, layer.output, layer.weights, layer.parameters)
        pattern = (layer.name[: found.start()], layer.name[found.end() :], shape)
        last = places.get((pattern, number - 1))
        if last is None:
            places[pattern, number] = len(rows)
            rows.append(layer)
            continue
        places[pattern, number] = last
        first = re.search(r"\d+", rows[last].name)
        assert first is not None
        name = f"{pattern[0]}{first[0]}-{number}{pattern[1]}"
        rows[last] = replace(rows[last], name=name, count=rows[last].count + 1)
    return rows
