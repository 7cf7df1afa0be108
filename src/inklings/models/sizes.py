"""Sizes of models: how many parameters one has, and which sizes give a wanted number."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from inklings.errors import ConfigError
from inklings.models.contract import Architecture, ModelConfig
from inklings.models.registry import build, load_class
from inklings.values import from_mapping

TOLERANCE = 0.03
"""Share by which a size may miss the wanted number and still be called equal."""
LARGEST_WIDTH = 1 << 16
NEIGHBOURS = 24
"""How far from the best width others are tried, where the architecture does not allow it (no
multiple of its heads, say).
"""
TRIED = 48
"""How many combinations of the other fields are tried."""


def non_embedding_count(model: Architecture) -> int:
    """Count the parameters without embeddings and head (Kaplan et al. 2020, section 2.1).

    The head is the last linear map to the vocabulary. The vocabulary is the text's, not the
    architecture's: in a small model these two would decide the size.
    """
    modules: list[nn.Module] = list(model.modules())
    heads = [
        module
        for module in modules
        if isinstance(module, nn.Linear) and module.out_features == model.config.vocab_size
    ]
    embeddings = [module for module in modules if isinstance(module, nn.Embedding)]
    outside = {
        id(parameter)
        for module in [*embeddings, *heads[-1:]]
        for parameter in module.parameters(recurse=False)
    }
    return sum(
        parameter.numel() for parameter in model.parameters() if id(parameter) not in outside
    )


@dataclass(frozen=True, kw_only=True)
class Sized:
    """The sizes that were found for an architecture."""

    fields: dict[str, int]
    """Fields of the configuration that are changed."""
    reached: int
    """Parameters without embedding and head."""


def size_to(
    architecture: str,
    given: Mapping[str, Any],
    target: int,
    *,
    vocab_size: int,
    start: Mapping[str, int] | None = None,
) -> Sized:
    """Find sizes that bring an architecture's non-embedding parameters nearest to a number.

    The width is changed first; if no width comes within `TOLERANCE`, so are the other fields of
    `Config.sizes`, as little as possible. Fields that the user gave are kept.

    Args:
        architecture: a name, or `FILE.py:CLASS`.
        given: fields of its configuration that the user set.
        target: the number of parameters.
        vocab_size: of the text, as a head may be told from other maps by it.
        start: sizes to begin with in place of the defaults; they may be changed.

    Raises:
        ConfigError: the architecture declares no sizes, or all of them were given, or none of them
            can be built.
    """
    config_type = load_class(architecture).Config
    free = [name for name in config_type.sizes if name not in given]
    if not free:
        if config_type.sizes:
            why = f"its sizes ({', '.join(config_type.sizes)}) are all given"
        else:
            why = (
                "its configuration declares no `sizes`, the fields to change for it, the width"
                " first"
            )
        raise ConfigError(f"{architecture} cannot be brought to {target:,} parameters: {why}.")
    defaults = {name: getattr(_config(config_type, given, vocab_size), name) for name in free}
    begin = {**defaults, **{name: value for name, value in (start or {}).items() if name in free}}
    counted: dict[tuple[int, ...], int | None] = {}

    def count(values: tuple[int, ...]) -> int | None:
        if values not in counted:
            counted[values] = _count(
                architecture, {**given, **dict(zip(free, values, strict=True))}, vocab_size
            )
        return counted[values]

    best: tuple[float, tuple[int, ...]] | None = None
    for others in itertools.islice(_variations([begin[name] for name in free[1:]]), TRIED):
        for width in _widths(begin[free[0]], others, target, count):
            found = count((width, *others))
            assert found is not None
            miss = abs(found - target) / target
            if best is None or miss < best[0]:
                best = miss, (width, *others)
        if best is not None and best[0] <= TOLERANCE:
            break
    if best is None:
        raise ConfigError(
            f"{architecture} could be built with no {free[0]} near {target:,} parameters."
        )
    values = dict(zip(free, best[1], strict=True))
    reached = count(best[1])
    assert reached is not None
    return Sized(
        fields={name: value for name, value in values.items() if value != defaults[name]},
        reached=reached,
    )


def _variations(values: list[int]) -> Iterator[tuple[int, ...]]:
    """Iterate over the values as they are, then others near them, the nearest first.

    Each value goes from half to twice what it is.
    """
    choices = [
        range(max(1, math.ceil(value / 2)), min(2 * value, value + 8) + 1) for value in values
    ]
    # a later field is a matter of detail: it is changed before an earlier one
    weights = [2.0 ** (len(values) - place) for place in range(len(values))]

    def distance(combination: tuple[int, ...]) -> float:
        return sum(
            weight * abs(math.log(new / old))
            for weight, new, old in zip(weights, combination, values, strict=True)
        )

    yield from sorted(
        itertools.product(*choices), key=lambda combination: (distance(combination), combination)
    )


def _widths(start: int, others: tuple[int, ...], target: int, count: Any) -> Iterator[int]:
    """Iterate over the nearest widths at which the model can be built, on both sides of the number.

    Parameters grow with the width.
    """

    def at(width: int, step: int) -> tuple[int, int] | None:
        """Return the first width from here in that direction that can be built, with its count."""
        for place in range(width, width + step * NEIGHBOURS, step):
            if 1 <= place <= LARGEST_WIDTH and (found := count((place, *others))) is not None:
                return place, found
        return None

    low, high = 1, 2 * start
    while (reached := at(high, 1)) is None or reached[1] < target:
        if reached is None or high >= LARGEST_WIDTH:
            break
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        reached = at(middle, 1)
        if reached is not None and reached[1] < target:
            low = middle
        else:
            high = middle
    yield from sorted(
        {found[0] for found in (at(low, -1), at(high, 1), at(low, 1)) if found is not None}
    )


def _config(
    config_type: type[ModelConfig], given: Mapping[str, Any], vocab_size: int
) -> ModelConfig:
    return from_mapping(config_type, {**given, "vocab_size": vocab_size}, where="model")


def _count(architecture: str, fields: Mapping[str, Any], vocab_size: int) -> int | None:
    """Count the parameters at these sizes without allocating them.

    None where they are not allowed.
    """
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            return non_embedding_count(
                build(architecture, fields, vocab_size=vocab_size, boundary_token=0)
            )
    except ConfigError:
        return None
