"""A limit on the model that a run may build: the size of its weights on disk.

Settings that were damaged or forged may describe a model of ten million layers. The weights on disk
say what is too large, before memory or hours are spent on it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from inklings.errors import RunError
from inklings.runs.tensors.parts import saved_sizes

TIMES = 8
"""How many times the size on disk may be allocated while building: initial values, masks, drafts.
"""
ELEMENTS = 1 << 26
"""Elements that may be allocated beyond that."""
CALLS = 500
"""Most calls of torch for each tensor on disk, and that many more."""


def _of_shape(*size: Any, **named: Any) -> int:
    """Elements of a tensor whose sizes come first, one by one or as one sequence."""
    sizes = named.get("size", size[0] if size and isinstance(size[0], Sequence) else size)
    return math.prod(sizes)


def _of_range(*numbers: float, **named: Any) -> int:
    names = ("end",) if len(numbers) == 1 and "end" not in named else ("start", "end", "step")
    given = {"start": 0, "step": 1, **named, **dict(zip(names, numbers, strict=False))}
    return math.ceil((float(given["end"]) - float(given["start"])) / float(given["step"]))


MAKERS: dict[Callable[..., Any], Callable[..., int]] = {
    torch.empty: _of_shape,
    torch.zeros: _of_shape,
    torch.ones: _of_shape,
    torch.rand: _of_shape,
    torch.randn: _of_shape,
    torch.full: lambda size, *rest, **named: math.prod(size),
    torch.randint: lambda *given, **named: math.prod(
        named["size"] if "size" in named else given[-1]
    ),
    torch.arange: _of_range,
    torch.linspace: lambda start, end, steps, **named: int(steps),
    torch.eye: lambda n, m=None, **named: n * (n if m is None else m),
}
"""Functions of torch that allocate a tensor of a given size, and the size that it will have."""


@contextlib.contextmanager
def within_size_of(weights: Path | None, *, config: Path) -> Iterator[None]:
    """Refuse, within the block, to build a model larger than the given weights.

    Args:
        weights: a file of tensors, or where one would be that is in parts; None, or one that is
            damaged, bounds nothing but memory.
        config: what the message blames.

    Raises:
        RunError: it is larger, or does not fit into memory.
    """
    try:
        sizes = None if weights is None else saved_sizes(weights)
    except RunError:
        sizes = None
    try:
        if sizes is None:
            yield
            return
        with _Bounded(
            elements=TIMES * sum(sizes) + ELEMENTS, calls=CALLS * (len(sizes) + 1), config=config
        ):
            yield
    except (MemoryError, OverflowError) as error:
        raise RunError(f"{config} is damaged: its model fits into no memory ({error}).") from None
    except RuntimeError as error:
        if "alloc" not in str(error) and "overflow" not in str(error):
            raise
        raise RunError(
            f"{config} is damaged: its model fits into no memory ({str(error)[:200]})."
        ) from None


class _Bounded(TorchFunctionMode):
    """Counts what torch allocates, and stops it at the limit."""

    def __init__(self, *, elements: int, calls: int, config: Path) -> None:
        super().__init__()
        self._elements, self._calls, self._config = elements, calls, config

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func in MAKERS:  # a size is seen before it is paid for
            self._count(MAKERS[func](*args, **given))
            return func(*args, **given)
        made = func(*args, **given)
        if isinstance(made, Tensor):  # not `no_grad`, which must neither begin half nor fail to end
            self._count(made.numel())
        return made

    def _count(self, elements: int) -> None:
        self._calls -= 1
        if self._calls < 0 or elements > self._elements:
            raise RunError(
                f"{self._config} is damaged or does not belong to this run: the model that it "
                "describes is far larger than the weights beside it."
            )
