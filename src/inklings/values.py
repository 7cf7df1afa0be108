"""Plain values made what the fields of settings take, and refused where they cannot be."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from inklings.errors import ConfigError, RunError, unknown_name
from inklings.registry import Registry

T = TypeVar("T")


def short_repr(config: Any, defaults: Mapping[str, Any] | None = None) -> str:
    """Return settings as Python writes them, those at their defaults left out.

    Args:
        config: the settings.
        defaults: of fields that have none of their own.
    """
    said = []
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        made = each.default_factory
        default = each.default if made is dataclasses.MISSING else made()
        if each.repr and value != (defaults or {}).get(each.name, default):
            said.append(f"{each.name}={value!r}")
    return f"{type(config).__name__}({', '.join(said)})"


def check(config: Any, name: str, holds: bool, allowed: str) -> None:
    """Raise a `ConfigError` naming the field, its value and what is allowed, unless `holds`.

    Args:
        config: the dataclass that is checked.
        name: the field.
        holds: whether its value is allowed.
        allowed: what is allowed, to follow "it must be".
    """
    if not holds:
        raise ConfigError(
            f"{type(config).__name__}.{name} is {getattr(config, name)!r}; it must be {allowed}."
        )


@functools.cache
def _type_hints(config_type: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(config_type, include_extras=True)


def check_types(config: Any) -> None:
    """Refuse values that the fields of a dataclass do not take; settings call it when made.

    A number of another type that means the same becomes the field's own. Defaults are not looked
    at.

    Raises:
        ConfigError: a value is of another type, no name of a closed set, or no finite number.
    """
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        if value is each.default:
            continue
        where = f"{type(config).__name__}.{each.name}"
        made = convert(_type_hints(config.__class__)[each.name], value, where=where)
        numbers = made if isinstance(made, tuple) else (made,)
        finite = all(math.isfinite(n) for n in numbers if isinstance(n, float))
        check(config, each.name, finite, "a finite number")
        object.__setattr__(config, each.name, made)  # also of a frozen one


def from_mapping(config_type: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Make a dataclass from plain values, checking names and types.

    Nested dataclasses take nested mappings.

    Args:
        config_type: the dataclass.
        values: field names (with `-` or `_`) and their values.
        where: what is read, for messages.

    Raises:
        ConfigError: an unknown key (the nearest one is named), a missing key, a wrong type, or a
            value out of range.
    """
    hints = _type_hints(config_type)  # type: ignore[arg-type]  # a class can be hashed
    fields = {f.name: f for f in dataclasses.fields(config_type) if f.init}  # type: ignore[arg-type]  # T is a dataclass
    made: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in fields:
            raise ConfigError(f"{where}: {unknown_name('setting', key, fields)}")
        made[name] = convert(hints[name], value, where=f"{where}: {name}")
    missing = [
        name
        for name, f in fields.items()
        if name not in made
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: {', '.join(missing)} must be given.")
    return config_type(**made)


def from_file(config_type: type[T], content: Mapping[str, Any], path: Path, remedy: str = "") -> T:
    """Make a dataclass of what a JSON file of ours holds beside its format's version.

    Args:
        config_type: the dataclass.
        content: of the file.
        path: where it lies.
        remedy: what to do about a damaged one, a sentence.

    Raises:
        RunError: it does not hold such a thing.
    """
    values = {name: value for name, value in content.items() if name != "format_version"}
    try:
        return from_mapping(config_type, values, where=str(path))
    except ConfigError as error:
        raise RunError(f"{path} is damaged or was edited: {error} {remedy}".rstrip()) from None


def convert(hint: Any, value: Any, *, where: str) -> Any:
    """Return `value` as the annotated type.

    Args:
        hint: the type; a registry in `Annotated` is asked for the name.
        value: a plain value, as JSON or TOML has it.
        where: what is read, for messages.

    Raises:
        ConfigError: it is of another type; the message says what is allowed.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_mapping(typing.cast(type, hint), value, where=where)
    if origin is Annotated:
        for registry in (about for about in arguments[1:] if isinstance(about, Registry)):
            registry.check(value, where=where)
        return convert(arguments[0], value, where=where)
    if origin is Literal:
        if value in arguments:
            return value
        raise ConfigError(
            f"{where}: {unknown_name('value', str(value), [str(a) for a in arguments])}"
        )
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        for option in (a for a in arguments if a is not type(None)):
            if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
                return convert(option, value, where=where)  # which says what is wrong within it
            with contextlib.suppress(ConfigError):
                return convert(option, value, where=where)
    if origin is tuple and isinstance(value, list | tuple) and arguments[-1] is Ellipsis:
        return tuple(convert(arguments[0], v, where=f"{where}[{i}]") for i, v in enumerate(value))
    if origin is tuple and isinstance(value, list | tuple) and len(value) == len(arguments):
        return tuple(convert(a, v, where=where) for a, v in zip(arguments, value, strict=True))
    if origin is dict and isinstance(value, Mapping):
        return dict(value)
    if origin is list and isinstance(value, list):
        return [convert(arguments[0], v, where=f"{where}[{i}]") for i, v in enumerate(value)]
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if (
        isinstance(hint, type)
        and isinstance(value, hint)
        and not (hint is int and isinstance(value, bool))
    ):
        return value
    guess = ""
    if isinstance(value, str) and hint in (int, float):
        with contextlib.suppress(ValueError):
            guess = f" Did you mean {hint(value)!r}?"
    raise ConfigError(
        f"{where} is {value!r} ({type(value).__name__}); it must be {format_type(hint)}.{guess}"
    )


def format_type(hint: Any) -> str:
    """Return what a field takes, in words."""
    words = {int: "a whole number", float: "a number", bool: "True or False", str: "a string"}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return format_type(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(format_type(argument) for argument in arguments)
    if origin is Literal:
        return ", ".join(repr(argument) for argument in arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"any number of values, each {format_type(arguments[0])}"
    if origin is tuple:
        return f"{len(arguments)} values ({', '.join(map(format_type, arguments))})"
    if hint is type(None):
        return "None"
    return words.get(hint) or str(getattr(hint, "__name__", hint))
