"""Flags from a dataclass, by tyro."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

T = TypeVar("T")

Json = Annotated[
    bool,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.arg(help="Print one JSON document on stdout; people read stderr."),
]


def called(name: str) -> Any:
    """Let help call the value of a flag by a name, brackets and dots included."""
    return tyro.conf.arg(metavar=name)


RunName = Annotated[str, called("RUN")]
RunFolder = Annotated[Path, called("RUN")]
SourceName = Annotated[str, called("SOURCE")]
Folder = Annotated[Path, called("FOLDER")]
"""Values by the names that the rest of the help calls them by."""
CONFIG = (tyro.conf.FlagCreatePairsOff,)
"""How all verbs are parsed."""
REGISTRY = tyro.constructors.ConstructorRegistry()
"""What help calls values of each type."""


def _named(kind: type[Any], name: str) -> None:
    """Let help call the values of a type by a name, where a flag has none of its own."""

    @REGISTRY.primitive_rule
    def rule(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
        if info.type not in (kind, kind | None):
            return None
        optional = info.type is not kind
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar=name,
            instance_from_str=lambda words: (
                None if optional and words[0] == "None" else kind(words[0])
            ),
            is_instance=lambda value: isinstance(value, kind) or (optional and value is None),
            str_from_instance=lambda value: [str(value)],
        )


for _kind, _name in ((int, "N"), (float, "X"), (str, "TEXT"), (Path, "PATH")):
    _named(_kind, _name)


_inside: ContextVar[bool] = ContextVar("inside", default=False)


@REGISTRY.struct_rule
def _flowing_help(
    info: tyro.constructors.StructTypeInfo,
) -> tyro.constructors.StructConstructorSpec | None:
    """Let help break the lines of docstrings at its own width, and name no default of nothing."""
    if _inside.get():  # tyro's own rules are asked
        return None
    token = _inside.set(True)
    try:
        spec = tyro.constructors.ConstructorRegistry.get_struct_spec(info)
    finally:
        _inside.reset(token)
    if not isinstance(spec, tyro.constructors.StructConstructorSpec):
        return None
    fields = []
    for field in spec.fields:
        kind: Any = field.type
        if dataclasses.is_dataclass(kind):
            # what its type says of itself; tyro would read the source for more with each command
            fields.append(replace(field, helptext=None))
            continue
        kind = Annotated[kind, tyro.conf.arg(help_behavior_hint=_default)]
        fields.append(replace(field, type=kind, helptext=partial(_flowing, field.helptext)))
    return replace(spec, fields=tuple(fields))


def _flowing(text: str | Callable[[], str | None] | None) -> str | None:
    said = text() if callable(text) else text
    return None if said is None else " ".join(said.split())


def _default(value: str) -> str:
    return "" if value in ("", "None", "False") else f"(default: {value})"


class TypeAskedError(Exception):
    """Says with which type a verb's arguments are parsed."""

    def __init__(self, arguments_type: type[Any]) -> None:
        super().__init__()
        self.arguments_type = arguments_type


_asked: ContextVar[bool] = ContextVar("asked", default=False)


@contextmanager
def asking_for_type() -> Iterator[None]:
    """Make `parse` raise a `TypeAskedError` in the block, and parse nothing."""
    token = _asked.set(True)
    try:
        yield
    finally:
        _asked.reset(token)


def parse(arguments_type: type[T], arguments: Sequence[str], *, verb: str, description: str) -> T:
    """Parse a verb's arguments to a dataclass.

    Wrong ones end the process with tyro's message and exit code 2.

    Args:
        arguments_type: the dataclass.
        arguments: of the command line.
        verb: its name.
        description: of the verb, for `--help`.
    """
    if _asked.get():
        raise TypeAskedError(arguments_type)
    parsed: T = tyro.cli(
        arguments_type,
        prog=f"inklings {verb}",
        description=description,
        args=list(arguments),
        config=CONFIG,
        registry=REGISTRY,
    )
    return parsed
