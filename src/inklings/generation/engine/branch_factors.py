"""Scaling of a model's branches, down to zero, while a pass lasts."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from inklings.errors import ConfigError, unknown_name
from inklings.models.branches import modules_of
from inklings.models.contract import SequenceModel

Factors = tuple[tuple[str, float], ...]
"""Names of branches with the factors of their outputs, sorted by name."""


def checked_factors(model: SequenceModel, given: Factors) -> Factors:
    """Return the same without those that change nothing.

    Raises:
        ConfigError: the model has no such branch, or a factor is not a finite number.
    """
    if not given:
        return ()
    known = [branch for branch in model.traits.branches if modules_of(model, branch)]
    for name, factor in given:
        if not known:
            raise ConfigError(
                f"{type(model).__name__} names no branches, so {name!r} cannot be given a factor;"
                " leave it out."
            )
        if name not in known:
            raise ConfigError(unknown_name("branch", name, known))
        if not math.isfinite(factor):
            raise ConfigError(
                f"the factor of branch {name!r} is {factor}; give a finite number: 0 knocks it out,"
                " 1 leaves it."
            )
    if len({name for name, _ in given}) < len(given):
        raise ConfigError("a branch is named twice; give each one factor.")
    return tuple(sorted((name, float(factor)) for name, factor in given if factor != 1))


@contextlib.contextmanager
def branches_scaled(model: SequenceModel, factors: Factors) -> Iterator[None]:
    """Multiply the output of each branch by its factor within the block.

    Of a branch that returns a tuple, the first element is scaled.
    """
    handles = [
        module.register_forward_hook(_scaling(factor))
        for name, factor in factors
        for module in modules_of(model, name)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _scaling(factor: float) -> Any:
    def scale(module: object, inputs: object, output: Any) -> Any:
        return output * factor if isinstance(output, Tensor) else (output[0] * factor, *output[1:])

    return scale
