"""All that a model holds at one moment, so that a pass can be made as if none had been before.

A pass may move buffers (load-balancing biases, spectral norms, codebooks), attributes (a counter, a
cache, the loss of the last batch) and random generators of the model's own. A copy would do as
well, but what a module kept of a graph cannot be copied.
"""

from __future__ import annotations

import contextlib
import copy
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)

_OWN = frozenset(vars(nn.Module()))
"""What every module has: weights are noted for themselves, and hooks are whoever audits' own."""
_GENERATORS = (torch.Generator, np.random.Generator, random.Random)


@dataclass(eq=False)
class _Noted:
    """A value as it was: the object, and what was in it."""

    value: Any
    content: Any = None


def _noted(value: Any, seen: dict[int, _Noted]) -> _Noted:
    """Note a value down, with what is in it, for that may be changed in place."""
    if id(value) in seen:
        return seen[id(value)]
    noted = seen[id(value)] = _Noted(value)
    if isinstance(value, Tensor):
        noted.content = value.detach().clone()
    elif isinstance(value, torch.Generator):
        noted.content = value.get_state()
    elif isinstance(value, np.random.Generator):
        noted.content = copy.deepcopy(value.bit_generator.state)
    elif isinstance(value, random.Random):
        noted.content = value.getstate()
    elif isinstance(value, np.ndarray):
        noted.content = value.copy()
    elif isinstance(value, dict):
        noted.content = {key: _noted(item, seen) for key, item in value.items()}
    elif isinstance(value, list | tuple | deque):
        noted.content = [_noted(item, seen) for item in value]
    elif isinstance(value, set):
        noted.content = set(value)
    elif _is_plain_object(value):
        noted.content = _noted(value.__dict__, seen)
    return noted


def _is_plain_object(value: object) -> bool:
    """Whether it is of a class from a user's own file: what it holds may be changed as well."""
    kind = type(value)
    known = ("builtins", "torch", "numpy", "inklings", "functools", "collections", "types")
    return (
        hasattr(value, "__dict__")
        and not isinstance(value, nn.Module | type)
        and not callable(value)
        and kind.__module__.partition(".")[0] not in known
    )


def _restored(noted: _Noted) -> Any:
    """The same object with what was in it."""
    value, content = noted.value, noted.content
    if isinstance(value, Tensor):
        with torch.no_grad():
            if value.dtype == content.dtype and value.shape == content.shape:
                if not torch.equal(value, content):  # a graph may need it as it is
                    value.copy_(content)
            else:
                value.data = content.clone()
    elif isinstance(value, torch.Generator):
        value.set_state(content)
    elif isinstance(value, np.random.Generator):
        value.bit_generator.state = content
    elif isinstance(value, random.Random):
        value.setstate(content)
    elif isinstance(value, np.ndarray):
        value[...] = content
    elif isinstance(value, dict):
        items = {key: _restored(item) for key, item in content.items()}
        value.clear()
        value.update(items)
    elif isinstance(value, list | deque):
        members = [_restored(item) for item in content]
        value.clear()
        value.extend(members)
    elif isinstance(value, tuple):
        for item in content:
            _restored(item)
    elif isinstance(value, set):
        value.clear()
        value.update(content)
    elif content is not None:
        _restored(content)
    return value


class Snapshot:
    """Weights, buffers, attributes and generators of all modules of a model."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = list(model.named_modules())
        seen: dict[int, _Noted] = {}
        self._weights = [
            {
                kind: {name: _noted(tensor, seen) for name, tensor in module.__dict__[kind].items()}
                for kind in ("_parameters", "_buffers")
            }
            for _, module in self._modules
        ]
        self._attributes = [
            {
                name: _noted(value, seen)
                for name, value in module.__dict__.items()
                if name not in _OWN
            }
            for _, module in self._modules
        ]
        self._modes = [module.training for _, module in self._modules]

    def restore(
        self, *, weights: bool = True, attributes: bool = True, generators: bool = True
    ) -> None:
        """Put everything back, or only some of it.

        Buffers that no checkpoint holds count as attributes.

        Args:
            weights: put weights and saved buffers back.
            attributes: put attributes and other buffers back.
            generators: put the states of random generators back.
        """
        for (_, module), tensors, kept, mode in zip(
            self._modules, self._weights, self._attributes, self._modes, strict=True
        ):
            module.training = mode
            for kind, noted in tensors.items():
                for name, tensor in noted.items():
                    passing = kind == "_buffers" and name in module._non_persistent_buffers_set
                    if attributes if passing else weights:
                        module.__dict__[kind][name] = _restored(tensor)
            for name in list(module.__dict__):
                new = name not in kept and name not in _OWN
                if new and attributes:
                    del module.__dict__[name]
            for name, value in kept.items():
                if generators if isinstance(value.value, _GENERATORS) else attributes:
                    module.__dict__[name] = _restored(value)

    def moved(self) -> list[str]:
        """Names of the attributes that are others than they were; generators are not among them."""
        found = []
        for (path, module), kept in zip(self._modules, self._attributes, strict=True):
            for name, value in module.__dict__.items():
                if name in _OWN or isinstance(value, _GENERATORS):
                    continue
                if name not in kept or not _same(kept[name], value):
                    found.append(f"{path}.{name}".lstrip("."))
        return found


def _same(noted: _Noted, value: Any) -> bool:
    """Whether a value is what it was."""
    content = noted.content
    if isinstance(value, Tensor):
        return (
            isinstance(content, Tensor)
            and content.shape == value.shape
            and content.dtype == value.dtype
            and torch.equal(content, value)
        )
    if isinstance(value, np.ndarray):
        return isinstance(content, np.ndarray) and np.array_equal(content, value)
    if isinstance(value, dict):
        return (
            isinstance(content, dict)
            and list(content) == list(value)
            and all(_same(content[key], item) for key, item in value.items())
        )
    if isinstance(value, list | tuple | deque):
        return (
            isinstance(content, list)
            and len(content) == len(value)
            and all(map(_same, content, value))
        )
    if isinstance(value, set):
        return bool(content == value)
    if isinstance(value, bool | int | float | str | bytes | type(None)):
        return bool(noted.value == value)
    if isinstance(content, _Noted):
        return noted.value is value and _same(content, vars(value))
    return noted.value is value


@contextlib.contextmanager
def untouched(model: Model) -> Iterator[Model]:
    """Whatever is done to the model within the block is undone after it, training included."""
    before = Snapshot(model)
    try:
        yield model
    finally:
        before.restore()
        for parameter in model.parameters():
            parameter.grad = None
