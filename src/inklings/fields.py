"""Fields of settings as users write them: `field=value,...`, where brackets keep a value whole."""

from __future__ import annotations

import dataclasses
import itertools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union

from inklings.errors import ConfigError
from inklings.registry import Registry
from inklings.values import convert


def parse_value(hint: Any, text: str, *, where: str) -> Any:
    """Convert a value given as text, as in `NAME:field=value`, to the annotated type.

    Args:
        hint: the type.
        text: the value; `none` is None where the type allows it.
        where: what is read, for messages.

    Raises:
        ConfigError: the text is not of that type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if text.lower() == "none" and type(None) in arguments:
            return None
        return parse_value(next(a for a in arguments if a is not type(None)), text, where=where)
    if origin is Annotated:
        return convert(hint, parse_value(arguments[0], text, where=where), where=where)
    if hint is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        if hint is kind:
            try:
                return kind(text)
            except ValueError:
                break
    if origin is tuple:
        parts = text.strip("()").split("/")
        return convert(
            hint,
            [parse_value(a, p, where=where) for a, p in zip(arguments, parts, strict=False)],
            where=where,
        )
    return convert(hint, text, where=where)


def field_hints(config_type: type[Any], prefix: str = "") -> dict[str, Any]:
    """Return the fields of a dataclass with their types, in their order."""
    hints = typing.get_type_hints(config_type, include_extras=True)
    return {f"{prefix}{f.name}": hints[f.name] for f in dataclasses.fields(config_type)}


def allowed_names(hint: Any) -> list[str]:
    """Return the names that a field takes; empty where it takes anything of its type."""
    if typing.get_origin(hint) is Literal:
        return [str(name) for name in typing.get_args(hint)]
    about = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    return [name for each in about if isinstance(each, Registry) for name in each.places]


def parse_fields(
    hints: Mapping[str, Any], text: str, *, where: str, unknown: Callable[[str], str]
) -> dict[str, Any]:
    """Parse `field=value,...` to values of the fields' types.

    Args:
        hints: the fields that may be given, with their types.
        text: what was written; an empty one gives no values.
        where: what is read, for messages.
        unknown: makes the message for a name that is no field.

    Raises:
        ConfigError: a part has another form, the field is unknown, or the value is of another type.
    """
    values = {}
    for name, value in split_fields(text, where=where):
        if name not in hints:
            raise ConfigError(unknown(name))
        values[name] = parse_value(hints[name], value, where=f"{where}: {name}")
    return values


def split_fields(text: str, *, where: str) -> list[tuple[str, str]]:
    """Split `field=value,...` into names and values; brackets around a value are taken off.

    Raises:
        ConfigError: a part is not of that form.
    """
    cuts = [-1, *outside_brackets(text, ","), len(text)]
    pairs = []
    for part in (
        (text[first + 1 : last] for first, last in itertools.pairwise(cuts)) if text else []
    ):
        name, equals, value = part.strip().partition("=")
        if value.startswith("[") and value.endswith("]"):
            value = value[1:-1]
        if not equals or not name or not value:
            raise ConfigError(f"{where}: {part!r} is not field=value.")
        pairs.append((name.replace("-", "_"), value))
    return pairs


def outside_brackets(text: str, wanted: str) -> list[int]:
    """Return the places where a character stands outside brackets."""
    depth, places = 0, []
    for place, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if character == wanted and depth == 0:
            places.append(place)
    return places
