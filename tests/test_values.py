"""Settings refuse a wrong value when they are made: given, allowed, and what to try."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Union

import pytest

from inklings.config import DataConfig, RunConfig, TrainingConfig
from inklings.errors import ConfigError
from inklings.fields import allowed_names
from inklings.generation.sampling import SamplingConfig
from inklings.lab.comparison.settings import Method
from inklings.memory.settings import MemoryConfig
from inklings.models.registry import available, load_class
from inklings.serving.settings import ServeConfig

SETTINGS: list[tuple[type[Any], dict[str, Any]]] = [
    *((kind, {}) for kind in (DataConfig, TrainingConfig, RunConfig, SamplingConfig)),
    *((kind, {}) for kind in (Method, MemoryConfig, ServeConfig)),
    *((load_class(name).Config, {"vocab_size": 32}) for name in available()),
]
FAR = 10**9
"""Further below zero than any field goes."""


def wrong_values(hint: Any) -> Iterator[Any]:
    """Values that a field of this type does not take, whatever its range."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    names = allowed_names(hint)
    if origin is Annotated and not names:
        yield from wrong_values(arguments[0])
    elif origin in (Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        yield from wrong_values(inner[0]) if len(inner) == 1 else [object()]
    elif names:
        yield from (f"{name}x" for name in names)
        yield 3
    elif hint is bool:
        yield from ("yes", 1)
    elif hint is int:
        yield from ("7", 1.5, True, math.nan, [3], -FAR)
    elif hint is float:
        yield from ("7", True, math.nan, math.inf, [3.0], -float(FAR))
    elif hint is str:
        yield from (3, ["a"])
    else:  # a tuple, a mapping, or settings within settings
        yield from ("text", 3, object())


def fields_of(kind: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    ("kind", "given"), SETTINGS, ids=lambda kind: getattr(kind, "__name__", "")
)
def test_every_field_refuses_what_it_does_not_take(kind: type[Any], given: dict[str, Any]) -> None:
    for name, hint in fields_of(kind).items():
        for value in wrong_values(hint):
            with pytest.raises(ConfigError) as caught:
                kind(**{**given, name: value})
            message = str(caught.value)
            # a part of an architecture has settings of its own
            owner, _, rest = message.partition(".")
            assert owner.isidentifier() and rest.startswith((f"{name} is ", f"{name}: ")), message
            assert all(allowed in message for allowed in allowed_names(hint)), message
            assert "must be " in message or "Allowed: " in message


@pytest.mark.parametrize(
    ("kind", "given"), SETTINGS, ids=lambda kind: getattr(kind, "__name__", "")
)
def test_a_closed_set_names_the_nearest(kind: type[Any], given: dict[str, Any]) -> None:
    for name, hint in fields_of(kind).items():
        allowed = [n for n in allowed_names(hint) if len(n) > 3]
        for right in allowed:
            with pytest.raises(ConfigError, match=f"Did you mean '{right}'"):
                kind(**{**given, name: right[:-1]})


def right_value(hint: Any) -> Any:
    """A value that a field of this type takes but for its range, which is not its default."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if names := allowed_names(hint):
        return names[-1]
    if origin is Annotated:
        return right_value(arguments[0])
    if origin in (Union, types.UnionType):
        return right_value(next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        inner = [arguments[0]] * 2 if Ellipsis in arguments else arguments
        return [right_value(argument) for argument in inner]  # as JSON has it
    return {bool: True, int: 12, float: 0.3, str: "text"}.get(hint)


@pytest.mark.parametrize(
    ("kind", "given"), SETTINGS, ids=lambda kind: getattr(kind, "__name__", "")
)
def test_no_field_refuses_the_type_that_it_has(kind: type[Any], given: dict[str, Any]) -> None:
    for name, hint in fields_of(kind).items():
        if (value := right_value(hint)) is None:  # a mapping, or settings within settings
            continue
        # of its range, or of what goes with it, something may be said
        assert not re.search(r"\(\w+\); it must be", refusal(kind, {**given, name: value}))


def refusal(kind: type[Any], fields: dict[str, Any]) -> str:
    """What is said of these values; nothing where they are taken."""
    try:
        kind(**fields)
    except ConfigError as error:
        return str(error)
    return ""


def test_numbers_are_kept_as_the_field_has_them() -> None:
    made = TrainingConfig(clip=2, betas=[0, 0.5])  # type: ignore[arg-type]  # as JSON has them
    assert made == TrainingConfig(clip=2.0, betas=(0.0, 0.5))
    assert type(made.clip) is float and made.betas == (0.0, 0.5)


def test_a_number_in_quotes_is_told_what_was_meant() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 32\?"):
        TrainingConfig(batch_size="32")  # type: ignore[arg-type]  # the mistake
